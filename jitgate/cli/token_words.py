"""What a token proves, or why it proves nothing, in words and for programs.

What a token says was written by whoever made it. It is shown with every character visible, cut
where it is long, and without what looks like a token in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from jitgate.cli.columns import labelled
from jitgate.cli.moments import span
from jitgate.config.identity_schema import Issuer, OidcIssuer, PluginIssuer
from jitgate.core.columns import wrapped
from jitgate.core.visible import visible
from jitgate.errors import IdentityUnavailable
from jitgate.identity.vendors import VENDORS
from jitgate.values import Refusal, Subject

CHARS = 200
"""Characters of a text that are shown: names and addresses are shorter, keys and proofs longer."""

MEMBERS = 50
"""Members of an object or a list that are shown."""

DEPTH = 4
"""Objects and lists within each other that are shown."""

DIGITS = 40
"""Digits of a number that are shown whole; times have ten."""

_TOKEN = re.compile(r"[\w-]{8,}\.[\w-]{8,}\.[\w-]*")
_TIMES = ("exp", "iat", "nbf", "auth_time")
_LATEST = 253402300799
"""The last second of the year 9999, after which there are no dates."""

Outcome = Subject | Refusal | IdentityUnavailable


@dataclass(frozen=True, slots=True)
class Explained:
    """A token, what is made of it, and what there is to say about it."""

    outcome: Outcome
    issuers: Sequence[Issuer]
    """Whom it could be of."""
    now: float
    meant: Issuer | None = None
    """Whom it names, if that is one of them."""
    key_ids: Sequence[str] | None = None
    """The keys that the one has, where they are at hand."""
    said: Mapping[str, Mapping[str, Any]] | None = field(default=None, repr=False)
    """What it says of itself, part by part; None where it cannot be read."""


# --- for programs


def as_json(explained: Explained) -> dict[str, Any]:
    """An object that says all of it."""
    outcome, meant, said = explained.outcome, explained.meant, explained.said
    return {
        "outcome": _word(outcome),
        "reason": None if isinstance(outcome, Subject) else _reason(outcome),
        "issuer": None if meant is None else {"name": meant.name, "url": meant.issuer},
        "subject": _subject(outcome, explained.now) if isinstance(outcome, Subject) else None,
        "wanted": None if meant is None else {**_wanted(meant), "keys": explained.key_ids},
        "verified": isinstance(outcome, Subject),
        "token": None if said is None else {part: _shown(said[part]) for part in said},
    }


def _word(outcome: Outcome) -> str:
    if isinstance(outcome, Subject):
        return "accepted"
    return "refused" if isinstance(outcome, Refusal) else "unknown"


def _reason(outcome: Refusal | IdentityUnavailable) -> str:
    return outcome.detail if isinstance(outcome, Refusal) else f"{outcome}"


def _subject(subject: Subject, now: float) -> dict[str, Any]:
    return {
        "issuer": subject.issuer,
        "id": subject.id,
        "agent": subject.agent,
        "groups": sorted(subject.groups),
        "humans": list(subject.humans),
        "session": subject.session,
        "expires_at": _date(subject.expires_at),
        "seconds_left": int(subject.expires_at - now),
    }


def _wanted(issuer: Issuer) -> dict[str, Any]:
    """What a token, or an assertion, must say for the issuer's entry to fit it."""
    if isinstance(issuer, PluginIssuer):
        return {"iss": [issuer.issuer]}
    if not isinstance(issuer, OidcIssuer):
        return {
            "issuer": [issuer.issuer],
            "audience": [issuer.audience],
            "recipient": [issuer.recipient],
            "alg": list(issuer.algorithms),
            "name_ids": list(issuer.name_ids),
            "attributes": issuer.required,
        }
    vendor = VENDORS[issuer.profile]
    return {
        "iss": [issuer.issuer],
        "aud": [issuer.audience, *issuer.also_for],
        "typ": sorted(vendor.types),
        "alg": list(issuer.algorithms),
        "claims": {**vendor.fixed, **issuer.required},
    }


def _shown(value: object, depth: int = DEPTH) -> Any:
    """What somebody wrote, as far as it is shown."""
    if isinstance(value, str):
        text = _TOKEN.sub("(a token)", value)
        return text if len(text) <= CHARS else f"{text[:CHARS]}… ({len(text)} characters)"
    if isinstance(value, int) and abs(value) >= 10**DIGITS:
        return "(a number of very many digits)"
    if not isinstance(value, Mapping | list):
        return value
    if depth == 0:
        return "…"
    if isinstance(value, list):
        rest = [f"… ({len(value)} in all)"] if len(value) > MEMBERS else []
        return [_shown(each, depth - 1) for each in value[:MEMBERS]] + rest
    names = list(value)[:MEMBERS]
    shown = {_shown(name): _shown(value[name], depth - 1) for name in names}
    return shown if len(value) <= MEMBERS else {**shown, "…": f"{len(value)} in all"}


# --- in words


def in_words(explained: Explained, columns: int) -> Iterator[str]:
    """Lines for a terminal that is so wide."""
    outcome = explained.outcome
    if isinstance(outcome, Subject):
        yield "Accepted: the gateway believes this token."
        yield from _who(outcome, explained, columns)
    else:
        start = "Refused" if isinstance(outcome, Refusal) else "It could not be told"
        yield from wrapped(f"{start}. {visible(_reason(outcome))}", columns)
        yield from _where(explained, columns)
    if explained.said is not None:
        yield ""
        if isinstance(outcome, Subject):
            yield "What the issuer signed:"
        else:
            yield "What it says of itself, of which nothing is proved:"
        for part, members in explained.said.items():
            yield ""
            for name, value in _shown(members).items():
                label = visible(name)
                yield from labelled(f"{label} ", _value(part, name, value, explained), columns)


def _who(subject: Subject, explained: Explained, columns: int) -> Iterator[str]:
    left = span(subject.expires_at - explained.now)
    meant = explained.meant
    yield ""
    for label, value in (
        ("issuer", f"{meant.name}, {subject.issuer}" if meant else subject.issuer),
        ("id", subject.id),
        ("agent", subject.agent or "the one of that id"),
        ("groups", ", ".join(sorted(subject.groups)) or "none"),
        ("humans", ", ".join(subject.humans) or "none beside the id"),
        ("session", subject.session or "the one that the agent names"),
        ("until", f"{_date(subject.expires_at)}, {left} from now"),
    ):
        yield from labelled(label, visible(value), columns)


def _where(explained: Explained, columns: int) -> Iterator[str]:
    """Whose token it would be, and what that one's entry asks for."""
    meant = explained.meant
    if meant is not None:
        wanted = _wanted(meant)
        yield ""
        yield f"It names the issuer {meant.name}, whose tokens must say:"
        yield ""
        for label, value in _wanted_lines(wanted, explained.key_ids):
            yield from labelled(f"{label} ", visible(value), columns)
    elif explained.said is not None:
        yield ""
        yield "The issuers that are configured:"
        yield ""
        for issuer in explained.issuers:
            yield from labelled(f"{issuer.name} ", visible(issuer.issuer), columns)


def _wanted_lines(
    wanted: Mapping[str, Any], key_ids: Sequence[str] | None
) -> Iterator[tuple[str, str]]:
    for label, values in wanted.items():
        if isinstance(values, Mapping):
            yield from ((name, _listed(value)) for name, value in values.items())
        elif values:
            yield label, _listed([value or "(none)" for value in values])
    if key_ids is not None:
        yield "kid", _listed(key_ids)


def _listed(values: object) -> str:
    """One of several, in words."""
    several = values if isinstance(values, list | tuple) else [values]
    return " or ".join(each if isinstance(each, str) else json.dumps(each) for each in several)


def _value(part: str, name: str, value: Any, explained: Explained) -> str:
    """A member as it was written; of a time also what it is."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if part == "claims" and name in _TIMES and type(value) is int and 0 <= value <= _LATEST:
        away = value - explained.now
        when = f"{span(away)} from now" if away > 0 else f"{span(-away)} ago"
        return f"{text}: {_date(value)}, {when}"
    return visible(text)


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")
