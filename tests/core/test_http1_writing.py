"""What is written is one message, whatever its fields hold."""

from __future__ import annotations

import pytest

from jitgate.core.http1_writing import last_chunk_bytes, request_bytes, response_bytes
from jitgate.errors import OurFault
from jitgate.values import RequestHead, ResponseHead


def test_framing_is_written_from_the_length_alone():
    smuggled = ((b"Host", b"a"), (b"Content-Length", b"99"), (b"Transfer-Encoding", b"gzip"))
    assert request_bytes(RequestHead("POST", "/", smuggled, 3)) == (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
    )
    assert (
        request_bytes(RequestHead("GET", "/", smuggled, 0)) == b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    head = ResponseHead(200, smuggled[1:], None)
    assert response_bytes(head, chunked=True, keep_alive=True) == (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    assert response_bytes(head, chunked=False, keep_alive=False) == (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    )


@pytest.mark.parametrize(
    "field",
    [
        (b"X", b"a\r\nAuthorization: b"),
        (b"X", b"a\nb"),
        (b"X", b"a\rb"),
        (b"X", b"a\0b"),
        (b"X", b"\r\n"),
        (b"X\r\nY", b"a"),
    ],
)
def test_a_field_that_would_begin_another_line_is_not_written(field):
    """A credential that a plugin issues, say, or what a masker made of a field."""
    with pytest.raises(OurFault):
        request_bytes(RequestHead("GET", "/", (field,)))
    with pytest.raises(OurFault):
        response_bytes(ResponseHead(200, (field,), 0), chunked=False, keep_alive=True)
    with pytest.raises(OurFault):
        last_chunk_bytes((field,))


def test_a_target_with_a_line_of_its_own_is_not_written():
    with pytest.raises(OurFault):
        request_bytes(RequestHead("GET", "/ HTTP/1.1\r\nX: y", ()))
