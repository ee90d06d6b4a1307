"""What is found of a target's credential: in words, and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jitgate.app.needs import Rules, Uncovered
from jitgate.cli.columns import table
from jitgate.core.visible import visible
from jitgate.credentials.examining import Count, Examined

NAMED = 3
"""Rules that are named where more may need a scope; the rest is counted, and in --json."""

LISTED = 6
"""Scopes and operations that a warning lists; the table has the rest."""

CONSOLE = "Applications > Applications > the app > Okta API Scopes"
"""Where Okta's Admin Console says what an app was granted."""

_REMEDIES = {
    "invalid_client": (
        "It does not know the app by this client_id, key_id and key, or the app is not active: "
        "compare them with Applications > Applications > the app > General > Client Credentials "
        "in Okta's Admin Console."
    ),
    "unauthorized_client": (
        "The app may not use client credentials: in Okta it must be one of the kind API Services."
    ),
}


@dataclass(frozen=True, slots=True)
class OfApp:
    """What is known of one service app."""

    target: str
    org: str
    app: str
    client_id: str
    dpop: bool
    needed: Mapping[str, Rules]
    examined: Examined
    count: Count
    user_agent: str
    """What the requests to the org said in their User-Agent."""

    def granted(self, scope: str) -> bool | None:
        """Whether the app was granted it; None: it could not be told."""
        if scope in self.examined.granted:
            return True
        return False if self.examined.fault is None else None

    @property
    def scopes(self) -> list[str]:
        """Those that are needed, or granted."""
        return sorted({*self.needed, *self.examined.granted})


@dataclass(frozen=True, slots=True)
class OfTarget:
    """What is known of one target's credential."""

    target: str
    type: str
    apps: Sequence[OfApp] = ()
    uncovered: Sequence[Uncovered] = field(default=())


# --- what is not as it should be


def warnings(found: OfTarget) -> Iterator[str]:
    """Each in a sentence or two, with what to do."""
    for app in found.apps:
        yield from (f"{app.target}, {app.app}: {each}" for each in _of_app(app))
    risks = {each.risk for each in found.uncovered}
    for risk in sorted(risks, key=lambda each: "" if each is None else each.value):
        those = [each.action for each in found.uncovered if each.risk is risk]
        word = "of no known risk" if risk is None else risk.value
        yield (
            f"{found.target}: no app covers {_listed(those)}, whose risk is {word}: rules let such "
            "calls pass, and they will be refused. Give an app that risk and those scopes, or "
            "narrow the rules."
        )


def _of_app(app: OfApp) -> Iterator[str]:
    if not app.needed:
        yield "no operation that rules let pass chooses it. Take it away, here and in Okta."
    if app.examined.fault is not None:
        yield " ".join(filter(None, [app.examined.fault, _REMEDIES.get(app.examined.code)]))
    idle = [scope for scope in app.scopes if scope not in app.needed]
    if idle:
        yield (
            f"it was granted {_listed(idle)}, which no rule needs. Take that away in Okta's Admin "
            f"Console: {CONSOLE}."
        )
    lacking = [scope for scope in app.needed if app.granted(scope) is False]
    if lacking:
        yield (
            f"it was not granted {_listed(lacking)}, which rules need: such calls will fail. Grant "
            f"that in Okta's Admin Console ({CONSOLE}), or narrow the rules."
        )
    kept = app.count.minted - app.count.revoked
    if kept:
        yield (
            f"{_many(kept, 'token')} could not be revoked, and will be good for up to an hour. "
            "Nobody but this command, which has ended, had them."
        )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - LISTED
    if more <= 1:
        return ", ".join(names)
    return f"{', '.join(names[:LISTED])} and {more} more"


def _many(count: int, one: str) -> str:
    return f"{count} {one}{'s' * (count != 1)}"


# --- in words


def in_words(found: Sequence[OfTarget], notes: Sequence[str]) -> Iterator[str]:
    """A table for each app, then what is not as it should be."""
    for target in found:
        if target.type == "okta":
            for app in target.apps:
                yield from _app_words(app)
                yield ""
        else:
            yield f"{target.target}: {target.type}. {_KNOWN[target.type]} Nothing is asked."
    yield from notes
    said = [each for target in found for each in warnings(target)]
    yield from (f"warning: {visible(each)}" for each in said)
    counts = [app.count for target in found for app in target.apps]
    asked, minted, revoked = (
        sum(getattr(each, name) for each in counts) for name in ("asked", "minted", "revoked")
    )
    if asked:
        (name,) = {app.user_agent for target in found for app in target.apps}
        yield f"In the org's System Log the User-Agent of these requests is {name}."
        yield f"Asked for {_many(asked, 'token')}; {minted} came, and {revoked} were revoked."


_KNOWN: Mapping[str, str] = {
    "static": "Its secret can be read.",
    "vault": "What it signs in with can be read.",
    "plugin": "The plugin provides it.",
    "none": "There is no credential.",
}


def _app_words(app: OfApp) -> Iterator[str]:
    kind = "DPoP" if app.dpop else "bearer tokens"
    yield visible(f"{app.target}, {app.app}: client {app.client_id} of {app.org}, {kind}")
    if not app.scopes:
        yield "  No scope is needed, and none is known to be granted."
        return
    rows = [("SCOPE", "GRANTED", "NEEDED BY")]
    words = {True: "yes", False: "no", None: "unknown"}
    rows += [
        (visible(scope), words[app.granted(scope)], _rules_words(app.needed.get(scope, ())))
        for scope in app.scopes
    ]
    yield from (f"  {row}" for row in table(rows))


def _rules_words(rules: Rules) -> str:
    if not rules:
        return "no rule"
    more = len(rules) - NAMED
    if more <= 1:
        return visible(", ".join(rules))
    return visible(f"{', '.join(rules[:NAMED])} and {more} more")


# --- for programs


def in_json(found: Sequence[OfTarget]) -> list[dict[str, Any]]:
    """An object for each app, and one for each target that has none."""
    return [each for target in found for each in _target_json(target)]


def _target_json(found: OfTarget) -> Iterator[dict[str, Any]]:
    head = {"target": found.target, "type": found.type}
    if found.type != "okta":
        yield {**head, "warnings": []}
        return
    of_all = [*warnings(OfTarget(found.target, found.type, uncovered=found.uncovered))]
    for app in found.apps:
        yield {
            **head,
            "app": app.app,
            "org": app.org,
            "client_id": app.client_id,
            "dpop": app.dpop,
            "scopes": [
                {
                    "scope": scope,
                    "granted": app.granted(scope),
                    "rules": list(app.needed.get(scope, ())),
                }
                for scope in app.scopes
            ],
            "fault": app.examined.fault,
            "tokens": {
                "asked": app.count.asked,
                "minted": app.count.minted,
                "revoked": app.count.revoked,
            },
            "user_agent_token": app.user_agent,
            "warnings": [*(f"{app.target}, {app.app}: {each}" for each in _of_app(app)), *of_all],
        }
