"""A WebSocket's handshake: what asks for one, what leaves, what is taken for an answer."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.binding import within
from jitgate.core.catalog import PathCatalog
from jitgate.core.fingerprint import fingerprint
from jitgate.core.http1_reading import Data, Request, RequestReader, ResponseReader
from jitgate.core.injection import NOTHING_ISSUED, upstream_head
from jitgate.core.operation import PathTemplate
from jitgate.core.websocket import (
    WebSockets,
    accept,
    agent_answer,
    misanswered,
    opened,
    opening_head,
)
from jitgate.errors import MalformedRequest, UpstreamMalformed
from jitgate.values import Binding, Denial, Operation, Refusal, RequestHead, ResponseHead, Risk

AUTHORITY = "api.example:443"
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
"""RFC 6455, section 1.3."""
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
TAKEN = WebSockets((PathTemplate("/v1/{room}"),), frozenset({"chat.v1", "chat.v2"}))
HANDSHAKE = (
    b"GET /v1/room?a=1 HTTP/1.1\r\nHost: api.example\r\nConnection: keep-alive, Upgrade\r\n"
    b"Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)
OPENED = (b"Connection", b"keep-alive, Upgrade")
GOOD = ((b"Upgrade", b"WebSocket"), (b"Sec-WebSocket-Accept", ACCEPT), OPENED)


def asked(*fields, path="/v1/room"):
    return RequestHead("GET", path, ((b"Sec-WebSocket-Key", KEY), *fields), websocket=True)


def operation(*fields, path="/v1/room", near=None, **more):
    plain = PathCatalog("things").operation(AUTHORITY, "GET", path, "")
    return opened(plain.__class__(**{**_of(plain), **more}), asked(*fields), TAKEN, near)


def _of(plain):
    return {name: getattr(plain, name) for name in Operation.__dataclass_fields__}


@given(st.integers(1, len(HANDSHAKE)), st.binary(min_size=1, max_size=40))
def test_what_follows_a_handshake_is_data_however_it_is_cut(at, behind):
    sent = HANDSHAKE + behind
    reader = RequestReader(websockets=True)
    events = reader.feed(sent[:at]) + reader.feed(sent[at:])
    assert isinstance(events[0], Request)
    assert events[0].head.websocket
    assert not events[0].keep_alive
    assert b"".join(each.data for each in events[1:] if isinstance(each, Data)) == behind


def test_without_leave_no_handshake_is_read():
    (fault,) = RequestReader().feed(HANDSHAKE)
    assert isinstance(fault, MalformedRequest)


def test_a_second_request_with_the_fields_of_a_handshake_is_none_by_its_line():
    plain = HANDSHAKE.replace(b"GET ", b"DELETE ")
    (fault,) = RequestReader(websockets=True).feed(plain)
    assert isinstance(fault, MalformedRequest)


def test_a_101_is_an_answer_only_to_a_handshake():
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nhello"
    head, data = ResponseReader("GET", websocket=True).feed(answer)
    assert (head.head.status, data.data) == (101, b"hello")
    assert isinstance(ResponseReader("GET").feed(answer)[-1], UpstreamMalformed)
    framed = answer.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n")
    assert isinstance(ResponseReader("GET", websocket=True).feed(framed)[-1], UpstreamMalformed)


def test_the_answer_to_a_key_is_that_of_the_rfc():
    assert accept(KEY) == ACCEPT


def test_it_is_an_operation_that_changes_things_and_is_no_plain_get():
    made = operation(risk=Risk.READ)
    assert made.changes
    assert made.risk is Risk.WRITE
    assert made.parameters["upgrade"] == "websocket"
    assert operation(risk=Risk.DESTRUCTIVE).risk is Risk.DESTRUCTIVE


def test_what_people_approve_as_a_read_opens_no_websocket():
    made = operation()
    plain = upstream_head(
        asked(), made, NOTHING_ISSUED, token="t", declared=frozenset(), masked=False
    )
    prints = [
        fingerprint(head, b"", frozenset())
        for head in (
            plain,
            opening_head(plain, made, KEY),
            opening_head(plain, operation((b"Sec-WebSocket-Protocol", b"chat.v1")), KEY),
        )
    ]
    assert len(set(prints)) == 3
    other = opening_head(plain, made, b"another key")
    assert fingerprint(other, b"", frozenset()) == prints[1]  # no part of what is approved


def test_a_token_that_is_for_one_operation_opens_none():
    made = operation()
    bound = Binding("t-1", made.target, made.action, made.resource)
    assert not within(bound, made)
    assert within(bound, replace(made, opens=None))


@pytest.mark.parametrize("path", ["/v2/room", "/v1/room/x", "/v1"])
def test_only_where_the_target_takes_one(path):
    refused = operation(path=path)
    assert isinstance(refused, Refusal)
    assert refused.denial is Denial.MALFORMED


@pytest.mark.parametrize(
    ("origin", "near", "opens"),
    [
        (b"https://api.example", None, True),
        (b"HTTPS://API.EXAMPLE", None, True),
        (b"https://api.example:8443", None, False),
        (b"http://api.example", None, False),
        (b"https://api.example.evil", None, False),
        (b"null", None, False),
        (b"", None, False),
        (b"https://own.example:8443", "own.example:8443", True),
        (b"https://own.example:8443", None, False),
    ],
)
def test_no_page_of_another_origin_gets_one_with_the_gateways_credential(origin, near, opens):
    made = operation((b"Origin", origin), near=near)
    assert isinstance(made, Operation) == opens
    both = operation((b"Origin", b"https://api.example"), (b"Origin", b"https://evil.example"))
    assert isinstance(both, Refusal)


def test_the_handshake_that_leaves_is_the_gateways_own():
    fields = (b"Sec-WebSocket-Protocol", b"secret.token, chat.v2"), (b"Accept", b"a/b")
    made = operation(*fields)
    head = opening_head(asked(*fields), made, b"our own key")
    sent = dict(head.headers)
    assert sent[b"Sec-WebSocket-Key"] == b"our own key"
    assert sent[b"Sec-WebSocket-Protocol"] == b"chat.v2"
    assert sent[b"Accept"] == b"a/b"
    assert b"Sec-WebSocket-Extensions" not in sent
    assert [name for name, _ in head.headers].count(b"Sec-WebSocket-Key") == 1


@pytest.mark.parametrize(
    ("fields", "fine"),
    [
        (GOOD, True),
        ((*GOOD, (b"Sec-WebSocket-Protocol", b"chat.v1")), True),
        ((*GOOD, (b"Sec-WebSocket-Protocol", b"chat.v2")), False),
        ((*GOOD, (b"Sec-WebSocket-Protocol", b"chat.v1, chat.v1")), False),
        ((*GOOD, (b"Sec-WebSocket-Extensions", b"permessage-deflate")), False),
        (GOOD[:2], False),
        ((*GOOD[:2], (b"Connection", b"upgraded")), False),
        ((*GOOD[:2], (b"Connection", b"close"), (b"Connection", b"UPGRADE")), True),
        ((GOOD[0], OPENED), False),
        (GOOD[1:], False),
        ((*GOOD, GOOD[1]), False),
        (((b"Upgrade", b"h2c"), *GOOD[1:]), False),
        ((GOOD[0], (b"Sec-WebSocket-Accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOO="), OPENED), False),
    ],
)
def test_an_answer_that_opens_none_is_told(fields, fine):
    made = operation((b"Sec-WebSocket-Protocol", b"chat.v1"))
    assert (misanswered(ResponseHead(101, fields), made, KEY) is None) == fine


def test_nothing_of_the_targets_answer_goes_to_the_agent_but_the_subprotocol():
    fields = (*GOOD, (b"Set-Cookie", b"a=b"), (b"Sec-WebSocket-Protocol", b"chat.v1"))
    answer = agent_answer(asked(), ResponseHead(101, fields))
    assert dict(answer.headers) == {
        b"Connection": b"Upgrade",
        b"Upgrade": b"websocket",
        b"Sec-WebSocket-Accept": ACCEPT,
        b"Sec-WebSocket-Protocol": b"chat.v1",
    }
