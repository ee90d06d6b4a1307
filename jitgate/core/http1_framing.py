"""Lines, fields and bodies of HTTP/1.1 messages (RFC 9112): what requests and responses share.

What may pass is said by grammar, so that a spelling nobody thought of is refused as well: a line
ends with CRLF and nothing else, a body has one length and one only, nothing is skipped, joined or
guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from jitgate.core.heads import (
    HEAD_BYTES,
    HEAD_FIELDS,
    NEVER_IN_TRAILERS,
    ambiguity,
    announced_length,
)
from jitgate.core.http1_events import Data, Event
from jitgate.errors import PeerFault
from jitgate.values import Fields, Headers

CHUNK_LINE_BYTES = 1024
"""Bytes of the line before a chunk. Extensions are dropped; no client in use sends any."""

_FORBIDDEN = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""Control characters, a bare CR or LF among them, that stand in no line (RFC 9112, 2.2)."""

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PLAIN_FIELD = re.compile(
    rb"(?m)^([!#$%&'*+\-.^_`|~0-9A-Za-z]++):[ \t]*+([\t\x20-\x7e\x80-\xff]*+)(?<![ \t])\r\n"
)
"""A whole line that is a field, with no white space behind its value."""

_CHUNK_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,16})"
    rb"(?:[ \t]*;[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
    rb'(?:[ \t]*=[ \t]*(?:[!#$%&\'*+\-.^_`|~0-9A-Za-z]+|"(?:[^"\\]|\\.)*"))?)*'
)
_PLAIN_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")
_LARGEST_CHUNK = 10**18

_NEVER_IN_CONNECTION = frozenset({b"content-length", b"host", b"transfer-encoding"})

State = Callable[[Any, bytes, int], int]
"""A method of a `Reader` that reads a part of a message."""

CHUNKED: Final = -1
"""In place of a body's length: it comes in chunks."""


class Reader:
    """What both readers share: lines, fields, bodies, each within bounds.

    ``_state`` reads what comes next: it is given the bytes at hand and where to begin, and returns
    where it got to; the same place if it needs more. It is not bound to the reader: the two would
    hold each other, and with them all that was read, until garbage is looked for.

    A head that is there whole and plainly right is read at once (`_at_once`); any other line by
    line, which says what is wrong with it. Both ways take the same for the same.
    """

    _malformed: type[PeerFault]
    _too_large: type[PeerFault]
    _head: Fields
    """Those of the head, once it is whole."""

    def __init__(self, head_bytes: int = HEAD_BYTES, head_fields: int = HEAD_FIELDS) -> None:
        self._head_bytes = head_bytes
        self._head_fields = head_fields
        self._events: list[Event] = []
        self._pieces: list[bytes] = []
        self._rest = b""
        self._seen = 0
        self._over = False
        self._held = False
        """Whether what follows is not read yet."""
        self._left = 0
        self._begin()

    # --- the bytes

    def _begin(self) -> None:
        """Expect another message."""
        self._new_section()
        self._state: State = Reader._start

    def _new_section(self) -> None:
        """Expect fields: of a head, or of the trailers."""
        self._room = self._head_bytes
        self._fields: list[tuple[bytes, bytes]] = []

    def _read(self, data: bytes) -> list[Event]:
        """The events that these bytes complete, a fault last."""
        self._events = []
        self._held = False
        data = self._rest + data if self._rest else data
        at, before = 0, -1
        try:
            while before < at < len(data) and not self._over and not self._held:
                before, at = at, self._state(self, data, at)
        except PeerFault as fault:
            self._over = True
            self._emit(fault)
        if self._pieces:
            self._flush()
        self._rest = b"" if self._over or at == len(data) else data[at:]
        return self._events

    def _emit(self, event: Event) -> None:
        if self._pieces:
            self._flush()
        self._events.append(event)

    def _flush(self) -> None:
        """What came of the body so far is one event, however small its chunks are."""
        self._events.append(Data(b"".join(self._pieces)))
        self._pieces = []

    def _line_end(self, data: bytes, at: int, room: int) -> int:
        """Where the line that begins at ``at`` ends, or -1 while that has not come.

        What has come is looked at once and at once: a peer that speaks something else need not go
        on until a line ends.
        """
        begin = at + self._seen
        end = data.find(b"\r\n", begin)
        # A CR at the very end may be half of a line's end.
        stop = end if end >= 0 else len(data) - data.endswith(b"\r")
        if _FORBIDDEN.search(data, begin, min(stop, at + room)):
            raise self._malformed("A line holds a control character, or ends without CRLF.")
        if (len(data) if end < 0 else end + 2) - at > room:
            raise self._too_long()
        self._seen = stop - at if end < 0 else 0
        return end

    def _too_long(self) -> PeerFault:
        if self._state is Reader._chunk_line:
            return self._malformed(f"A chunk's first line exceeds {CHUNK_LINE_BYTES} bytes.")
        return self._too_large(f"The head is longer than {self._head_bytes} bytes.")

    def _start(self, data: bytes, at: int) -> int:
        """The first line of a message, or its whole head at once."""
        headed = self._at_once(data, at)
        if headed != at:
            return headed
        end = self._line_end(data, at, self._room)
        if end < 0:
            return at
        self._room -= end + 2 - at
        self._start_line(data[at:end])
        return end + 2

    def _at_once(self, data: bytes, at: int) -> int:
        """Take a head if all of it is there and nothing at all is wrong with it, or nothing."""
        end = data.find(b"\r\n\r\n", at)
        if end < 0 or end + 4 - at > self._room:
            return at
        line, _, block = data[at : end + 2].partition(b"\r\n")
        if not self._is_start(line) or not self._are_fields(block):
            return at
        self._seen = 0
        return self._headed(data, end + 4)

    def _is_start(self, line: bytes) -> bool:
        """Take the line if a message begins with it."""
        raise NotImplementedError

    def _are_fields(self, block: bytes) -> bool:
        """Take the fields if these lines are plain ones, each of them, and not too many.

        Every match begins behind a line feed and ends with the next, so that as many matches as
        line feeds leave nothing out.
        """
        fields = _PLAIN_FIELD.findall(block)
        if len(fields) != block.count(b"\n") or len(fields) > self._head_fields:
            return False
        self._fields = fields
        return True

    def _start_line(self, line: bytes) -> None:
        raise NotImplementedError

    def _in_fields(self, data: bytes, at: int) -> int:
        """Fields, up to the empty line that ends them."""
        while (end := self._line_end(data, at, self._room)) >= 0:
            self._room -= end + 2 - at
            if end == at:
                return self._headed(data, end + 2)
            self._field(data[at:end])
            at = end + 2
        return at

    def _field(self, line: bytes) -> None:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name):
            raise self._malformed("A line of the head is no field (RFC 9112, section 5).")
        if len(self._fields) >= self._head_fields:
            raise self._too_large(f"The head has more than {self._head_fields} fields.")
        self._fields.append((name, value.strip(b" \t")))

    def _headed(self, data: bytes, at: int) -> int:
        """The head is whole; the rest of the message begins at ``at``."""
        raise NotImplementedError

    # --- what the fields say of the message

    def _length(self, minor: int) -> int | None:
        """The body's length by its fields: one number, `CHUNKED`, or None if they say nothing."""
        codings = self._head.values_of(b"transfer-encoding")
        if codings:
            lengths = self._head.values_of(b"content-length")
            if lengths or minor == 0 or [each.lower() for each in codings] != [b"chunked"]:
                raise self._malformed(
                    "The only Transfer-Encoding is chunked, once, on HTTP/1.1, with no length."
                )
            return CHUNKED
        length = announced_length(self._head)
        if isinstance(length, str):
            raise self._malformed(length)
        return length

    def _options(self) -> frozenset[bytes]:
        """What Connection says. It must not take away what says where a message ends or goes."""
        values = self._head.values_of(b"connection")
        if not values:
            return frozenset()
        options = frozenset([each.strip(b" \t").lower() for each in b",".join(values).split(b",")])
        if not _NEVER_IN_CONNECTION.isdisjoint(options):
            raise self._malformed("Connection names a field that is not its own to name.")
        return options

    def _check_single(self) -> None:
        """Refuse a second value where two readers could take one each (RFC 9110, section 5.3)."""
        complaint = ambiguity(self._head)
        if complaint is not None:
            raise self._malformed(complaint)

    # --- bodies

    def _body(self, length: int) -> None:
        """Expect a body of that length, which may be `CHUNKED`."""
        if length == CHUNKED:
            self._state = Reader._chunk_line
        elif length:
            self._left, self._state = length, Reader._counted
        else:
            self._end(())

    def _end(self, trailers: Headers) -> None:
        raise NotImplementedError

    def _some(self, data: bytes, at: int) -> int:
        """Take what is there of the bytes that are left."""
        end = min(len(data), at + self._left)
        self._left -= end - at
        self._content(data if end - at == len(data) else data[at:end])
        return end

    def _content(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def _counted(self, data: bytes, at: int) -> int:
        at = self._some(data, at)
        if not self._left:
            self._end(())
        return at

    def _chunk_line(self, data: bytes, at: int) -> int:
        at = self._whole_chunks(data, at)
        end = self._line_end(data, at, CHUNK_LINE_BYTES)
        if end < 0:
            return at
        matched = _CHUNK_LINE.fullmatch(data, at, end)
        self._left = int(matched[1], 16) if matched else _LARGEST_CHUNK
        if self._left >= _LARGEST_CHUNK:
            raise self._malformed("A chunk does not begin with its size (RFC 9112, section 7.1).")
        if self._left:
            self._state = Reader._chunk
        else:
            self._new_section()
            self._state = Reader._trailers
        return end + 2

    def _whole_chunks(self, data: bytes, at: int) -> int:
        """Take the chunks that are there whole and plain: they may be tiny, and many."""
        while plain := _PLAIN_CHUNK_LINE.match(data, at):
            begin = plain.end()
            end = begin + int(plain[1], 16)
            if end == begin or not data.startswith(b"\r\n", end):
                break
            self._content(data[begin:end])
            self._seen, at = 0, end + 2
        return at

    def _chunk(self, data: bytes, at: int) -> int:
        at = self._some(data, at)
        if not self._left:
            self._state = Reader._chunk_end
        return at

    def _chunk_end(self, data: bytes, at: int) -> int:
        found = data[at : at + 2]
        if not b"\r\n".startswith(found):
            raise self._malformed("A chunk does not end where its size says.")
        if len(found) < 2:
            return at
        self._state = Reader._chunk_line
        return at + 2

    def _trailers(self, data: bytes, at: int) -> int:
        while (end := self._line_end(data, at, self._room)) >= 0:
            self._room -= end + 2 - at
            if end == at:
                self._end(tuple(self._fields))
                return end + 2
            self._field(data[at:end])
            if self._fields[-1][0].lower() in NEVER_IN_TRAILERS:
                raise self._malformed("A field that belongs in the head came in the trailers.")
            at = end + 2
        return at
