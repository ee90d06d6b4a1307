"""What went to and fro, for the eye: head and bodies of an exchange, laid out and cut to size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from jitgate.core.visible import body_lines, size, visible
from jitgate.errors import JitgateError
from jitgate.stores.reading import Kept, Recording

BODY_LINES = 40
"""How many lines of a body a timeline shows: about a screen."""

LINE_CHARS = 400
"""How many characters of one line of a body it shows: a few lines of a terminal."""


VALUE_CHARS = 2000
"""How many characters of what an entry tells in one line: more than APIs have in an address."""


def cut(text: str, chars: int, whole: str = "") -> str:
    """The first characters of a text; how many more there are, and how all of it is seen."""
    over = len(text) - chars
    return f"{text[:chars]} … {over} more characters{whole}" if over > 0 else text


def contents(recording: Recording, kept: Kept) -> Iterator[str]:
    """The lines of an entry's head and bodies, as a timeline shows them."""
    yield from _head(kept)
    yield from _bodies(recording, kept)


def heads(kept: Kept) -> Iterator[tuple[str, list[str]]]:
    """The header fields that were sent and that came back, and the trailers, each with a title.

    Both as they are on record: as the target got them, and as they were released.
    """
    for part, name, title in _HEADS:
        fields = kept.part(part).get(name)
        pairs = fields if isinstance(fields, list) else []
        if known := [": ".join(map(shown, each)) for each in pairs if isinstance(each, list)]:
            yield title, known


_HEADS: Final = (
    ("request", "headers", "request head:"),
    ("response", "headers", "response head:"),
    ("response", "trailers", "response trailers:"),
)


def _head(kept: Kept) -> Iterator[str]:
    for title, fields in heads(kept):
        yield title
        yield from _shortened(fields, kept)


def _shortened(lines: Sequence[str], kept: Kept) -> Iterator[str]:
    """The first lines of what others wrote, and of each its first characters."""
    for line in lines[:BODY_LINES]:
        yield f"  {cut(line, LINE_CHARS)}"
    if (more := len(lines) - BODY_LINES) > 0:
        yield f"  … {more} more lines: jitgate show {kept.name}"


def _bodies(recording: Recording, kept: Kept) -> Iterator[str]:
    for name in kept.part("bodies"):
        title, lines = body(recording, kept, name)
        yield title
        yield from _shortened(lines, kept)


def body(recording: Recording, kept: Kept, name: str) -> tuple[str, list[str]]:
    """A body's title, and its lines for the eye; the title says so if it cannot be read."""
    try:
        data = recording.body(kept, name)
    except (JitgateError, OSError) as error:
        return f"{visible(name)} body: cannot be read: {error}", []
    whole = kept.part("bodies")[name]["of"]
    part = "" if len(data) == whole else f", the first {size(len(data))} of them"
    return f"{visible(name)} body, {size(whole)}{part}:", body_lines(data)


def shown(value: object) -> str:
    """A value out of a record, in words."""
    if isinstance(value, list):
        return " ".join(map(shown, value))
    return "?" if value is None else visible(str(value))
