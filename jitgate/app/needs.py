"""What rules may ever ask of each service app: which scopes, by which rules. Nobody is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jitgate.app.reach import Kind
from jitgate.credentials.okta_app import OktaApp, narrowest
from jitgate.errors import CredentialRefused
from jitgate.values import Risk

Rules = tuple[str, ...]
"""Names of rules, in the order of the policy."""


class Uncovered(NamedTuple):
    """What may go, and no app is for."""

    action: str
    risk: Risk | None
    rules: Rules


@dataclass(frozen=True, slots=True)
class Needs:
    """What rules may ask of a target's apps."""

    by_app: Mapping[str, Mapping[str, Rules]]
    """For each app the scopes that may be asked for, and by which rules; none: it is never used."""
    uncovered: Sequence[Uncovered]


def needs_of(
    target: str, apps: Sequence[OktaApp], passing: Mapping[Kind, Rules], order: Sequence[str]
) -> Needs:
    """The needs of one target. ``passing``: what may go, by which rules; ``order``: of rules."""
    by_app: dict[str, dict[str, set[str]]] = {app.client.name: {} for app in apps}
    uncovered: dict[str, Uncovered] = {}
    for kind, rules in passing.items():
        if kind.target != target or not kind.scopes:
            continue
        try:
            name = narrowest(apps, kind.operation).client.name
        except CredentialRefused:
            uncovered[kind.action] = Uncovered(kind.action, kind.risk, rules)
            continue
        for scope in kind.scopes:
            by_app[name].setdefault(scope, set()).update(rules)
    places = {name: place for place, name in enumerate(order)}
    return Needs(
        {
            name: {
                scope: tuple(sorted(rules, key=places.__getitem__))
                for scope, rules in sorted(needed.items())
            }
            for name, needed in by_app.items()
        },
        sorted(uncovered.values(), key=lambda each: each.action),
    )
