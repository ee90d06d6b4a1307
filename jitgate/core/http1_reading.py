"""HTTP/1.1 messages (RFC 9112) read strictly, for both sides of the gateway.

What is read comes out as *events in order*: a message's head, pieces of its body, its end. A fault
is the last event of all, so that what came before it is not lost. The events do not depend on how
the bytes were cut. No input or output happens here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from jitgate.core.heads import HEAD_BYTES, HEAD_FIELDS, HOST, NO_HEAD, expects_continue
from jitgate.core.http1_events import Data, End, Event, Request, Response, Tunnel
from jitgate.core.http1_framing import CHUNKED, Reader
from jitgate.core.http1_writing import BODILESS
from jitgate.core.websocket import SWITCHED, is_handshake
from jitgate.errors import HeadTooLarge, MalformedRequest, UpstreamMalformed
from jitgate.values import METHODS, Fields, Headers, RequestHead, ResponseHead

__all__ = [
    "HEAD_BYTES",
    "HEAD_FIELDS",
    "INTERIM",
    "METHODS",
    "Data",
    "End",
    "Event",
    "Request",
    "RequestReader",
    "Response",
    "ResponseReader",
    "Tunnel",
    "absolute_form",
]

INTERIM = 32
"""Interim (1xx) responses before the response itself; one or two are usual."""

REMEMBERED = 16 * 1024
"""Bytes of fields that a connection remembers while it waits; those of SDKs are about 1 KiB."""

_UPGRADING = frozenset({b"http2-settings", b"upgrade"})
_REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP/1\.([01])")
_ABSOLUTE = re.compile(
    r"(?i:https)://((?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?)((?:[/?].*)?)"
)
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?")


class _Said(NamedTuple):
    """What the fields of a request say, which its first line does not change but for the minor."""

    fields: Fields
    length: int
    """Of the body, or `CHUNKED`."""
    expects_continue: bool
    host: bytes | None
    keep_alive: bool
    websocket: bool


class RequestReader(Reader):
    """Reads the requests of one connection, one after the other.

    With ``one_by_one`` nothing is read beyond the end of a request until more is asked for by
    `feed`: bytes that wait take as much as they are, heads that were read many times that. Clients
    repeat their fields to the letter: what they said the last time is remembered. With
    ``websockets`` a request may open one: what follows it is its data, without an end.
    """

    def __init__(
        self,
        head_bytes: int = HEAD_BYTES,
        head_fields: int = HEAD_FIELDS,
        *,
        websockets: bool = False,
        one_by_one: bool = False,
    ) -> None:
        super().__init__(head_bytes, head_fields)
        self._websockets = websockets
        self._one_by_one = one_by_one

    _malformed = MalformedRequest
    _too_large = HeadTooLarge
    _last: tuple[int, bytes] | None = None
    """The minor and the lines of fields that ``_said`` is about."""
    _said: _Said | None = None
    _is_begun = False
    """Whether the first line of a head was read that is not whole."""

    @property
    def begun(self) -> RequestHead:
        """What is known of a head that is not whole: for the record, where it cannot be one."""
        return RequestHead(self._method, self._target, ()) if self._is_begun else NO_HEAD

    @property
    def held(self) -> int:
        """Bytes of requests to come that are read by the next `feed`, which may bring none."""
        return len(self._rest) if self._held else 0

    @property
    def in_head(self) -> bool:
        """Whether a head has begun that is not whole."""
        if self._state is RequestReader._start:
            return self._rest != b""
        return self._state is RequestReader._in_fields

    def feed(self, data: bytes) -> list[Event]:
        """The events that ``data`` completes: Request, Data, End, Tunnel, or a fault, last.

        What follows a last request belongs to nobody (RFC 9112, section 9.6), nor does what
        follows a fault.
        """
        return [] if self._over else self._read(data)

    def _is_start(self, line: bytes) -> bool:
        matched = _REQUEST_LINE.fullmatch(line)
        self._is_begun = matched is not None
        if matched is None:
            return False
        method, target, minor = matched.groups()
        self._method, self._target, self._minor = method.decode(), target.decode(), int(minor)
        return self._method in METHODS or self._method == "CONNECT"

    def _are_fields(self, block: bytes) -> bool:
        these = self._minor, block
        if these != self._last:
            self._said = self._last = None
            if not super()._are_fields(block):
                return False
            self._last = these if len(block) <= REMEMBERED else None
        elif self._said is not None:
            self._said.fields.come_again()
        return True

    def _start_line(self, line: bytes) -> None:
        if not line:
            return  # some clients end a body with a CRLF too many (RFC 9112, section 2.2)
        if not self._is_start(line):
            if _REQUEST_LINE.fullmatch(line):
                raise MalformedRequest(f"The method {self._method[:32]} is not offered.")
            raise MalformedRequest("This does not begin like a request of HTTP/1.1 or HTTP/1.0.")
        self._said = self._last = None
        self._state = RequestReader._in_fields

    def _headed(self, data: bytes, at: int) -> int:
        if self._said is None:
            self._said = self._saying()
        fields, length, expects_continue, host, self._keep_alive, websocket = self._said
        known = None if length == CHUNKED else length
        head = RequestHead(self._method, self._target, fields, known, expects_continue, websocket)
        request = Request(head, host, self._keep_alive, self._minor)
        if self._method == "CONNECT":
            return self._tunnel(request, data[at:], length)
        if websocket and (self._method != "GET" or self._minor == 0 or length):
            raise MalformedRequest("A WebSocket is opened by a GET of HTTP/1.1 (RFC 6455, 4.1).")
        self._is_begun = False
        self._emit(request)
        if websocket:
            self._state = RequestReader._switched
        else:
            self._body(length)
        return at

    def _switched(self, data: bytes, at: int) -> int:
        """All that comes from now on is of another protocol."""
        self._content(data[at:])
        return len(data)

    def _saying(self) -> _Said:
        """What the fields say, where it is what a request may say."""
        self._head = Fields(self._fields)
        options = self._options()
        websocket = b"upgrade" in options or not _UPGRADING.isdisjoint(self._head.names)
        if websocket and not (self._websockets and is_handshake(self._head, options)):
            raise MalformedRequest("Upgrading to another protocol is not offered.")
        self._check_single()
        length = self._length(self._minor) or 0
        expects_continue = self._expects_continue() and length != 0
        keep_alive = self._minor == 1 and b"close" not in options and not websocket
        return _Said(self._head, length, expects_continue, self._host(), keep_alive, websocket)

    def _tunnel(self, request: Request, rest: bytes, length: int) -> int:
        """Nothing tells a body of CONNECT from what goes into the tunnel, so it has none."""
        if length:
            raise MalformedRequest("CONNECT has no body (RFC 9110, section 9.3.6).")
        self._over = True
        self._emit(Tunnel(request, rest))
        return 0

    def _end(self, trailers: Headers) -> None:
        self._emit(End(trailers))
        self._over = not self._keep_alive
        self._held = self._one_by_one
        self._begin()

    def _expects_continue(self) -> bool:
        """Whether leave to go on is waited for; HTTP/1.0 does not know of it (9110, 10.1.1)."""
        return expects_continue(self._head) and self._minor == 1

    def _host(self) -> bytes | None:
        hosts = self._head.values_of(b"host")
        if not hosts and self._minor == 0:
            return None
        if len(hosts) != 1 or not HOST.fullmatch(hosts[0]):
            raise MalformedRequest("Host stands once and names one host (RFC 9112, section 3.2).")
        return hosts[0].lower()


def absolute_form(target: str) -> tuple[str, str] | None:
    """The authority of an https URL and the rest of it, which may be nothing.

    None for a target of any other form (RFC 9112, section 3.2).
    """
    matched = None if target.startswith("/") else _ABSOLUTE.fullmatch(target)
    if matched is None:
        return None
    authority, rest = matched[1].lower(), matched[2]
    return authority, rest if not rest or rest.startswith("/") else f"/{rest}"


class ResponseReader(Reader):
    """Reads the response to one request, of which it must know the method.

    Where that opens a ``websocket``, what follows a 101 is its body, which the connection ends.
    """

    _malformed = UpstreamMalformed
    _too_large = UpstreamMalformed

    def __init__(
        self,
        method: str,
        head_bytes: int = HEAD_BYTES,
        head_fields: int = HEAD_FIELDS,
        *,
        websocket: bool = False,
    ) -> None:
        super().__init__(head_bytes, head_fields)
        self._head_only = method == "HEAD"
        self._opens = websocket
        self._interims = 0
        self._ended = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that ``data`` completes: Response, Data, End, or a fault, last."""
        if self._ended and data and not self._over:
            return [self._beyond()]
        return [] if self._over else self._read(data)

    def eof(self) -> list[Event]:
        """The connection was closed in an orderly way, which ends a body without a length."""
        if self._ended or self._over:
            return []
        if self._state is ResponseReader._until_close:
            self._ended = self._over = True
            return [End(reusable=False)]
        self._over = True
        return [UpstreamMalformed("The connection ended inside the response.")]

    def _beyond(self, *_: object) -> UpstreamMalformed:
        self._over = True
        return UpstreamMalformed("Bytes follow the end of the response.")

    def _is_start(self, line: bytes) -> bool:
        matched = _STATUS_LINE.fullmatch(line)
        if matched is not None:
            self._minor, self._status = int(matched[1]), int(matched[2])
        return matched is not None

    def _start_line(self, line: bytes) -> None:
        if not self._is_start(line):
            raise UpstreamMalformed("The status line is none of HTTP/1.1.")
        self._state = ResponseReader._in_fields

    def _headed(self, data: bytes, at: int) -> int:
        self._head = Fields(self._fields)
        length, options = self._length(self._minor), self._options()
        self._check_single()
        self._reusable = self._minor == 1 and b"close" not in options
        if self._status == SWITCHED and self._opens:
            self._switch(length)
        elif self._status < 200:
            self._interim(length)
        elif self._head_only or self._status in BODILESS:
            self._bodiless(length)
        else:
            self._with_body(length)
        return at

    def _interim(self, length: int | None) -> None:
        self._interims += 1
        if self._status == SWITCHED:
            raise UpstreamMalformed("The target switched protocols unasked.")
        if length or self._minor == 0 or self._interims > INTERIM:
            raise UpstreamMalformed("An interim response has a body, or there are too many.")
        self._emit(Response(ResponseHead(self._status, self._head, 0), interim=True))
        self._begin()

    def _switch(self, length: int | None) -> None:
        """What comes from now on is of another protocol."""
        if length is not None or self._minor == 0:
            raise UpstreamMalformed("A response that switches protocols announces a body.")
        self._emit(Response(ResponseHead(self._status, self._head, None)))
        self._reusable, self._state = False, ResponseReader._until_close

    def _bodiless(self, length: int | None) -> None:
        """What the length of such a response says is about another one, but for 204 (6.1, 8.6)."""
        if self._status == 204 and length:
            raise UpstreamMalformed("A response without content announces some.")
        self._emit(Response(ResponseHead(self._status, self._head, 0)))
        self._end(())

    def _with_body(self, length: int | None) -> None:
        if self._status == 205 and length is not None and length > 0:
            raise UpstreamMalformed("A response without content announces some.")
        known = None if length == CHUNKED else length
        self._emit(Response(ResponseHead(self._status, self._head, known)))
        if length is None:
            self._reusable, self._state = False, ResponseReader._until_close
        else:
            self._body(length)

    def _content(self, piece: bytes) -> None:
        if self._status == 205:
            raise UpstreamMalformed("A response without content has some.")
        super()._content(piece)

    def _until_close(self, data: bytes, at: int) -> int:
        self._content(data[at:])
        return len(data)

    def _end(self, trailers: Headers) -> None:
        self._ended = True
        self._emit(End(trailers, reusable=self._reusable))
        self._state = ResponseReader._after

    def _after(self, data: bytes, at: int) -> int:
        raise self._beyond()
