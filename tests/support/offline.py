"""A configuration whose keys and certificates are all elsewhere: what an operator's laptop has."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jitgate.app.offline import Attempt, Offline, offline
from jitgate.core.trial import Trial
from jitgate.values import NO_FACTS, Facts, Subject

ISSUER = "https://idp.example"
AT = 1_767_614_400.0
"""Noon on a Monday, UTC."""

SETTINGS: Mapping[str, Any] = {
    "state": "./state",
    "listen": {"proxy_tls": {"cert": "elsewhere.pem", "key": "file:elsewhere.key"}},
    "control": {"approvers": {1001: "alice@acme.example", 1002: "bob@acme.example"}},
    "identity": {
        "issuers": [
            {
                "name": "agents",
                "type": "oidc",
                "issuer": ISSUER,
                "audience": "jitgate",
                "jwks": "elsewhere.json",
                "owners": {"bot-7": "bob@acme.example"},
            }
        ]
    },
    "targets": [
        {
            "name": "okta",
            "hosts": ["acme.okta.example"],
            "catalog": "okta",
            "trust": "elsewhere.pem",
            "credential": {
                "type": "okta",
                "org": "https://acme.okta.example",
                "client_id": "c",
                "key_id": "k",
                "private_key": "file:elsewhere.pem",
            },
        },
        {
            "name": "things",
            "hosts": ["things.example", "things.example:8443"],
            "catalog": "none",
            "headers": ["X-Trace"],
            "credential": {"type": "static", "header": "X-Key", "value": "file:elsewhere"},
        },
    ],
    "approvals": {
        "groups": {"leads": ["alice@acme.example", "bob@acme.example"], "one": ["x@acme.example"]}
    },
    "policy": ["policy/*.yaml"],
    "masking": ["masking.yaml"],
}


class Laptop:
    """Files of a configuration in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "jitgate.yaml"
        (folder / "policy").mkdir(exist_ok=True)
        self.settings()
        self.masking([{"profile": "plain", "names": ["*secret"]}])

    def settings(self, **changes: object) -> None:
        """Write the configuration."""
        text = json.dumps({**SETTINGS, **changes})  # JSON is YAML
        self.config.write_text(text)

    def policy(self, *rules: Mapping[str, Any], file: str = "rules.yaml") -> None:
        """Write a policy file, a rule a line."""
        self.write(f"policy/{file}", rules)

    def masking(self, profiles: Sequence[Mapping[str, Any]]) -> None:
        """Write the masking file."""
        self.write("masking.yaml", profiles)

    def cases(self, *cases: Mapping[str, Any], file: str = "cases.yaml") -> Path:
        """Write a test file, a case a line."""
        (self.folder / "policy" / "tests").mkdir(exist_ok=True)
        return self.write(f"policy/tests/{file}", cases)

    def write(self, name: str, entries: Sequence[Mapping[str, Any]]) -> Path:
        """Write a file of entries, one a line."""
        file = self.folder / name
        file.write_text("".join(f"- {json.dumps(each)}\n" for each in entries) or "[]\n")
        return file

    def made(self) -> Offline:
        """What is decided by all that."""
        return offline(self.config)


def rule(name: str, effect: str, **more: object) -> dict[str, Any]:
    """A rule as it stands in a policy file; what is no key of a rule is a test of it."""
    keys = {"approvers", "grant", "mask", "reuse"}
    made = {"name": name, "reason": f"{name}.", "effect": effect}
    made["match"] = {key: value for key, value in more.items() if key not in keys}  # type: ignore[assignment]
    if effect == "review":
        made["approvers"] = {"groups": ["leads"]}  # type: ignore[assignment]
    return {**made, **{key: value for key, value in more.items() if key in keys}}


def attempt(
    method: str,
    url: str,
    *,
    body: bytes | None = None,
    headers: tuple[tuple[str, str], ...] = (),
    facts: Facts = NO_FACTS,
) -> Attempt:
    """A call of an agent of IT."""
    subject = Subject(ISSUER, "bot-7", frozenset({"it-agents"}), AT + 600)
    return Attempt(method, url, subject, AT, headers, body, facts)


def told(made: Offline, method: str, url: str, **more: Any) -> Trial:
    """What would become of a call of an agent of IT."""
    return made.tried(attempt(method, url, **more))
