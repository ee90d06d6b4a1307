"""A session's entries as a timeline for the terminal: when, what, why, and what came back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jitgate.cli.moments import span
from jitgate.cli.visible import body_lines, size, visible
from jitgate.errors import JitgateError
from jitgate.stores.lines import moment, timestamp
from jitgate.stores.reading import Kept, Recording

BODY_LINES = 40
"""How many lines of a body a timeline shows: about a screen."""

LINE_CHARS = 400
"""How many characters of one line of a body it shows: a few lines of a terminal."""

_ENDLESS = 2.0**36
"""Seconds that no time or span in a record has: two thousand years."""

_MARGIN = " " * 12


def timeline(recording: Recording, entries: Sequence[Kept]) -> Iterator[str]:
    """The lines of one session's timeline. ``entries`` are its entries by time, at least one."""
    start = moment(entries[0].time)
    session = next((name for kept in entries if (name := kept.text("session"))), "?")
    subject = next((found for kept in entries if (found := kept.part("subject"))), {})
    yield f"Session {visible(session)}"
    yield f"  who      {who(subject)}"
    yield f"  started  {entries[0].time}"
    for kept in entries:
        offset = (moment(kept.time) - start).total_seconds()
        told = list(_TELL.get(kept.type, _other)(kept))
        yield ""
        yield f"{f'+{offset:.3f} s':>10}  {told[0]}"
        for line in told[1:]:
            yield _MARGIN + line
        for line in _bodies(recording, kept):
            yield _MARGIN + line


def who(subject: Mapping[str, Any]) -> str:
    """A subject in a line."""
    if not subject:
        return "nobody: no identity was proved"
    parts = [f"{_show(subject.get('id'))}, as {_show(subject.get('issuer'))} says"]
    for label, field in (("groups", "groups"), ("acts for", "humans")):
        names = subject.get(field)
        if isinstance(names, list) and names:
            parts.append(f"{label} {', '.join(map(_show, names))}")
    return "; ".join(parts)


def _tunnel(kept: Kept) -> Iterator[str]:
    name = kept.text("name")
    called = "" if name is None else f", as the run {visible(name)}"
    where, result = _show(kept.content.get("authority")), _show(kept.content.get("result"))
    yield f"Tunnel to {where}{called}: {result}"
    yield from _why(kept, "detail")


def _refused(kept: Kept) -> Iterator[str]:
    yield f"Refused: {_show(kept.content.get('denial'))}"
    yield from _why(kept, "detail")


def _decision(kept: Kept) -> Iterator[str]:
    operation, request = kept.part("operation"), kept.part("request")
    if operation:
        asked = f"{_show(operation.get('action'))} on {_show(operation.get('target'))}"
        call = f"{_show(operation.get('method'))} {_show(operation.get('url'))}"
    else:
        asked = "An operation that is not known"
        call = f"{_show(request.get('method'))} {_show(request.get('target'))}"
    yield f"{asked}  [exchange {_show(kept.content.get('exchange'))}]"
    yield call
    rule = kept.text("rule")
    by = f" by the rule {visible(rule)}" if rule else ""
    yield f"{_show(kept.content.get('effect')).upper()}{by}: {_show(kept.content.get('reason'))}"


def _outcome(kept: Kept) -> Iterator[str]:
    status = kept.content.get("status")
    released = kept.part("released").get("bytes")
    parts = [
        f"{'No answer' if status is None else _show(status)}, {_show(kept.content.get('outcome'))}",
        f"{kept.content.get('seconds')} s",
    ]
    if isinstance(released, int):
        parts.append(f"{size(released)} released")
    yield f"{'; '.join(parts)}  [exchange {_show(kept.content.get('exchange'))}]"
    yield from _why(kept, "why")
    if masks := kept.part("masks"):
        counts = (f"{_show(masker)} {_show(count)}" for masker, count in masks.items())
        yield f"masked: {', '.join(counts)}"
    if credential := kept.part("credential"):
        facts = (f"{_show(name)} {_show(value)}" for name, value in credential.items())
        yield f"credential: {', '.join(facts)}"
    if tokens := kept.content.get("user_agent_tokens"):
        yield f"in the target's own log: {_listed(tokens, ', ')}"


def _opened(kept: Kept) -> Iterator[str]:
    operation, uses = kept.part("operation"), kept.content.get("uses")
    asked = f"{_show(operation.get('action'))} on {_show(operation.get('target'))}"
    auto = kept.content.get("auto") is True
    waits = "is for policy itself to approve" if auto else f"waits for approval by {_asked(kept)}"
    yield f"{asked} {waits}  {_about(kept)}"
    gives = "for this call, once" if uses == 1 else f"for a scope, {_show(uses)} times"
    if kept.content.get("ahead") is True:
        gives = f"for a scope, {_show(uses)} times, ahead of the call"
    waited = "" if auto else f"; it is waited for until {_until(kept)}"
    yield f"an approval is {gives}, within {_span(kept)}{waited}"


def _answered(kept: Kept) -> Iterator[str]:
    did = "approves" if kept.content.get("approves") is True else "denies"
    said = f": {visible(reason)}" if (reason := kept.text("reason")) else ""
    who, channel = _show(kept.content.get("approver")), _show(kept.content.get("channel"))
    yield f"{who} {did}, by {channel}{said}  {_about(kept)}"
    if less := kept.part("less"):
        given = (f"{_show(name)} {_show(value)}" for name, value in less.items() if value)
        yield f"gives less than policy offers: {', '.join(given)}"


def _void(kept: Kept) -> Iterator[str]:
    yield f"What {_show(kept.content.get('approver'))} answered counts no longer  {_about(kept)}"
    yield from _why(kept, "why")


def _escalated(kept: Kept) -> Iterator[str]:
    groups = _listed(kept.content.get("groups"), ", ")
    yield f"More people are asked: {groups} from now on  {_about(kept)}"


def _made(kept: Kept) -> Iterator[str]:
    uses = kept.content.get("uses")
    many = "1 use" if uses == 1 else f"{_show(uses)} uses"
    by = _listed(kept.content.get("approved_by"), ", ")
    yield f"Granted by {by}: {many} until {_until(kept)}  {_about(kept)}"


def _spent(kept: Kept) -> Iterator[str]:
    yield f"The grant is used; {_show(kept.content.get('left'))} left of it  {_about(kept)}"
    yield f"leaves with the fingerprint {_show(kept.content.get('fingerprint'))}"


def _ended(kept: Kept) -> Iterator[str]:
    """What became of an access request, of a grant, or of a use of one."""
    thing = _ENDS[kept.type]
    yield f"{thing} {_show(kept.content.get('state'))}  {_about(kept)}"
    yield from _why(kept, "why")


def _kept_out(kept: Kept) -> Iterator[str]:
    who = f"uid {_show(kept.content.get('uid'))}"
    if person := kept.text("person"):
        who += f" ({visible(person)})"
    asked = f", which asked for {visible(name)}" if (name := kept.text("command")) else ""
    yield f"Refused at the control socket: {who}{asked}  {_about(kept)}".rstrip()
    yield from _why(kept, "why")
    if (more := kept.content.get("left_out")) is not None:
        yield f"{_show(more)} more before it have no entry of their own"


def _other(kept: Kept) -> Iterator[str]:
    yield visible(kept.type)


_ENDS = {
    "access.ended": "The access request is",
    "grant.ended": "The grant is",
    "grant.settled": "The use of the grant is",
}

_TELL: Mapping[str, Callable[[Kept], Iterator[str]]] = {
    "tunnel": _tunnel,
    "refused": _refused,
    "decision": _decision,
    "outcome": _outcome,
    "access.opened": _opened,
    "access.carried": _opened,
    "access.answered": _answered,
    "access.void": _void,
    "access.escalated": _escalated,
    "access.ended": _ended,
    "grant.made": _made,
    "grant.carried": _made,
    "grant.spent": _spent,
    "grant.settled": _ended,
    "grant.ended": _ended,
    "control.refused": _kept_out,
}


def _about(kept: Kept) -> str:
    """The ids of what an entry is about, in brackets."""
    named = (("access request", "access_request"), ("grant", "grant"), ("exchange", "exchange"))
    ids = [f"{word} {visible(key)}" for word, field in named if (key := kept.text(field))]
    return f"[{', '.join(ids)}]" if ids else ""


def _asked(kept: Kept) -> str:
    """Whom the quorums of an access request ask."""
    quorums = kept.content.get("quorums")
    said = [
        f"{_show(quorum.get('count'))} of {_listed(quorum.get('groups'), ' or ')}"
        for quorum in (quorums if isinstance(quorums, list) else [])
        if isinstance(quorum, Mapping)
    ]
    return ", and ".join(said) or "?"


def _span(kept: Kept) -> str:
    life = _number(kept, "life")
    return "?" if life is None else span(life)


def _until(kept: Kept) -> str:
    expiry = _number(kept, "expires_at")
    return "?" if expiry is None else f"{timestamp(expiry)[:19]}Z"


def _number(kept: Kept, field: str) -> float | None:
    """A number of seconds, None if it is not there or is none that could be."""
    value = kept.content.get(field)
    return value if isinstance(value, int | float) and 0 <= value < _ENDLESS else None


def _listed(value: object, between: str) -> str:
    return between.join(map(_show, value)) if isinstance(value, list) else _show(value)


def _why(kept: Kept, field: str) -> Iterator[str]:
    said = [kept.text(name) for name in ("denial", field)]
    if why := ": ".join(part for part in said if part):
        yield visible(why)


def _bodies(recording: Recording, kept: Kept) -> Iterator[str]:
    for name in kept.part("bodies"):
        title, lines = body(recording, kept, name)
        yield title
        for line in lines[:BODY_LINES]:
            over = len(line) - LINE_CHARS
            yield f"  {line[:LINE_CHARS]}" + (f" … {over} more characters" if over > 0 else "")
        if (more := len(lines) - BODY_LINES) > 0:
            yield f"  … {more} more lines: jitgate show {kept.name}"


def body(recording: Recording, kept: Kept, name: str) -> tuple[str, list[str]]:
    """A body's title, and its lines for the eye; the title says so if it cannot be read."""
    try:
        data = recording.body(kept, name)
    except (JitgateError, OSError) as error:
        return f"{visible(name)} body: cannot be read: {error}", []
    whole = kept.part("bodies")[name]["of"]
    part = "" if len(data) == whole else f", the first {size(len(data))} of them"
    return f"{visible(name)} body, {size(whole)}{part}:", body_lines(data)


def _show(value: object) -> str:
    """A value out of a record, in words."""
    if isinstance(value, list):
        return " ".join(map(_show, value))
    return "?" if value is None else visible(str(value))
