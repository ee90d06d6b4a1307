"""jitgate as it is measured: every stage on, and its record to check afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support.approver import people
from support.gateway import GatewayProcess, settings, target
from support.tokens import Tokens

from jitgate.catalogs.okta import okta_rows

from .machine import PROXIES, pin
from .site import CLEAN, FILES, HOST, LENT, NEW, NEW_HOSTS, SECRET, Site

LIFE = 4 * 3600
"""Seconds that the agent's token lives: longer than any run."""

NAMES = ("*secret", "password", "apiKey", "*token")
"""What jitgate hides, and the peer that can mask, too."""

MASKED = {"profile": "bench", "names": NAMES}


@contextmanager
def running(
    site: Site, folder: Path, command: tuple[str, ...] = (), **more: object
) -> Iterator[tuple[GatewayProcess, str]]:
    """A gateway in ``folder``, pinned to its processor, and a token for it."""
    tokens = Tokens(folder)
    (folder / "policy.yaml").write_bytes(orjson.dumps(_rules()))
    (folder / "masking.yaml").write_bytes(orjson.dumps([MASKED]))
    made = settings(
        folder,
        tokens.jwks,
        _targets(site, _credential(site, folder)),
        masking=["./masking.yaml"],
        **(people() | more),
    )
    with GatewayProcess(folder, made, command) as gateway:
        pin(gateway.process.pid, PROXIES)
        yield gateway, tokens.token(life=LIFE)


def _credential(site: Site, folder: Path) -> dict[str, object]:
    """A service app of the org that the origin is: its tokens are bound to a key (DPoP)."""
    key = folder / "app.pem"
    key.touch(mode=0o600)
    made = ec.generate_private_key(ec.SECP256R1())
    key.write_bytes(
        made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    org = f"https://{LENT}:{site.origin}"
    app = {"client_id": "0oa1bench", "key_id": "k1", "private_key": f"file:{key}"}
    return {"type": "okta", "org": org, **app}


def _targets(site: Site, credential: dict[str, object]) -> list[dict[str, object]]:
    new = [f"{NEW % number}:{site.origin}" for number in range(NEW_HOSTS)]
    return [
        target(site.origin, site.ca.pem, **named)
        for named in (
            {"name": "okta", "hosts": [f"{HOST}:{site.origin}"], "catalog": "okta"},
            {
                "name": "lent",
                "hosts": [f"{LENT}:{site.origin}"],
                "catalog": "okta",
                "credential": credential,
            },
            {"name": "files", "hosts": [f"{FILES}:{site.origin}"]},
            {"name": "new", "hosts": new},
        )
    ]


def _rules() -> list[dict[str, object]]:
    """A hundred rules, of which each request that is measured meets one."""
    here: Mapping[str, object] = {"targets": ["okta", "lent"], "groups": ["it-agents"]}
    denied: list[dict[str, object]] = [
        {
            "name": f"never-{number}",
            "reason": "Agents do not do this",
            "match": {**here, "actions": [action]},
            "effect": "deny",
        }
        for number, action in enumerate(_changes()[:95])
    ]
    reviewed: dict[str, object] = {
        "name": "people-look",
        "reason": "Changes are looked at",
        "match": {**here, "methods": ["POST", "PUT", "PATCH"]},
        "effect": "review",
        "approvers": {"groups": ["it-leads"]},
    }
    permitted = [
        _permit("one-user", {**here, "actions": ["getUser"], "paths": [CLEAN]}),
        _permit(
            "masked-user",
            {**here, "actions": ["getUser"], "paths": [SECRET]},
            mask="bench",
            reuse="1h",
        ),
        _permit("groups", {**here, "actions": ["listGroups", "getGroup"]}),
        _permit(
            "others", {"targets": ["files", "new"], "methods": ["GET"], "groups": ["it-agents"]}
        ),
    ]
    return [*denied, reviewed, *permitted]


def _changes() -> list[str]:
    """What changes an org for good."""
    return sorted(row.action for row in okta_rows() if row.method == "DELETE")


def _permit(name: str, match: Mapping[str, object], **more: object) -> dict[str, object]:
    return {"name": name, "reason": "Measured", "match": match, "effect": "permit", **more}
