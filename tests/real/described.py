"""An Okta org that has every operation of the description, and the gateway before it."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
from real.lending import RISKS, credential
from support.counterparts import Org
from support.description import Description
from support.gateway import GatewayProcess, settings, wait_for
from support.tokens import Tokens
from support.wire import Reply, Tunnel

DESCRIPTION = Path(__file__).parent / "okta.json"
OPERATIONS = Description(DESCRIPTION).operations

with (Path(__file__).parents[2] / "jitgate" / "catalogs" / "okta_risks.csv").open() as facts:
    RISK_OF = {row[0]: row[1] for row in csv.reader(facts)}
"""How risky each operation is, as the catalog's facts have it."""

APP_OF = {risk: app for app, risks in RISKS.items() for risk in risks}
"""The service app for each risk."""

Sent = tuple[str, str, Mapping[str, str], bytes]
"""A call: method, target, fields, body."""

TUNNELS = 4
"""Tunnels at a time; in each one call after the other. Prism computes one answer at a time."""


class Driver:
    """Sends calls through a gateway."""

    def __init__(self, gateway: GatewayProcess, tokens: Tokens) -> None:
        self._gateway = gateway
        self._tokens = tokens

    def send(self, calls: Sequence[Sent]) -> list[Reply]:
        """What each call is answered, in their order."""
        with ThreadPoolExecutor(TUNNELS) as pool:
            dealt = [calls[n::TUNNELS] for n in range(TUNNELS)]
            lots = list(pool.map(self._one_after_the_other, dealt))
        return [lots[n % TUNNELS][n // TUNNELS] for n in range(len(calls))]

    def _one_after_the_other(self, calls: Sequence[Sent]) -> list[Reply]:
        token = self._tokens.token()
        host = Org.host
        with Tunnel(self._gateway.proxy, self._gateway.ca, token, f"{host}:443", host) as tunnel:
            return [_sent(tunnel, *call) for call in calls]


def _sent(
    tunnel: Tunnel, method: str, target: str, fields: Mapping[str, str], body: bytes
) -> Reply:
    fields = {"Host": Org.host, "Authorization": "SSWS the-agents-own"} | fields
    if body or method in {"POST", "PUT", "PATCH"}:
        fields |= {"Content-Length": str(len(body))}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    tunnel.send("\r\n".join([*lines, "", ""]).encode() + body)
    return tunnel.reply(method)


@dataclass(frozen=True)
class DescribedEstate:
    """The org that Prism serves, and the gateway before it."""

    org: Org
    gateway: GatewayProcess
    driver: Driver


@contextmanager
def described_in(folder: Path) -> Iterator[DescribedEstate]:
    """Start both; all of Okta is permitted, and the fields that the catalog marks are masked."""
    tokens = Tokens(folder)
    rule = {
        "name": "all",
        "reason": "All of Okta, with its secrets masked",
        "match": {"targets": ["okta"]},
        "effect": "permit",
        "mask": "okta",
    }
    (folder / "policy.yaml").write_bytes(orjson.dumps([rule]))
    masking = [{"profile": "okta", "secrets": "catalog"}]
    (folder / "masking.yaml").write_bytes(orjson.dumps(masking))
    with Org.start(folder, algorithm="ES256", apps=_apps(), description=DESCRIPTION) as org:
        okta = {
            "name": "okta",
            "hosts": [org.host],
            "catalog": "okta",
            "dial": f"127.0.0.1:{org.port}",
            "trust": str(org.ca),
            "credential": credential(org),
        }
        made = settings(folder, tokens.jwks, [okta], masking=[str(folder / "masking.yaml")])
        with GatewayProcess(folder, made) as gateway:
            driver = Driver(gateway, tokens)
            # From then on the gateway knows what the org wants to see in its proofs.
            wait_for(lambda: driver.send([("GET", "/api/v1/users", {}, b"")])[0].status == 200)
            wait_for(lambda: _tokens(org, org.token_path) == _tokens(org, org.revoke_path))
            yield DescribedEstate(org, gateway, driver)


def _tokens(org: Org, path: str) -> set[str]:
    """The ids of the tokens that an endpoint gave or took back."""
    return {each.token for each in org.journal() if each.path == path and each.token is not None}


def _apps() -> Mapping[str, Sequence[str]]:
    """Each service app is granted what operations of its risks need, and nothing else."""
    needed: dict[str, set[str]] = {app: set() for app in RISKS}
    for each in OPERATIONS:
        needed[APP_OF[RISK_OF[each.action]]].update(each.scopes)
    return {app: sorted(scopes) for app, scopes in needed.items()}
