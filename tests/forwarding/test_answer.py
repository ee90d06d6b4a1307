"""The gateway's answer to CONNECT: whole, byte by byte, with what follows; anything else refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.forwarding.answer import ANSWER_HEAD, AnswerReader, GatewayUnreachable

ANSWERS = {
    b"HTTP/1.1 200 Connection established\r\n\r\n": True,
    b"HTTP/1.1 200\r\n\r\n": True,
    b"HTTP/1.0 299 x\r\nA: b\r\nC: \r\n\r\n": True,
    b"HTTP/1.1 302 Found\r\nLocation: x\r\n\r\n": False,
    b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n": False,
    b"HTTP/1.1 407 \r\n\r\n": False,
    b"HTTP/1.1 599 \xe9\r\n\r\n": False,
}
STRANGE = {
    "nothing of HTTP": b"SSH-2.0-x\r\n\r\n",
    "an alert of TLS": b"\x15\x03\x03\x00\x02\x02\x50",
    "a request": b"GET / HTTP/1.1\r\n\r\n",
    "another version": b"HTTP/2 200\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "two spaces": b"HTTP/1.1  200 OK\r\n\r\n",
    "four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\n\r\n\r\n",
    "too long": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * ANSWER_HEAD,
    "too long, ended": b"HTTP/1.1 200 OK\r\nA: " + b"b" * ANSWER_HEAD + b"\r\n\r\n",
}


def read(pieces):
    """What comes of the pieces, and how many were needed."""
    reader = AnswerReader("http://127.0.0.1:8080")
    for number, piece in enumerate(pieces, 1):
        answer = reader.feed(piece)
        if answer is not None:
            return answer, number
    return None, len(pieces)


@pytest.mark.parametrize("data", ANSWERS)
@pytest.mark.parametrize("rest", [b"", b"\x16\x03\x01 and more\r\n\r\n"])
def test_an_answer_is_known_and_nothing_of_it_is_lost(data, rest):
    answer, _ = read([data + rest])
    assert (answer.established, answer.data) == (ANSWERS[data], data + rest)


@pytest.mark.parametrize("data", ANSWERS)
def test_byte_by_byte_it_is_known_with_its_last_byte(data):
    pieces = [bytes([byte]) for byte in data]
    answer, number = read(pieces)
    assert (answer.data, number) == (data, len(data))


@given(st.sampled_from(sorted(ANSWERS)), st.binary(max_size=50), st.lists(st.integers(0, 90)))
def test_cut_anywhere_it_is_the_same(data, rest, cuts):
    whole = data + rest
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    pieces = [whole[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    answer, number = read(pieces)
    assert answer.established == ANSWERS[data]
    assert answer.data + b"".join(pieces[number:]) == whole


@pytest.mark.parametrize("data", STRANGE.values(), ids=STRANGE.keys())
@pytest.mark.parametrize("size", [1, 1000, 1_000_000])
def test_what_is_no_answer_is_refused(data, size):
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    with pytest.raises(GatewayUnreachable, match="http://127.0.0.1:8080 is no proxy"):
        read(pieces)


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_bytes_are_an_answer_or_refused_or_not_whole_yet(pieces):
    try:
        answer, number = read(pieces)
    except GatewayUnreachable:
        return
    if answer is not None:
        assert answer.data == b"".join(pieces[:number])
