"""A session's entries as a timeline for the terminal: when, what, why, and what came back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jitgate.cli.columns import UNBOUNDED, hung
from jitgate.cli.contents import LINE_CHARS, VALUE_CHARS, contents, cut, shown
from jitgate.cli.moments import span
from jitgate.core.visible import size, visible
from jitgate.stores.lines import moment, timestamp
from jitgate.stores.reading import Kept, Recording

_ENDLESS = 2.0**36
"""Seconds that no time or span in a record has: two thousand years."""

MASKED = 20
"""Hidden values of one exchange that are told one by one; `show` has all that are on record."""

_MARGIN = " " * 12


def timeline(
    recording: Recording, entries: Sequence[Kept], columns: int = UNBOUNDED
) -> Iterator[str]:
    """The lines of one session's timeline. ``entries`` are its entries by time, at least one."""
    yield from heading(entries, columns)
    for kept in entries:
        yield from told(recording, kept, entries[0], columns)


def heading(entries: Sequence[Kept], columns: int = UNBOUNDED) -> Iterator[str]:
    """Which session it is, whose, and since when."""
    session = next((name for kept in entries if (name := kept.text("session"))), "?")
    subject = next((found for kept in entries if (found := kept.part("subject"))), {})
    yield from hung("Session ", cut(visible(session), LINE_CHARS), columns)
    yield from hung("  who      ", cut(who(subject), VALUE_CHARS), columns)
    yield f"  started  {entries[0].time}"


def told(recording: Recording, kept: Kept, first: Kept, columns: int = UNBOUNDED) -> Iterator[str]:
    """What one entry tells, so long after the first one; before it an empty line."""
    offset = after(kept, first)
    head = f"{'?' if offset is None else f'+{offset:.3f} s':>10}  "
    yield ""
    for line in words(kept):
        text = cut(line, VALUE_CHARS, f": jitgate show {kept.name}")
        yield from hung(head, text, columns)
        head = _MARGIN
    for line in contents(recording, kept):
        text = line.lstrip(" ")
        yield from hung(_MARGIN + " " * (len(line) - len(text)), text, columns)


def after(kept: Kept, first: Kept) -> float | None:
    """The seconds between two entries; None where one has a time that no calendar has."""
    try:
        return (moment(kept.time) - moment(first.time)).total_seconds()
    except ValueError:
        return None


def words(kept: Kept) -> list[str]:
    """What one entry tells, in lines; the first says what it is about."""
    return list(_TELL.get(kept.type, _other)(kept))


def who(subject: Mapping[str, Any]) -> str:
    """A subject in a line."""
    if not subject:
        return "nobody: no identity was proved"
    parts = [f"{shown(subject.get('id'))}, as {shown(subject.get('issuer'))} says"]
    for label, field in (("groups", "groups"), ("acts for", "humans")):
        names = subject.get(field)
        if isinstance(names, list) and names:
            parts.append(f"{label} {', '.join(map(shown, names))}")
    return "; ".join(parts)


def _tunnel(kept: Kept) -> Iterator[str]:
    name = kept.text("name")
    called = "" if name is None else f", as the run {visible(name)}"
    where, result = shown(kept.content.get("authority")), shown(kept.content.get("result"))
    yield f"Tunnel to {where}{called}: {result}"
    yield from _why(kept, "detail")


def _refused(kept: Kept) -> Iterator[str]:
    if (denial := kept.content.get("denial")) is not None:
        yield f"Refused: {shown(denial)}"
        yield from _why(kept, "detail")
    else:
        yield from _why(kept, "why")
    yield from _left_out(kept)


def _decision(kept: Kept) -> Iterator[str]:
    operation, request = kept.part("operation"), kept.part("request")
    if operation:
        asked = f"{shown(operation.get('action'))} on {shown(operation.get('target'))}"
        call = f"{shown(operation.get('method'))} {shown(operation.get('url'))}"
    else:
        asked = "An operation that is not known"
        call = f"{shown(request.get('method'))} {shown(request.get('target'))}"
    yield f"{asked}  [exchange {shown(kept.content.get('exchange'))}]"
    yield call
    rule = kept.text("rule")
    by = f" by the rule {visible(rule)}" if rule else ""
    yield f"{shown(kept.content.get('effect')).upper()}{by}: {shown(kept.content.get('reason'))}"


def _outcome(kept: Kept) -> Iterator[str]:
    status = kept.content.get("status")
    released = kept.part("released").get("bytes")
    parts = [
        f"{'No answer' if status is None else shown(status)}, {shown(kept.content.get('outcome'))}",
        f"{shown(kept.content.get('seconds'))} s",
    ]
    if isinstance(released, int):
        parts.append(f"{size(released)} released")
    yield f"{'; '.join(parts)}  [exchange {shown(kept.content.get('exchange'))}]"
    yield from _why(kept, "why")
    yield from _timings(kept.part("timings"))
    if close := kept.part("close"):
        yield f"closed by the {shown(close.get('by'))}, with code {shown(close.get('code'))}"
    if masks := kept.part("masks"):
        counts = (f"{shown(masker)} {shown(count)}" for masker, count in masks.items())
        yield f"masked: {', '.join(counts)}"
    yield from _masked(kept.content.get("masked"))
    if credential := kept.part("credential"):
        facts = (f"{shown(name)} {shown(value)}" for name, value in credential.items())
        yield f"credential: {', '.join(facts)}"
    if tokens := kept.content.get("user_agent_tokens"):
        yield f"in the target's own log: {_listed(tokens, ', ')}"


def _timings(parts: Mapping[str, Any]) -> Iterator[str]:
    """What of the time went by for what, in the order in which it does."""
    known = [(word, parts[name]) for name, word in _WAITED_FOR.items() if name in parts]
    if known:
        yield f"of that: {', '.join(f'{shown(each)} s {word}' for word, each in known)}"


_WAITED_FOR = {
    "people": "for people",
    "credential": "for the credential",
    "connect": "to connect",
    "answer": "for the target's answer",
    "body": "from there to the end",
}


def _message(kept: Kept) -> Iterator[str]:
    """What one side of a WebSocket said."""
    who, kind = shown(kept.content.get("by")), shown(kept.content.get("kind"))
    length = kept.content.get("bytes")
    long = f", {size(length)}" if isinstance(length, int) else ""
    number, exchange = shown(kept.content.get("number")), shown(kept.content.get("exchange"))
    yield f"The {who} says, in its message {number}: {kind}{long}  [exchange {exchange}]"


def _masked(hits: object) -> Iterator[str]:
    """The first values that were hidden: where, by what, and by what to tell equal ones."""
    known = [each for each in hits if isinstance(each, dict)] if isinstance(hits, list) else []
    for hit in known[:MASKED]:
        digest = f"{hit.get('hmac')}"[:16]
        yield f"  {shown(hit.get('path'))} by {shown(hit.get('rule'))} (hmac {visible(digest)})"
    if len(known) > MASKED:
        yield f"  and {len(known) - MASKED} more, which `jitgate show` tells"


def _opened(kept: Kept) -> Iterator[str]:
    operation, uses = kept.part("operation"), kept.content.get("uses")
    asked = f"{shown(operation.get('action'))} on {shown(operation.get('target'))}"
    auto = kept.content.get("auto") is True
    waits = "is for policy itself to approve" if auto else f"waits for approval by {_asked(kept)}"
    yield f"{asked} {waits}  {_about(kept)}"
    gives = "for this call, once" if uses == 1 else f"for a scope, {shown(uses)} times"
    if kept.content.get("ahead") is True:
        gives = f"for a scope, {shown(uses)} times, ahead of the call"
    waited = "" if auto else f"; it is waited for until {_until(kept)}"
    yield f"an approval is {gives}, within {_span(kept)}{waited}"


def _looked_up(kept: Kept) -> Iterator[str]:
    """What those who are asked were shown beside an id, and by which read."""
    operation = kept.part("operation")
    told = kept.text("name") or kept.text("why") or "a name that is not kept"
    yield f"The name is looked up for people: {visible(told)}  {_about(kept)}"
    yield f"by {shown(operation.get('action'))}: GET {shown(operation.get('url'))}"


def _answered(kept: Kept) -> Iterator[str]:
    did = "approves" if kept.content.get("approves") is True else "denies"
    said = f": {visible(reason)}" if (reason := kept.text("reason")) else ""
    who, channel = shown(kept.content.get("approver")), shown(kept.content.get("channel"))
    yield f"{who} {did}, by {channel}{said}  {_about(kept)}"
    if less := kept.part("less"):
        given = (f"{shown(name)} {shown(value)}" for name, value in less.items() if value)
        yield f"gives less than policy offers: {', '.join(given)}"


def _void(kept: Kept) -> Iterator[str]:
    yield f"What {shown(kept.content.get('approver'))} answered counts no longer  {_about(kept)}"
    yield from _why(kept, "why")


def _escalated(kept: Kept) -> Iterator[str]:
    groups = _listed(kept.content.get("groups"), ", ")
    yield f"More people are asked: {groups} from now on  {_about(kept)}"


def _made(kept: Kept) -> Iterator[str]:
    uses = kept.content.get("uses")
    many = "1 use" if uses == 1 else f"{shown(uses)} uses"
    by = _listed(kept.content.get("approved_by"), ", ")
    yield f"Granted by {by}: {many} until {_until(kept)}  {_about(kept)}"


def _spent(kept: Kept) -> Iterator[str]:
    yield f"The grant is used; {shown(kept.content.get('left'))} left of it  {_about(kept)}"
    yield f"leaves with the fingerprint {shown(kept.content.get('fingerprint'))}"


def _ended(kept: Kept) -> Iterator[str]:
    """What became of an access request, of a grant, or of a use of one."""
    thing = _ENDS[kept.type]
    yield f"{thing} {shown(kept.content.get('state'))}  {_about(kept)}"
    yield from _why(kept, "why")


def _kept_out(kept: Kept) -> Iterator[str]:
    who = f"uid {shown(kept.content.get('uid'))}"
    if person := kept.text("person"):
        who += f" ({visible(person)})"
    asked = f", which asked for {visible(name)}" if (name := kept.text("command")) else ""
    yield f"Refused at the control socket: {who}{asked}  {_about(kept)}".rstrip()
    yield from _why(kept, "why")
    yield from _left_out(kept)


def _called_back(kept: Kept) -> Iterator[str]:
    who = f" for {visible(person)}" if (person := kept.text("person")) else ""
    name = visible(kept.text("webhook") or "?")
    yield f"Refused at the callback of {name}{who}  {_about(kept)}".rstrip()
    yield from _why(kept, "why")
    yield from _left_out(kept)


def _left_out(kept: Kept) -> Iterator[str]:
    if (more := kept.content.get("left_out")) is not None:
        yield f"{shown(more)} more before it have no entry of their own"


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
    "message": _message,
    "name.looked-up": _looked_up,
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
    "webhook.refused": _called_back,
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
        f"{shown(quorum.get('count'))} of {_listed(quorum.get('groups'), ' or ')}"
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
    return between.join(map(shown, value)) if isinstance(value, list) else shown(value)


def _why(kept: Kept, field: str) -> Iterator[str]:
    said = [kept.text(name) for name in ("denial", field)]
    if why := ": ".join(part for part in said if part):
        yield visible(why)
