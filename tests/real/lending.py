"""An Okta org with a service app for each risk, and the gateway that mints tokens there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
from real.session import SdkSession
from support.approver import Approver, people
from support.counterparts import ALICE, Org, Received, TestCA
from support.gateway import GatewayProcess, settings, target, wait_for
from support.tokens import Tokens
from support.wire import Origin, Reply, Tunnel, answering

APPS: Mapping[str, Sequence[str]] = {
    "reader": ("okta.users.read", "okta.groups.read"),  # of apps it may read nothing
    "writer": ("okta.users.manage", "okta.groups.manage"),
    "privileged": ("okta.users.manage", "okta.roles.manage"),
}
"""What the org grants each."""

RISKS: Mapping[str, Sequence[str]] = {
    "reader": ["read"],
    "writer": ["write"],
    "privileged": ["privileged", "destructive"],
}
"""What each is for."""

BY_HAND = ("okta.users.read", "okta.users.manage", "okta.groups.read")
"""What two more apps are granted that the gateway knows nothing of."""

SECRET = 'Bearer st4tic+secret/of="things"'
"""What the other target knows the gateway by; encoders spell it in several ways."""

POLICY = [
    {
        "name": "groups-are-read-with-one-token",
        "reason": "They are read often",
        "match": {"targets": ["okta"], "actions": ["listGroups"]},
        "effect": "permit",
        "reuse": "5m",
    },
    {
        "name": "people-look",
        "reason": "Who is deactivated is looked at",
        "match": {"targets": ["okta"], "actions": ["deactivateUser"]},
        "effect": "review",
        "approvers": {"groups": ["it-leads"]},
        "grant": {"uses": 1, "life": "5m"},
    },
    {
        "name": "groups-stay",
        "reason": "Groups stay",
        "match": {"targets": ["okta"], "actions": ["deleteGroup"]},
        "effect": "deny",
    },
    {
        "name": "all-else",
        "reason": "A test",
        "match": {"groups": ["it-agents"]},
        "effect": "permit",
    },
]

SHARED = "okta.groups.read"
"""What tokens are for that reads may share."""

DEACTIVATE = f"/api/v1/users/{ALICE}/lifecycle/deactivate"


def credential(org: Org) -> Any:
    """The section of a configuration: an app for each risk."""
    return {
        "type": "okta",
        "org": org.url,
        "apps": [
            {
                "name": name,
                "client_id": org.apps[name].client_id,
                "key_id": org.apps[name].kid,
                "private_key": f"file:{org.apps[name].private_key}",
                "risks": risks,
            }
            for name, risks in RISKS.items()
        ],
    }


@dataclass
class Lending:
    """All of it, running; ``things`` is another target, which has nothing to do with the org."""

    org: Org
    things: Origin
    gateway: GatewayProcess
    agent: str
    """The agent's own token."""
    made: Mapping[str, object]
    """The configuration."""

    @property
    def approver(self) -> Approver:
        """Who answers."""
        return Approver(self.gateway.config)

    def session(self) -> SdkSession:
        """Okta's SDK, which runs for as long as it is wanted."""
        host, port = self.gateway.proxy
        return SdkSession(
            {
                "HTTPS_PROXY": f"http://sdk:{self.agent}@{host}:{port}",
                "SSL_CERT_FILE": str(self.gateway.ca),
            }
        )

    def ask(self, method: str, path: str, body: bytes = b"", host: str = Org.host) -> Reply:
        """A call by hand, with what an SDK without a token of its own sends."""
        with Tunnel(self.gateway.proxy, self.gateway.ca, self.agent, f"{host}:443", host) as tunnel:
            lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Authorization: SSWS00dummy"]
            if method != "GET":
                lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
            tunnel.send("\r\n".join([*lines, "", ""]).encode() + body)
            return tunnel.reply(method)

    def calls(self) -> list[Received]:
        """What reached the org's API and was carried out."""
        return [each for each in self.journal("/api/") if each.reason is None]

    def minted(self) -> list[Received]:
        """The token requests that were granted."""
        return [each for each in self.journal(self.org.token_path) if each.token is not None]

    def revoked(self) -> list[Received]:
        """The revocations that were granted."""
        return [each for each in self.journal(self.org.revoke_path) if each.status == 200]

    def journal(self, path: str) -> list[Received]:
        """What arrived at paths that begin so."""
        return [each for each in self.org.journal() if each.path.startswith(path)]

    def quiet(self) -> None:
        """Wait until each token that was minted, and that reads do not share, is revoked."""
        wait_for(lambda: self._own() <= {each.token for each in self.revoked()})

    def _own(self) -> set[str | None]:
        return {each.token for each in self.minted() if each.scope != SHARED}


@contextmanager
def org_in(folder: Path) -> Iterator[Org]:
    """An org with these apps, and two more: one of them gets bearer tokens."""
    apps = {**APPS, "bound": BY_HAND, "bearer": BY_HAND}
    with Org.start(folder, apps=apps, unbound=["bearer"]) as org:
        yield org


@contextmanager
def lending_in(
    folder: Path, org: Org, others: Mapping[str, Mapping[str, object]] = MappingProxyType({})
) -> Iterator[Lending]:
    """Start it; what is secret is kept outside of the folder of the gateway.

    ``others``: by host more credentials by which the other target knows the gateway.
    """
    secrets, own = folder / "secrets", folder / "gateway"
    secrets.mkdir(mode=0o700)
    own.mkdir()
    tokens = Tokens(secrets)
    (own / "policy.yaml").write_bytes(orjson.dumps(POLICY))
    static = secrets / "things.token"
    static.touch(mode=0o600)
    static.write_text(SECRET)
    ca = TestCA.create(secrets, name="things")
    okta = {
        "name": "okta",
        "hosts": [org.host],
        "catalog": "okta",
        "dial": f"127.0.0.1:{org.port}",
        "trust": str(org.ca),
        "credential": credential(org),
    }
    known = {"type": "static", "header": "Authorization", "value": f"file:{static}"}
    with Origin(ca.leaf("api.example", *others), answering(b'{"name":"Ada"}')) as things:
        far = [
            target(things.port, ca.pem, credential=by, hosts=[host], name=host.partition(".")[0])
            for host, by in {"api.example": known, **others}.items()
        ]
        made = settings(own, tokens.jwks, [okta, *far]) | people(expire="120s")
        with GatewayProcess(own, made) as gateway:
            yield Lending(org, things, gateway, tokens.token(life=3600), made)
