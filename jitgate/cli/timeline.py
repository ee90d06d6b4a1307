"""A session's entries as a timeline for the terminal: when, what, why, and what came back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jitgate.cli.visible import body_lines, size, visible
from jitgate.errors import JitgateError
from jitgate.stores.lines import moment
from jitgate.stores.reading import Kept, Recording

BODY_LINES = 40
"""How many lines of a body a timeline shows: about a screen."""

LINE_CHARS = 400
"""How many characters of one line of a body it shows: a few lines of a terminal."""

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
    yield f"Tunnel to {_show(kept.content.get('authority'))}: {_show(kept.content.get('result'))}"
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


def _other(kept: Kept) -> Iterator[str]:
    yield visible(kept.type)


_TELL: Mapping[str, Callable[[Kept], Iterator[str]]] = {
    "tunnel": _tunnel,
    "refused": _refused,
    "decision": _decision,
    "outcome": _outcome,
}


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
