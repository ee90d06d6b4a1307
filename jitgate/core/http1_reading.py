"""HTTP/1.1 messages (RFC 9112) read strictly, for both sides of the gateway.

llhttp reads the bytes and refuses most of what two parsers could read differently. This module
refuses the rest, bounds what may be held, and answers with *events in order*: a message's head,
pieces of its body, its end. A fault is the last event of its `feed`, so that what came before it is
not lost. No input or output happens here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import httptools

from jitgate.core.fields import values_of
from jitgate.core.http1_writing import BODILESS
from jitgate.errors import HeadTooLarge, MalformedRequest, PeerFault, UpstreamMalformed
from jitgate.values import METHODS, Headers, RequestHead, ResponseHead

HEAD_BYTES = 64 * 1024
"""Bytes of a head, or of the trailers. Tokens travel in heads: Entra's reach 16 KiB."""

HEAD_FIELDS = 100
"""Fields of a head, or of the trailers. SDKs send about 10; a hundred leaves room."""

_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z")
_LONGEST_LENGTH = 18
"""Digits of a Content-Length: more than that is no length but an attack on somebody's integers."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request's head as read, with what only the connection needs to know."""

    head: RequestHead
    host: bytes | None
    keep_alive: bool
    minor: int


@dataclass(frozen=True, slots=True)
class Response:
    """A response's head as read; ``interim`` for 1xx, after which another one follows."""

    head: ResponseHead
    interim: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of the body."""

    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The message is whole; for a response ``reusable`` tells if the connection may go on."""

    trailers: Headers = ()
    reusable: bool = True


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A CONNECT request: what follows in ``rest`` is no longer HTTP of this connection."""

    request: Request
    rest: bytes


Event = Request | Response | Data | End | Tunnel | PeerFault
_Fault = TypeVar("_Fault", bound=PeerFault)


class _Reader(Generic[_Fault]):
    """What both readers share: collecting fields within bounds, and turning errors into events."""

    _malformed: type[_Fault]
    _too_large: type[PeerFault]

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._fields: list[tuple[bytes, bytes]] = []
        self._held = 0
        self._in_body = False
        self._broken = False

    def _feed(self, data: bytes) -> list[Event]:
        """Hand the bytes to the parser; the events they complete, a fault last."""
        if self._broken:
            return []
        self._events = []
        held = self._held
        try:
            self._parse(data)
            if held and not self._in_body:
                self._hold(len(data))
        except httptools.HttpParserCallbackError as error:
            self._break(error.__context__)
        except httptools.HttpParserError as error:
            self._break(self._malformed(f"{error}"))
        except PeerFault as fault:
            self._break(fault)
        return self._events

    def _parse(self, data: bytes) -> None:
        raise NotImplementedError

    def _break(self, fault: BaseException | None) -> None:
        if not isinstance(fault, PeerFault):
            raise RuntimeError("the reader itself failed") from fault  # noqa: TRY004 (a bug, not a type)
        self._broken = True
        self._events.append(fault)

    def _hold(self, size: int) -> None:
        self._held += size
        if self._held > HEAD_BYTES:
            raise self._too_large(f"The head is longer than {HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        self._fields = []
        self._held = 1
        self._in_body = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._hold(len(name) + len(value) + 4)
        if len(self._fields) >= HEAD_FIELDS:
            raise self._too_large(f"The head has more than {HEAD_FIELDS} fields.")
        self._fields.append((name, value.strip(b" \t")))

    def on_body(self, data: bytes) -> None:
        self._events.append(Data(data))

    def _take_fields(self) -> Headers:
        """The head's fields; what comes after is body, then trailers under bounds of their own."""
        fields, self._fields = tuple(self._fields), []
        self._held, self._in_body = 0, True
        return fields

    def _transfer_coding(self, fields: Headers, version: str) -> bool:
        """Whether the body is chunked; any other coding, or one on HTTP/1.0, is refused."""
        codings = values_of(fields, b"transfer-encoding")
        if not codings:
            return False
        if version != "1.1" or len(codings) > 1 or codings[0].lower() != b"chunked":
            raise self._malformed("The only Transfer-Encoding is chunked, once, on HTTP/1.1.")
        return True

    def _content_length(self, fields: Headers) -> int | None:
        lengths = values_of(fields, b"content-length")
        if not lengths:
            return None
        if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > _LONGEST_LENGTH:
            raise self._malformed("Content-Length is one decimal number.")
        return int(lengths[0])


class RequestReader(_Reader[MalformedRequest]):
    """Reads the requests of one connection, one after the other."""

    _malformed = MalformedRequest
    _too_large = HeadTooLarge

    def __init__(self) -> None:
        super().__init__()
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._request: Request | None = None

    def feed(self, data: bytes) -> list[Event]:
        """The events that ``data`` completes: Request, Data, End, Tunnel, or a fault, last."""
        return self._feed(data)

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgraded(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            # What follows a last request belongs to nobody (RFC 9112, section 9.6).
            if self._request is None or self._request.keep_alive or not self._at_end:
                raise
            self._broken = True

    @property
    def _at_end(self) -> bool:
        return not self._events or isinstance(self._events[-1], End)

    def _upgraded(self, rest: bytes) -> None:
        """Of all that llhttp stops at, only CONNECT is understood."""
        del self._events[-2:]
        if self._request is None or self._request.head.method != "CONNECT":
            raise MalformedRequest("Upgrading to another protocol is not offered.")
        self._broken = True
        self._events.append(Tunnel(self._request, rest))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._target = b""

    def on_url(self, target: bytes) -> None:
        self._hold(len(target))
        self._target += target

    def on_headers_complete(self) -> None:
        fields = self._take_fields()
        version = self._parser.get_http_version()
        method = self._parser.get_method().decode()
        if version not in {"1.0", "1.1"}:
            raise MalformedRequest("Only HTTP/1.1 and HTTP/1.0 are spoken here.")
        if method not in METHODS and method != "CONNECT":
            raise MalformedRequest(f"The method {method} is not offered.")
        if values_of(fields, b"upgrade"):
            raise MalformedRequest("Upgrading to another protocol is not offered.")
        chunked = self._transfer_coding(fields, version)
        head = RequestHead(
            method=method,
            target=_ascii(self._target),
            headers=fields,
            length=None if chunked else self._content_length(fields) or 0,
            expects_continue=_expects_continue(fields),
        )
        host = _host(fields, required=version == "1.1")
        keep_alive = version == "1.1" and self._parser.should_keep_alive()
        self._request = Request(head, host, keep_alive, int(version[-1]))
        self._events.append(self._request)

    def on_message_complete(self) -> None:
        self._events.append(End(trailers=tuple(self._fields)))


class ResponseReader(_Reader[UpstreamMalformed]):
    """Reads the response to one request, of which it must know the method."""

    _malformed = UpstreamMalformed
    _too_large = UpstreamMalformed

    def __init__(self, method: str) -> None:
        super().__init__()
        self._parser = httptools.HttpResponseParser(self)
        self._head_only = method == "HEAD"
        self._until_close = False
        self._ended = False
        self._keep_alive = False
        self._interim = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that ``data`` completes: Response, Data, End, or a fault, last."""
        if self._ended:
            return [UpstreamMalformed("Bytes follow the end of the response.")]
        return self._feed(data)

    def eof(self) -> list[Event]:
        """The connection was closed in an orderly way, which ends a body without a length."""
        if self._ended or self._broken:
            return []
        if self._until_close and self._in_body:
            self._ended = True
            return [End(reusable=False)]
        return [UpstreamMalformed("The connection ended inside the response.")]

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise UpstreamMalformed("The target switched protocols unasked.") from None

    def on_headers_complete(self) -> None:
        if self._ended:
            raise UpstreamMalformed("Bytes follow the end of the response.")
        fields = self._take_fields()
        status = self._parser.get_status_code()
        version = self._parser.get_http_version()
        if version not in {"1.0", "1.1"} or not 100 <= status <= 599:
            raise UpstreamMalformed("The status line is none of HTTP/1.1.")
        self._interim = status < 200
        chunked = self._transfer_coding(fields, version)
        length = self._content_length(fields)
        bodiless = self._head_only or self._interim or status in BODILESS
        self._keep_alive = version == "1.1" and self._parser.should_keep_alive()
        self._until_close = not (bodiless or chunked or length is not None)
        if bodiless:
            head = ResponseHead(status, fields, 0)
        else:
            head = ResponseHead(status, fields, None if chunked else length)
        self._events.append(Response(head, interim=self._interim))
        if self._head_only and not self._interim:
            # llhttp cannot be told that the length of a HEAD's answer announces nothing.
            self._end()

    def on_body(self, data: bytes) -> None:
        if self._ended:
            raise UpstreamMalformed("Bytes follow the end of the response.")
        super().on_body(data)

    def on_message_complete(self) -> None:
        if not self._interim and not self._ended:
            self._end()

    def on_message_begin(self) -> None:
        if self._ended:
            raise UpstreamMalformed("Bytes follow the end of the response.")
        super().on_message_begin()

    def _end(self) -> None:
        self._ended = True
        reusable = self._keep_alive and not self._until_close
        self._events.append(End(trailers=tuple(self._fields), reusable=reusable))


def _expects_continue(fields: Iterable[tuple[bytes, bytes]]) -> bool:
    expectations = values_of(tuple(fields), b"expect")
    if not expectations:
        return False
    if len(expectations) > 1 or expectations[0].lower() != b"100-continue":
        raise MalformedRequest("The only expectation is 100-continue, once.")
    return True


def _host(fields: Headers, *, required: bool) -> bytes | None:
    hosts = values_of(fields, b"host")
    if not hosts and not required:
        return None
    if len(hosts) != 1 or not _HOST.match(hosts[0]):
        raise MalformedRequest("Host stands once and names one host (RFC 9112, section 3.2).")
    return hosts[0].lower()


def _ascii(target: bytes) -> str:
    try:
        return target.decode("ascii")
    except UnicodeDecodeError:
        raise MalformedRequest("The request target holds bytes beyond ASCII.") from None
