"""What one entry tells by which sessions are found: facets of its exchange, and its words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from jitgate.errors import JitgateError
from jitgate.stores.reading import Kept, Recording

FACETS: Final = ("subject", "target", "action", "decision", "approver", "status", "masked")
"""What sessions are found by: each is a name that `facets` gives values for."""

TEXT_BYTES: Final = 4 * 1024 * 1024
"""About how much of one body is searched: more than a record keeps of one."""

_MEMBER = re.compile(r"\['((?:[^'\\]|\\.)*)'\]|\b(?:field|header) (\S+)")
"""A member's name in a normalized path (RFC 9535, 2.7), or that of a form's or a header's field."""

_ESCAPED = re.compile(r"\\(['\\])")
"""What stands for itself in such a name, and needs a backslash before it."""


def facets(kept: Kept) -> Iterator[tuple[str, str]]:
    """The facets of its exchange that an entry tells: pairs of a name and a value."""
    subject = kept.part("subject").get("id")
    if isinstance(subject, str):
        yield "subject", subject
    match kept.type:
        case "decision":
            operation = kept.part("operation")
            named = ((name, operation.get(name)) for name in ("target", "action"))
            yield from ((name, value) for name, value in named if isinstance(value, str))
            yield from _texts("decision", kept.content.get("effect"))
        case "outcome":
            yield from _texts("status", [kept.content.get("outcome"), _status(kept)])
            yield from _masked(kept)
        case "access.answered":
            yield from _texts("approver", kept.content.get("approver"))
        case "grant.spent":
            yield from _texts("approver", kept.content.get("approved_by"))


def words(recording: Recording, kept: Kept) -> Iterator[str]:
    """The texts of an entry: its values, and the names and values in its bodies.

    The names of an entry's own fields are the format's, and say nothing.

    Raises `JitgateError` or `OSError`, after all others, for a body that cannot be read.
    """
    yield from _leaves([value for name, value in kept.content.items() if name != "bodies"])
    for name in kept.part("bodies"):
        yield from _leaves(_read(recording.body(kept, name, TEXT_BYTES)), names=True)


UNREADABLE: Final = (JitgateError, OSError)
"""What `words` raises of a body."""


def _status(kept: Kept) -> str | None:
    status = kept.content.get("status")
    return str(status) if isinstance(status, int) else None


def _texts(name: str, values: object) -> Iterator[tuple[str, str]]:
    for value in values if isinstance(values, list) else [values]:
        if isinstance(value, str):
            yield name, value


def _masked(kept: Kept) -> Iterator[tuple[str, str]]:
    """Where something was hidden: its path, each name in that, and what hid it."""
    hits = kept.content.get("masked")
    for hit in hits if isinstance(hits, list) else []:
        if isinstance(hit, Mapping):
            yield from _texts("masked", [hit.get("path"), hit.get("rule")])
            for names in _MEMBER.findall(str(hit.get("path"))):
                plain = (_ESCAPED.sub(r"\1", name) for name in names if name)
                yield from _texts("masked", [*plain])
    yield from _texts("masked", [*kept.part("masks")])


def _read(data: bytes) -> Any:
    """A body as JSON if it is, else as text."""
    try:
        return json.loads(data, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        return data.decode("utf-8", "replace")


def _leaves(content: Any, *, names: bool = False) -> Iterator[str]:
    """Every value in JSON as text, and every name; without recursion, which depth could exhaust."""
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
            waiting.extend(value if names else ())
        elif isinstance(value, list):
            waiting.extend(value)
        elif value is not None:
            yield str(value)
