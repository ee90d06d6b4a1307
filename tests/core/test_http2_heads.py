"""What a decoded head may say: nothing that HTTP/1.1 could not have said, and not one thing twice."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jitgate.core.heads import NO_HEAD
from jitgate.core.http1_reading import Request, RequestReader
from jitgate.core.http1_writing import request_bytes
from jitgate.core.http2_heads import (
    begun,
    check_trailers,
    list_size,
    request_of,
    response_pairs,
    trailer_pairs,
)
from jitgate.errors import HeadTooLarge, MalformedRequest, OurFault, PeerFault
from jitgate.values import RequestHead, ResponseHead

BOUNDS = {"most_bytes": 65536, "most_fields": 100}
ON_A_LINE = st.binary(max_size=12).filter(lambda said: b"\n" not in said)
FIRST = {b":method": b"GET", b":scheme": b"https", b":authority": b"a.example", b":path": b"/x"}


def asked(*more, ended=True, **changed):
    named = {f":{name}".encode(): value for name, value in changed.items()}
    pseudo = [(name, value) for name, value in (FIRST | named).items() if value is not None]
    return request_of([*pseudo, *more], ended=ended, **BOUNDS)


def test_of_what_is_no_request_as_much_is_known_as_of_one_in_http_1_1():
    lines = [(b":method", b"POST"), (b":path", b"/p?a=b")]
    for said in (lines, lines[::-1], [*lines, (b"te", b"gzip")], [*lines, (b":path", b"/q")]):
        assert begun(said) == RequestHead("POST", "/p?a=b", ())


@given(ON_A_LINE, ON_A_LINE)
@example(b"TRACE", b"x:y")
@example(b"GET", b"/ /")
def test_what_is_known_of_it_is_what_http_1_1_would_have_read(method, path):
    reader = RequestReader()
    reader.feed(method + b" " + path + b" HTTP/1.1\r\n")
    assert begun([(b":method", method), (b":path", path)]) == reader.begun


def test_nothing_is_known_of_what_would_be_another_line():
    for method, path in ((b"GET / HTTP/1.1\r\nx:", b"/"), (b"GET", b"/\n"), (b"\r\nGET", b"/")):
        assert begun([(b":method", method), (b":path", path)]) == NO_HEAD


def test_a_head_is_what_a_request_line_and_fields_would_be():
    got = asked((b"accept", b"a/b"), (b"x-a", b"b c"))
    assert got.head == RequestHead("GET", "/x", ((b"accept", b"a/b"), (b"x-a", b"b c")), 0)
    assert got.hosts == (b"a.example",)


@pytest.mark.parametrize(
    "changed",
    [
        {"method": None},
        {"method": b""},
        {"method": b"get"},
        {"method": b"TRACE"},
        {"method": b"PRI"},
        {"method": b"GET /admin HTTP/1.1\r\nhost: a.example\r\n\r\nGET"},
        {"method": b"CONNECT"},
        {"method": b"CONNECT", "path": None, "scheme": None},
        {"method": b"G\xc3\x89T"},
        {"scheme": None},
        {"scheme": b"http"},
        {"scheme": b"HTTPS"},
        {"scheme": b"https://a.example/x?"},
        {"path": None},
        {"path": b""},
        {"path": b"x"},
        {"path": b"*"},
        {"path": b"/x HTTP/1.1\r\nx: y"},
        {"path": b"/x y"},
        {"path": b"/x\ty"},
        {"path": b"/x\x00"},
        {"path": b"/x\x7f"},
        {"path": b"/\xc3\xa9"},
        {"path": b"https://other.example/"},
        {"path": b" /x"},
        {"authority": None},
        {"authority": b""},
        {"authority": b"a.example b"},
        {"authority": b"a.example\r\nx: y"},
        {"authority": b"user@a.example"},
        {"authority": b"a.example/x"},
        {"authority": b"a.example:x"},
        {"status": b"200"},
        {"protocol": b"websocket"},
        {"Method": b"GET"},
        {"": b"x"},
    ],
)
def test_what_stands_for_the_first_line_is_one(changed):
    with pytest.raises(MalformedRequest):
        asked(**changed)


@pytest.mark.parametrize(
    "more",
    [
        [(b":method", b"POST")],
        [(b":path", b"/y")],
        [(b":authority", b"b.example")],
        [(b"x", b"y"), (b":path", b"/y")],
        [(b"x", b"y"), (b":authority", b"b.example")],
        [(b"Accept", b"a/b")],
        [(b"", b"x")],
        [(b"x y", b"z")],
        [(b"x:y", b"z")],
        [(b"x\r\ny", b"z")],
        [(b"x\x00", b"z")],
        [(b"x\xc3\xa9", b"z")],
        [(b"x: y\r\nz", b"z")],
        [(b"x", b"y\r\nz: w")],
        [(b"x", b"y\rz")],
        [(b"x", b"y\nz")],
        [(b"x", b"y\x00z")],
        [(b"x", b"y\x7f")],
        [(b"x", b" y")],
        [(b"x", b"y\t")],
        [(b"x", b" ")],
        [(b"connection", b"close")],
        [(b"connection", b"x-secret")],
        [(b"keep-alive", b"timeout=5")],
        [(b"proxy-connection", b"keep-alive")],
        [(b"transfer-encoding", b"chunked")],
        [(b"transfer-encoding", b"identity")],
        [(b"upgrade", b"websocket")],
        [(b"http2-settings", b"AAMAAABkAAQAAP__")],
        [(b"te", b"gzip")],
        [(b"te", b"trailers, gzip")],
        [(b"expect", b"200-ok")],
        [(b"expect", b"100-continue"), (b"expect", b"100-continue")],
        [(b"content-type", b"a/b"), (b"content-type", b"c/d")],
        [(b"content-type", b"a/b, c/d")],
        [(b"content-length", b"1")],
        [(b"content-length", b"0"), (b"content-length", b"0")],
        [(b"content-length", b"0x0")],
        [(b"content-length", b"")],
        [(b"host", b"a.example"), (b"host", b"a.example")],
        [(b"host", b"a.example, b.example")],
        [(b"host", b"")],
    ],
)
def test_what_stands_for_fields_are_fields(more):
    with pytest.raises(MalformedRequest):
        asked(*more)


@pytest.mark.parametrize(
    "more",
    [
        [(b"te", b"trailers")],
        [(b"x", b"")],
        [(b"x", b"a\tb \x80\xff")],
        [(b"host", b"a.example")],
        [(b"content-length", b"0")],
        [(b"x-a", b"1"), (b"x-a", b"2")],
    ],
)
def test_what_is_unusual_and_right_passes(more):
    assert asked(*more).head.headers == tuple(more)


def test_options_can_ask_of_the_server_as_a_whole():
    assert asked(method=b"OPTIONS", path=b"*").head.target == "*"


def test_both_hosts_are_told():
    """Whether they agree is the gateway's to say, with a 421."""
    assert asked((b"host", b"B.example")).hosts == (b"a.example", b"b.example")
    assert asked((b"host", b"b.example"), authority=None).hosts == (b"b.example",)


def test_the_crumbs_of_a_cookie_are_one():
    got = asked((b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2"))
    assert got.head.headers == ((b"x", b"y"), (b"cookie", b"a=1; b=2"))


def test_lengths():
    assert asked(ended=True).head.length == 0
    assert asked(ended=False).head.length is None
    assert asked((b"content-length", b"7"), ended=False).head.length == 7
    assert asked((b"expect", b"100-continue"), ended=False).head.expects_continue
    assert not asked((b"expect", b"100-continue"), ended=True).head.expects_continue


def test_bounds():
    with pytest.raises(HeadTooLarge):
        asked(*[(b"x", b"y")] * 100)
    with pytest.raises(HeadTooLarge):
        asked((b"x", b"y" * 65536))
    assert list_size(1000, 10) == 1320


def test_trailers():
    check_trailers([(b"x-checksum", b"1")], **BOUNDS)
    for pair in [(b"content-length", b"1"), (b":path", b"/"), (b"x", b"a\r\nb"), (b"host", b"a")]:
        with pytest.raises(MalformedRequest):
            check_trailers([pair], **BOUNDS)
    with pytest.raises(HeadTooLarge):
        check_trailers([(b"x", b"y")] * 101, **BOUNDS)


names = st.one_of(
    st.sampled_from([b"accept", b"x-a", b"host", b"cookie", b"expect", b"te", b"content-length"]),
    st.binary(max_size=6),
)
values = st.one_of(
    st.sampled_from([b"a", b"0", b"5", b"100-continue", b"a.example", b"trailers", b"a\r\nb: c"]),
    st.binary(max_size=8),
)
pairs = st.lists(st.tuples(names, values), max_size=5)
firsts = st.fixed_dictionaries(
    {
        b":method": st.sampled_from([b"GET", b"POST", b"OPTIONS", b"get", b"GET "]),
        b":scheme": st.just(b"https"),
        b":authority": st.sampled_from([b"a.example", b"a.example:8443", b"a@b"]),
        b":path": st.one_of(
            st.sampled_from([b"/", b"/x?y=%20", b"*", b"/ x"]), st.binary(max_size=6)
        ),
    }
)


@given(firsts, pairs, st.booleans())
def test_what_passes_is_the_same_request_in_http_1_1(first, more, ended):
    """Whatever HTTP/2 lets pass, HTTP/1.1's reader takes from its bytes, and reads the same."""
    try:
        head, hosts = request_of([*first.items(), *more], ended=ended, **BOUNDS)
    except PeerFault:
        return
    fields = tuple(pair for pair in head.headers if pair[0] != b"host")
    written = head._replace(headers=((b"Host", hosts[0]), *fields))
    request, *_ = RequestReader().feed(request_bytes(written))
    assert isinstance(request, Request)
    framing = {b"host", b"content-length", b"transfer-encoding"}
    kept = [pair for pair in request.head.headers if pair[0].lower() not in framing]
    assert kept == [pair for pair in fields if pair[0] not in framing]
    assert request.host == hosts[0]
    assert request.head[:2] == head[:2]
    assert request.head.length == head.length


# --- what is sent


def test_a_response_has_no_field_of_the_connection():
    fields = ((b"X-A", b" b "), (b"Connection", b"close"), (b"Transfer-Encoding", b"chunked"))
    assert response_pairs(ResponseHead(200, fields, 3)) == [
        (b":status", b"200"),
        (b"x-a", b"b"),
        (b"content-length", b"3"),
    ]
    assert response_pairs(ResponseHead(204, (), 0)) == [(b":status", b"204")]
    assert response_pairs(ResponseHead(200, (), None)) == [(b":status", b"200")]


@pytest.mark.parametrize("pair", [(b"x", b"a\r\nb"), (b"x\n", b"a"), (b"x", b"\x00")])
def test_a_field_that_would_be_another_is_not_sent(pair):
    with pytest.raises(OurFault):
        response_pairs(ResponseHead(200, (pair,), 0))
    with pytest.raises(OurFault):
        trailer_pairs((pair,))
