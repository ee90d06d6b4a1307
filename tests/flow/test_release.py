"""The way out: masked, witnessed, and never whole before the outcome is on record."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from support.ports import JSON, SECRET, Told, agent

from jitgate.core.profiles import MarkedFields
from jitgate.errors import MaskingFault, RecorderDown
from jitgate.flow.account import Account, Start, Witness
from jitgate.flow.release import WHOLE, Release, is_json
from jitgate.values import RequestHead, ResponseHead

SECRETS = (MarkedFields(frozenset({"secret"})),)


class Upstream:
    """Gives its pieces, then the end."""

    def __init__(self, pieces, trailers=()):
        self.pieces = list(pieces)
        self._trailers = trailers

    async def read(self):
        return self.pieces.pop(0) if self.pieces else b""

    def trailers(self):
        return self._trailers


class Out:
    """One release, and what had been released when the outcome was settled."""

    def __init__(self, pieces, *, maskers=(), trailers=(), fault=None, method="GET"):
        self.told = Told()
        self.account = Account(
            id="x-1",
            session="s-1",
            subject=agent(),
            head=RequestHead(method, "/", ()),
            started=0.0,
            sent=Witness(Start(hmac.new(b"k", b"", "sha256")), 10**6),
            released=Witness(Start(hashlib.sha256()), 10**6),
        )
        self.before = None
        self._fault = fault
        self.release = Release(
            self.account,
            self.told,
            Upstream(pieces, trailers),
            maskers,
            (SECRET,),
            self._settled,
        )

    async def _settled(self):
        assert self.before is None, "settled twice"
        if self._fault is not None:
            raise self._fault
        self.before = self.told.data

    async def run(self, head):
        await self.release.run(head)
        return self


def run(coroutine):
    try:
        coroutine.send(None)
    except StopIteration as answer:
        return answer.value
    raise AssertionError("it waited")


def cut(data, places):
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in zip(edges, edges[1:], strict=False)]


BODY = b'{"secret": "hunter2", "echo": "' + SECRET + b'", "n": 1.10}'
SHOWN = b'{"secret": "****************", "echo": "' + b"*" * len(SECRET) + b'", "n": 1.10}'


@given(st.lists(st.integers(0, 200), max_size=8), st.booleans())
def test_wherever_it_is_cut_no_secret_gets_out(places, counted):
    out = Out(cut(BODY, places), maskers=SECRETS)
    run(out.run(ResponseHead(200, JSON, len(BODY) if counted else None)))
    assert out.told.data == SHOWN
    assert out.told.head.length == (len(SHOWN) if counted else None)
    assert out.account.masks == {"catalog": 1, "credential": 1}
    assert out.account.released.digest == hashlib.sha256(SHOWN).hexdigest()


@pytest.mark.parametrize(("maskers", "length"), [((), 90), (SECRETS, None)])
def test_the_length_of_what_get_brings_is_told_where_that_is_not_masked(maskers, length):
    out = Out([], maskers=maskers, method="HEAD")
    run(out.run(ResponseHead(200, (*JSON, (b"Content-Length", b"90")), 0)))
    assert out.told.head.length == length


def test_no_length_is_told_that_the_target_does_not_tell():
    out = Out([], method="HEAD")
    run(out.run(ResponseHead(200, JSON, 0)))
    assert out.told.head.length is None


@given(st.integers(0, 3 * WHOLE), st.lists(st.integers(0, 10**6), max_size=8))
def test_a_counted_body_is_never_whole_before_it_is_settled(length, places):
    body = b"x" * length
    out = Out(cut(body, places))
    run(out.run(ResponseHead(200, (), length)))
    assert out.told.data == body
    assert len(out.before) < length or length == 0
    if length <= WHOLE:
        assert out.before == b""


@pytest.mark.parametrize("length", [0, 5, WHOLE + 5, None])
@ensureDeferred
async def test_without_a_recorder_the_end_is_never_released(length):
    out = Out([b"x" * (length or 5)] if length != 0 else [], fault=RecorderDown("full"))
    with pytest.raises(RecorderDown):
        await out.run(ResponseHead(200, (), length))
    assert not out.told.ended
    assert len(out.told.data) < (length or 6) or length == 0
    if length is not None and length <= WHOLE:
        assert not out.told.started


@pytest.mark.parametrize(
    "body", [b'{"secret": "hunter2"', b"hunter2", b'{"secret": hunter2}', b"\xff", b""]
)
@ensureDeferred
async def test_what_is_no_json_after_all_is_withheld(body):
    out = Out([body], maskers=SECRETS)
    with pytest.raises(MaskingFault):
        await out.run(ResponseHead(200, JSON, len(body) or None))
    assert b"hunter2" not in out.told.data
    assert not out.told.ended


CODINGS = [b"gzip", b"br", b"identity, gzip", b"GZIP", b"x-unknown", b"aes128gcm"]


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("maskers", [(), SECRETS], ids=["unmasked", "masked"])
@ensureDeferred
async def test_a_coded_body_is_withheld_even_where_only_the_credential_could_be_in_it(
    coding, maskers
):
    out = Out([b"abc"], maskers=maskers)
    with pytest.raises(MaskingFault):
        await out.run(ResponseHead(200, (*JSON, (b"Content-Encoding", coding)), 3))
    assert out.told.seen == []


@ensureDeferred
async def test_identity_is_no_coding():
    out = Out([b"{}"], maskers=SECRETS)
    await out.run(ResponseHead(200, (*JSON, (b"Content-Encoding", b"Identity")), 2))
    assert out.told.data == b"{}"


@pytest.mark.parametrize("status", [200, 304])
@pytest.mark.parametrize("name", [b"ETag", b"Content-MD5", b"Digest", b"Repr-Digest"])
@ensureDeferred
async def test_a_head_alone_does_not_vouch_for_a_body_that_would_have_been_masked(status, name):
    """A digest of the whole body lets whoever knows the rest of it guess the masked value."""
    out = Out([], maskers=SECRETS)
    await out.run(ResponseHead(status, (*JSON, (name, b"x")), 0))
    assert name not in dict(out.told.head.headers)


@ensureDeferred
async def test_an_echo_in_a_trailer_is_masked():
    out = Out([b"ok"], trailers=((b"X-Echo", SECRET), (b"ETag", b"x")))
    await out.run(ResponseHead(200, (), None))
    assert out.told.trailers == ((b"X-Echo", b"*" * len(SECRET)),)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (b"application/json", True),
        (b"Application/JSON ; Charset=UTF-8", True),
        (b'application/problem+json; charset="utf-8"', True),
        (b"application/json; charset=utf-16", False),
        (b"application/json; charset=utf-8; charset=utf-16", False),
        (b"application/json; profile=x", False),
        (b"application/jsonp", False),
        (b"text/html; application/json", False),
        (b"application/x-ndjson", False),
        (b"text/event-stream", False),
        (b"", False),
    ],
)
def test_what_says_json_and_what_does_not(kind, says):
    assert is_json(((b"Content-Type", kind),)) is says


def test_two_content_types_say_nothing():
    assert not is_json((*JSON, *JSON))
    assert not is_json(())
