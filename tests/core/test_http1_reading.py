"""Messages read whole, byte by byte, and with what follows them; everything ambiguous refused."""

from __future__ import annotations

import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.http1 import messages, notation

from jitgate.core.fields import end_to_end, overriding
from jitgate.core.http1_framing import CHUNK_LINE_BYTES
from jitgate.core.http1_reading import (
    HEAD_BYTES,
    HEAD_FIELDS,
    INTERIM,
    Data,
    End,
    Request,
    RequestReader,
    Response,
    ResponseReader,
    Tunnel,
    absolute_form,
)
from jitgate.core.http1_writing import chunk_bytes, last_chunk_bytes
from jitgate.errors import HeadTooLarge, MalformedRequest, PeerFault, UpstreamMalformed

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
HEAD = b"HTTP/1.1 200 OK\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
REQUESTS = messages("requests")
RESPONSES = messages("responses")
TO_HEAD = messages("answers_to_head")


def read(reader, *pieces):
    """What a reader says of these pieces; of a response, to the end of its connection."""
    events = [event for piece in pieces for event in reader.feed(piece)]
    return notation([*events, *(reader.eof() if isinstance(reader, ResponseReader) else [])])


def bytewise(message):
    return [message[at : at + 1] for at in range(len(message))]


CASES = [
    *(pytest.param(RequestReader, *case, id=f"request {name}") for name, case in REQUESTS.items()),
    *(
        pytest.param(lambda: ResponseReader("GET"), *case, id=f"response {name}")
        for name, case in RESPONSES.items()
    ),
    *(
        pytest.param(lambda: ResponseReader("HEAD"), *case, id=f"answer to HEAD {name}")
        for name, case in TO_HEAD.items()
    ),
]


@pytest.mark.parametrize(("reader", "message", "events"), CASES)
def test_a_message_reads_the_same_whole_byte_by_byte_and_cut_anywhere(reader, message, events):
    assert read(reader(), message) == events
    assert read(reader(), *bytewise(message)) == events
    for at in range(1, len(message)):
        assert read(reader(), message[:at], message[at:]) == events


@pytest.mark.parametrize("name", REQUESTS)
def test_what_follows_a_request_is_the_next_one_or_nobodys(name):
    message, events = REQUESTS[name]
    said = read(RequestReader(), message, NEXT)
    whole = events[-1].startswith(".")
    if whole and " last" not in "".join(each for each in events if each[0] not in "=."):
        assert said == [*events, "GET /next 0", "."]
    elif whole or events[-1].startswith("!"):
        assert said == events


@given(st.lists(st.sampled_from([*REQUESTS]), max_size=4), st.lists(st.integers(0, 400)))
def test_requests_are_the_same_where_each_is_asked_for(names, cuts):
    data = b"".join([REQUESTS[name][0] for name in names])
    reader, said, before = RequestReader(one_by_one=True), [], 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        events = reader.feed(data[before:cut])
        while events or reader.held:
            ends = [at for at, event in enumerate(events) if isinstance(event, End)]
            assert ends in ([], [len(events) - 1])
            said += events
            events = reader.feed(b"") if reader.held else []
        before = cut
    assert _joined(said) == _joined(RequestReader().feed(data))


def _joined(events):
    """The events, where pieces of one body that follow each other are one."""
    said = []
    for event in events:
        if isinstance(event, Data) and said and isinstance(said[-1], Data):
            said[-1] = Data(said[-1].data + event.data)
            continue
        said.append((type(event), f"{event}") if isinstance(event, PeerFault) else event)
    return said


@pytest.mark.parametrize("name", RESPONSES)
def test_what_follows_a_response_is_refused(name):
    message, events = RESPONSES[name]
    if events[-1] == ".":
        assert read(ResponseReader("GET"), message, b"\r\n") == [*events, "! malformed"]


@given(st.binary(max_size=400))
def test_no_bytes_make_the_reader_itself_fail(junk):
    for reader in (RequestReader(), ResponseReader("GET")):
        reader.feed(junk)
        reader.feed(POST + junk)


def test_the_head_says_how_long_the_body_is():
    def length(message):
        return next(iter(RequestReader().feed(message))).head.length

    assert length(REQUESTS["first a plain get"][0]) == 0
    assert length(REQUESTS["patch"][0]) == 2
    assert length(REQUESTS["put chunked empty"][0]) is None


def test_values_lose_the_white_space_around_them():
    head = RequestReader().feed(b"GET / HTTP/1.1\r\nHost: a\r\nX: \t b \t\r\n\r\n")[0].head
    assert dict(head.headers)[b"X"] == b"b"


def test_connect_hands_over_the_rest_unread():
    events = RequestReader().feed(b"CONNECT a:443 HTTP/1.0\r\n\r\n\x16\x03\x01")
    assert [type(event) for event in events] == [Tunnel]
    assert events[0].rest == b"\x16\x03\x01"
    assert events[0].request.head.target == "a:443"


def test_what_follows_a_last_request_is_ignored():
    events = RequestReader().feed(REQUESTS["connection CLOSE"][0] + b"GARBAGE")
    assert [type(event) for event in events] == [Request, End]
    assert not events[0].keep_alive


@pytest.mark.parametrize("size", [HEAD_BYTES + 1, 3 * HEAD_BYTES])
def test_a_head_is_bounded_in_bytes_even_if_it_never_ends(size):
    reader = RequestReader()
    events = reader.feed(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
    for _ in range(size // 1024 + 2):
        events += reader.feed(b"a" * 1024)
    assert [type(event) for event in events] == [HeadTooLarge]


def test_a_head_is_bounded_in_fields():
    fields = b"".join(b"X-%d: 1\r\n" % each for each in range(HEAD_FIELDS))
    events = RequestReader().feed(b"GET / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")
    assert [type(event) for event in events] == [HeadTooLarge]


def test_trailers_are_bounded_too():
    reader = RequestReader()
    reader.feed(POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n")
    fields = b"".join(b"X-%d: 1\r\n" % each for each in range(HEAD_FIELDS + 1))
    assert [type(event) for event in reader.feed(fields + b"\r\n")] == [HeadTooLarge]


def test_the_answer_to_head_has_no_body_whatever_its_length_says():
    events = ResponseReader("HEAD").feed(HEAD + b"Content-Length: 5\r\n\r\n")
    assert [type(event) for event in events] == [Response, End]
    assert events[0].head.length == 0
    assert events[1].reusable


def test_a_body_after_the_answer_to_head_is_refused():
    events = ResponseReader("HEAD").feed(HEAD + b"Content-Length: 5\r\n\r\nhello")
    assert isinstance(events[-1], UpstreamMalformed)


def test_an_orderly_end_ends_a_body_of_unknown_length_only():
    open_ended = ResponseReader("GET")
    open_ended.feed(HEAD + b"\r\nhel")
    assert open_ended.eof() == [End(reusable=False)]
    counted = ResponseReader("GET")
    counted.feed(HEAD + b"Content-Length: 5\r\n\r\nhel")
    assert [type(event) for event in counted.eof()] == [UpstreamMalformed]


def test_fields_of_one_hop_are_dropped_with_those_that_connection_names():
    fields = (
        (b"Connection", b"close, X-Secret"),
        (b"x-secret", b"1"),
        (b"Proxy-Authorization", b"Bearer t"),
        (b"TE", b"trailers"),
        (b"Accept", b"*/*"),
    )
    assert end_to_end(fields) == ((b"Accept", b"*/*"),)


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5))
def test_what_is_written_in_chunks_reads_back(pieces):
    message = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    message += b"".join(chunk_bytes(piece) for piece in pieces) + last_chunk_bytes(((b"T", b"v"),))
    events = ResponseReader("GET").feed(message)
    assert b"".join(event.data for event in events if isinstance(event, Data)) == b"".join(pieces)
    assert events[-1] == End(((b"T", b"v"),), reusable=True)


def test_the_line_before_a_chunk_is_bounded():
    reader = RequestReader()
    events = reader.feed(POST + b"Transfer-Encoding: chunked\r\n\r\n1;")
    events += [event for _ in range(2 * CHUNK_LINE_BYTES) for event in reader.feed(b"a")]
    assert notation(events) == ["POST / ?", "! malformed"]
    long = b"1;" + b"a" * CHUNK_LINE_BYTES + b"\r\nx\r\n0\r\n\r\n"
    assert read(RequestReader(), POST + b"Transfer-Encoding: chunked\r\n\r\n" + long)[1:] == [
        "! malformed"
    ]


def test_interim_responses_are_bounded():
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    last = HEAD + b"Content-Length: 0\r\n\r\n"
    assert read(ResponseReader("GET"), hints * INTERIM + last)[-2:] == ["200 0", "."]
    assert read(ResponseReader("GET"), hints * (INTERIM + 1) + last)[-1] == "! malformed"


def test_empty_lines_before_a_request_are_bounded():
    assert read(RequestReader(), b"\r\n" * HEAD_BYTES) == ["! 431"]


def test_a_reason_phrase_is_bounded():
    assert read(ResponseReader("GET"), b"HTTP/1.1 200 " + b"a" * HEAD_BYTES) == ["! malformed"]


@pytest.mark.parametrize("size", [100, 1000])
def test_how_large_a_head_may_be_can_be_said(size):
    head = b"GET / HTTP/1.1\r\nHost: a\r\nX: "
    fits = head + b"x" * (size - len(head) - 4) + b"\r\n\r\n"
    assert read(RequestReader(size), fits) == ["GET / 0", "."]
    assert read(RequestReader(size), *bytewise(fits)) == ["GET / 0", "."]
    assert read(RequestReader(size - 1), fits) == ["! 431"]
    assert read(RequestReader(size - 1), *bytewise(fits)) == ["! 431"]


def test_the_same_fields_say_something_else_in_another_version():
    fields = b" HTTP/1.%d\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx"
    reader = RequestReader()
    first, *_ = reader.feed(b"PUT /1" + fields % 1)
    second, *_ = reader.feed(b"PUT /2" + fields % 1)
    third, *_ = reader.feed(b"PUT /3" + fields % 0)
    said = [(each.keep_alive, each.head.expects_continue) for each in (first, second, third)]
    assert said == [(True, True), (True, True), (False, False)]
    assert [each.head.target for each in (first, second, third)] == ["/1", "/2", "/3"]


@pytest.mark.parametrize("size", [100, 100_000])
def test_fields_that_change_from_request_to_request_are_those_that_came(size):
    reader = RequestReader(2 * size)
    message = b"GET / HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n"
    for letter in (b"a", b"a", b"b", b"a"):
        request, _ = reader.feed(message % (letter * size))
        assert request.head.headers == ((b"Host", b"a"), (b"X", letter * size))


def test_a_fault_is_the_last_thing_said_even_where_it_follows_the_end():
    reader = ResponseReader("GET")
    reader.feed(HEAD + b"Content-Length: 0\r\n\r\n")
    assert [type(event) for event in reader.feed(b"x")] == [UpstreamMalformed]
    assert reader.feed(b"x") == reader.eof() == []


@pytest.mark.parametrize(
    ("target", "means"),
    [
        ("https://A.example:8443/x?y", ("a.example:8443", "/x?y")),
        ("HTTPS://a", ("a", "")),
        ("https://a?x", ("a", "/?x")),
        ("https://[::1]:443/", ("[::1]:443", "/")),
        ("http://a/", None),
        ("https://u@a/", None),
        ("https://a:x/", None),
        ("https://a#x", None),
        ("https:///x", None),
        ("/https://a/", None),
        ("*", None),
    ],
)
def test_an_absolute_form_is_a_host_and_a_path(target, means):
    assert absolute_form(target) == means


@pytest.mark.parametrize("name", [b"X-HTTP-Method", b"x-original-url", b"X_METHOD_OVERRIDE"])
def test_a_field_that_asks_for_another_call_is_known_in_every_spelling(name):
    assert overriding(((b"Accept", b"*/*"), (name, b"DELETE")))
    assert not overriding(((b"Accept", name),))


# --- limits that are set


@pytest.mark.parametrize(
    ("bounds", "said"), [((40, 100), "longer than 40 bytes"), ((4000, 1), "more than 1 fields")]
)
def test_the_bounds_of_a_head_can_be_set(bounds, said):
    fields = b"Content-Length: 0\r\nContent-Type: text/plain\r\n\r\n"
    (fault,) = RequestReader(*bounds).feed(b"GET / HTTP/1.1\r\nHost: a\r\n" + fields)
    assert said in str(fault)
    (fault,) = ResponseReader("GET", *bounds).feed(b"HTTP/1.1 200 OK\r\n" + fields)
    assert said in str(fault)


def test_it_is_known_when_a_head_has_begun_and_is_not_whole():
    reader = RequestReader()
    message = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    told = []
    for byte in message:
        reader.feed(bytes([byte]))
        told.append(reader.in_head)
    assert told == [True] * (len(message) - 3) + [False] * 3
    reader.feed(b"\r\n")
    assert not reader.in_head  # line breaks between requests begin none
    reader.feed(b"G")
    assert reader.in_head


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Type: application/json\r\nContent-Type: text/html\r\n",
        b"Content-Type: application/json, text/html\r\n",
        b"Content-Type: text/html; charset=utf-8, application/json\r\n",
        b"Location: /a\r\nlocation: /b\r\n",
        b"If-Modified-Since: x\r\nIf-Modified-Since: y\r\n",
        b"Connection: Content-Length\r\n",
    ],
)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_what_two_readers_could_take_for_two_things_is_refused_on_both_sides(fields, version):
    rest = fields + b"Host: a.example\r\nContent-Length: 0\r\n\r\n"
    (fault,) = RequestReader().feed(b"GET / HTTP/" + version + b"\r\n" + rest)
    assert isinstance(fault, MalformedRequest)
    (fault,) = ResponseReader("GET").feed(b"HTTP/" + version + b" 200 OK\r\n" + rest)
    assert isinstance(fault, UpstreamMalformed)


def test_a_comma_inside_a_quoted_parameter_is_no_second_type():
    head = b'POST / HTTP/1.1\r\nHost: a.example\r\nContent-Type: a/b; p="x, y/z"\r\n\r\n'
    assert isinstance(RequestReader().feed(head)[0], Request)


def test_an_absolute_form_without_a_path_is_nothing_for_options_to_ask_of_a_path():
    assert absolute_form("https://a.example") == ("a.example", "")


@pytest.mark.parametrize(
    "read",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n",
    ],
)
def test_a_reader_that_nobody_needs_is_gone_at_once_with_all_that_it_read(read):
    reader = ResponseReader("GET")
    events = reader.feed(read)
    gone = weakref.ref(reader)
    del reader
    assert gone() is None
    assert all(not isinstance(event, PeerFault) for event in events)


def test_fields_that_a_connection_says_again_are_the_same_and_know_it():
    reader = RequestReader()
    asked = []

    def ask(fields):
        asked.append(fields)
        return len(fields)

    for path in (b"/a", b"/b", b"/c"):
        request, _ = reader.feed(b"GET " + path + b" HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n")
        assert request.head.headers.once(ask) == 2
    assert asked == [((b"Host", b"h"), (b"Accept", b"*/*"))] * 2
    other, _ = reader.feed(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
    assert other.head.headers.once(ask) == 1
