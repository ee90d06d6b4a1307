"""HTTP/1.1 messages (RFC 9112) as bytes, with the framing that follows from their length alone."""

from __future__ import annotations

from http import HTTPStatus

from jitgate.errors import OurFault
from jitgate.values import Headers, RequestHead, ResponseHead

BODILESS = frozenset({204, 304})
"""Statuses whose responses have no body (RFC 9112, section 6.3)."""

_CONTROLS = bytes([*range(9), *range(10, 32), 127])
"""What stands in no line: a field that holds any of it would begin another one."""

WITH_BODY = frozenset({"PATCH", "POST", "PUT"})
"""Methods whose requests say how long their body is, even if it is empty (RFC 9110, 8.6)."""

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}


def request_bytes(head: RequestHead) -> bytes:
    """The head as bytes; Content-Length or Transfer-Encoding follow from ``head.length`` alone."""
    lines = [f"{head.method} {head.target} HTTP/1.1".encode("ascii")]
    needs_length = head.length != 0 or head.method in WITH_BODY
    framing = _framing(head.length) if needs_length else ()
    return _head_bytes(lines, head.headers, framing)


def response_bytes(head: ResponseHead, *, chunked: bool, keep_alive: bool) -> bytes:
    """The head as bytes, with a reason phrase of our own; the peer's is never passed on.

    The length in an answer to HEAD is that of what GET brings, where that is known.
    """
    lines = [b"HTTP/1.1 %d %s" % (head.status, _PHRASES.get(head.status, b""))]
    framing = _framing(head.length)
    if head.status in BODILESS or (head.length is None and not chunked):
        framing = ()
    if not keep_alive:
        framing = (*framing, (b"Connection", b"close"))
    return _head_bytes(lines, head.headers, framing)


def chunk_bytes(data: bytes) -> bytes:
    """A chunk (RFC 9112, section 7.1). ``data`` must not be empty: that would be the last one."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk_bytes(trailers: Headers = ()) -> bytes:
    """The last chunk and the trailers."""
    return _head_bytes([b"0"], trailers, ())


def _head_bytes(lines: list[bytes], fields: Headers, framing: Headers) -> bytes:
    lines.extend([b": ".join(pair) for pair in fields if pair[0].lower() not in _FRAMING])
    lines.extend(map(b": ".join, framing))
    head = b"\r\n".join(lines)
    if len(head.translate(None, _CONTROLS)) != len(head) - 2 * (len(lines) - 1):
        raise OurFault("A head that would be read as another one was not written.")
    return head + b"\r\n\r\n"


def _framing(length: int | None) -> Headers:
    if length is None:
        return ((b"Transfer-Encoding", b"chunked"),)
    return ((b"Content-Length", b"%d" % length),)
