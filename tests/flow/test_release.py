"""The way out: masked, witnessed, and never whole before the outcome is on record."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from support.masking import ENCODERS, FOUND, VALUE, Detector, cut, cuts, names
from support.ports import JSON, SECRET, Told, agent
from twisted.internet.defer import Deferred

from jitgate.core.fields import is_json
from jitgate.core.hiding import STARS
from jitgate.core.profiles import MarkedFields
from jitgate.errors import AgentGone, MaskingFault, RecorderDown, ResponseDenied
from jitgate.flow.account import Account
from jitgate.flow.masking_room import MaskingRoom
from jitgate.flow.release import WHOLE, Release
from jitgate.flow.timing import Timing
from jitgate.flow.witness import Start, Witness
from jitgate.maskers.known import LiteralsMasker
from jitgate.maskers.names import NameMasker
from jitgate.values import How, Operation, RequestHead, ResponseHead

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

    def __init__(
        self,
        pieces,
        *,
        maskers=(),
        secrets=(SECRET,),
        trailers=(),
        fault=None,
        method="GET",
        room=None,
    ):
        self.told = Told()
        self.account = Account(
            id="x-1",
            session="s-1",
            subject=agent(),
            head=RequestHead(method, "/", ()),
            timing=Timing(lambda: 0.0),
            sent=Witness(Start(hmac.new(b"k", b"", "sha256")), 10**6),
            released=Witness(Start(hashlib.sha256()), 10**6),
        )
        self.before = None
        self._fault = fault
        self.turns = 0
        self.release = Release(
            self.account,
            self.told,
            Upstream(pieces, trailers),
            maskers,
            secrets,
            self._settled,
            room or MaskingRoom(),
            self._turn,
        )

    async def _turn(self):
        self.turns += 1

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


@given(
    st.integers(0, 3 * WHOLE),
    st.lists(st.integers(0, 10**6), max_size=8),
    st.sampled_from([(), JSON]),
)
@example(2 * WHOLE, [], JSON)  # all of it comes in the first piece, which is waited for
def test_a_counted_body_is_never_whole_before_it_is_settled(length, places, headers):
    body = b"x" * length
    out = Out(cut(body, places))
    run(out.run(ResponseHead(200, headers, length)))
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
    "body", [b'{"secret": "hunter2"', b"hunter2", b'{"secret": hunter2}', b"\xff"]
)
@ensureDeferred
async def test_what_is_no_json_after_all_is_withheld(body):
    out = Out([body], maskers=SECRETS)
    with pytest.raises(MaskingFault):
        await out.run(ResponseHead(200, JSON, len(body)))
    assert b"hunter2" not in out.told.data
    assert not out.told.ended


GZIP = (b"Content-Encoding", b"gzip")
PLAIN = ((b"Content-Type", b"text/plain"),)
EVENTS = ((b"Content-Type", b"text/event-stream"),)
UTF16 = ((b"Content-Type", b"text/html; charset=utf-16"),)


@pytest.mark.parametrize("length", [None, 2 * WHOLE])
@pytest.mark.parametrize(
    ("maskers", "headers", "body"),
    [
        (SECRETS, JSON, b"<html>"),
        (SECRETS, JSON, b" \n<html>"),
        (SECRETS, JSON, b"\xff"),
        (SECRETS, JSON, b'{"a":"\xff'),
        (SECRETS, PLAIN, b"nobody looks at it"),
        (SECRETS, (*JSON, GZIP), b"{}"),
        ((), (*JSON, GZIP), b"{}"),
        ((), UTF16, b"a"),
    ],
)
def test_what_cannot_be_looked_at_is_withheld_however_long_it_may_be(
    maskers, headers, body, length
):
    out = Out([body], maskers=maskers)
    with pytest.raises(MaskingFault):
        run(out.run(ResponseHead(200, headers, length)))
    assert not out.told.started


@pytest.mark.parametrize("pieces", [[], [b""]])
@pytest.mark.parametrize("headers", [JSON, (*JSON, GZIP), PLAIN, EVENTS, ()])
def test_what_has_no_byte_passes_whatever_it_is_said_to_be(headers, pieces):
    out = Out(pieces, maskers=SECRETS)
    run(out.run(ResponseHead(200, headers, None)))
    assert (out.told.data, out.told.ended) == (b"", True)


class Silent(Upstream):
    """Gives its pieces, and then has nothing to say yet."""

    async def read(self):
        return self.pieces.pop(0) if self.pieces else await Deferred()


@pytest.mark.parametrize(
    ("maskers", "method", "headers", "pieces", "started"),
    [
        (SECRETS, "GET", JSON, [], False),
        (SECRETS, "GET", JSON, [b'{"a"'], True),
        ((), "GET", PLAIN, [], True),
        (SECRETS, "GET", EVENTS, [], True),
        (SECRETS, "POST", EVENTS, [b"data: 1\n"], False),
        (SECRETS, "POST", EVENTS, [b"data: 1\n\n"], True),
    ],
)
def test_the_head_waits_for_a_first_byte_and_no_longer(maskers, method, headers, pieces, started):
    out = Out([], maskers=maskers, method=method)
    out.account.operation = Operation("t", "a", {}, method, "t.example", "/")
    out.release.upstream = Silent(pieces)
    out.release.run(ResponseHead(200, headers, None)).send(None)
    assert out.told.started is started
    assert out.told.data == b"".join(pieces) * started


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


@pytest.mark.parametrize("length", [100, None])
@ensureDeferred
async def test_an_echo_is_hidden_whole_where_a_profile_hides_a_part_of_it(length):
    secret = SECRET.decode()
    part = LiteralsMasker("part", [SECRET[2:-2]])
    body = f'{{"a":"see {secret}.","b":"{secret}"}}'
    out = Out([body.ljust(100).encode()], maskers=(part, NameMasker("n", ["b"], How.LAST4)))
    await out.run(ResponseHead(200, (*JSON, (b"X-Echo", SECRET)), length))
    assert out.told.data.strip() == body.replace(secret, STARS).encode()
    assert (b"X-Echo", STARS.encode()) in out.told.head.headers


@pytest.mark.parametrize("secret", [SECRET, b"Short-Secret-1", b"O'Neil~Secret"])
@pytest.mark.parametrize(
    "fields",
    [
        [(b"Content-Type", b"application/%b")],
        [(b"Content-Type", b"application/x-%b+json-seq; charset=latin1")],
        [(b"Content-Type", b"text/plain; charset=%b")],
        [(b"Content-Type", b'text/plain; charset="%b"')],
        [(b"Content-Type", b"application/json"), (b"Content-Encoding", b"gzip, %b")],
    ],
)
@ensureDeferred
async def test_why_it_is_withheld_tells_no_credential_that_is_echoed_there(fields, secret):
    out = Out([b"{}"], maskers=SECRETS)
    out.release.secrets = (secret,)
    headers = [(name, value % secret if b"%" in value else value) for name, value in fields]
    with pytest.raises(MaskingFault) as caught:
        await out.run(ResponseHead(200, tuple(headers), None))
    said = f"{caught.value}".lower()
    assert not [at for at in range(len(secret) - 7) if secret.decode().lower()[at : at + 8] in said]


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


# --- codings, charsets and what a body is, all the way out

MASKERS = (names(), Detector())
JSON_TEXT = f'{{"client_secret": "{VALUE}", "x": ["{FOUND}", 1.50], "echo": "{SECRET.decode()}"}}'
SHOWN_TEXT = (
    f'{{"client_secret": "{"*" * 16}", "x": ["{"*" * 16}", 1.50], "echo": "{"*" * len(SECRET)}"}}'
)
KINDS = {
    "application/json": "{}",
    "application/x-ndjson": "{}\n\n{}\r\n",
    "application/json-seq": "\x1e{}\n\x1e{}",
    "text/event-stream": ": c\ndata: {}\r\n\r\nevent: e\ndata: {}\n\n",
    "text/plain": "{}\n",
}


@given(
    st.sampled_from(sorted(KINDS)),
    st.sampled_from(["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]),
    st.lists(st.sampled_from(sorted(ENCODERS)), max_size=2),
    cuts,
    st.booleans(),
)
def test_whatever_it_is_however_it_is_coded_and_cut_it_is_masked(
    kind, charset, codings, places, counted
):
    text, shown = (KINDS[kind].replace("{}", each) for each in (JSON_TEXT, SHOWN_TEXT))
    if kind == "text/event-stream":
        charset = "utf-8"
    mark = "\ufeff" if kind == "text/plain" else ""
    body, headers = (
        (mark + text).encode(charset),
        [(b"Content-Type", kind.encode()), (b"ETag", b"x")],
    )
    for each in codings:
        name, encode = ENCODERS[each]
        body = encode(body)
        headers.append((b"Content-Encoding", name))
    out = Out(cut(body, places), maskers=MASKERS)
    run(out.run(ResponseHead(200, tuple(headers), len(body) if counted else None)))
    assert out.told.data.decode(charset) == mark + shown
    assert out.told.head.headers == ((b"Content-Type", kind.encode()),)
    assert out.told.head.length in {None, len(out.told.data)}
    assert out.account.masks == {
        "names": text.count(VALUE),
        "detector/key": text.count(FOUND),
        "credential": text.count(SECRET.decode()),
    }
    assert len(out.account.hand.hits) == text.count(VALUE) + text.count(FOUND)


@given(st.sampled_from(sorted(ENCODERS)), cuts)
def test_where_nothing_is_masked_what_is_coded_is_decoded_to_hide_the_credential(coding, places):
    name, encode = ENCODERS[coding]
    head = ((b"Content-Type", b"text/html"), (b"Content-Encoding", name), (b"ETag", b"x"))
    for said, shown in ((SECRET, b"*" * len(SECRET)), (b"nothing", b"nothing")):
        body = encode(b"<html>" + said)
        out = Out(cut(body, places))
        run(out.run(ResponseHead(200, head, len(body))))
        assert out.told.data == b"<html>" + shown
        assert out.told.head.headers == head[:1]
        assert out.told.head.length == len(out.told.data)


@ensureDeferred
async def test_a_small_coded_body_that_becomes_large_is_let_go_as_it_comes():
    data = json.dumps(["x" * 1000] * 200).encode()
    body = gzip.compress(data)
    out = Out([body], maskers=MASKERS)
    await out.run(ResponseHead(200, (*JSON, (b"Content-Encoding", b"gzip")), len(body)))
    assert out.told.head.length is None
    assert out.told.data == data


@pytest.mark.parametrize("status", [200, 304])
@ensureDeferred
async def test_a_head_alone_says_nothing_of_a_coding_that_the_body_would_not_have(status):
    head = (*JSON, (b"Content-Encoding", b"gzip"), (b"Content-Length", b"90"), (b"ETag", b"x"))
    out = Out([], method="HEAD")
    await out.run(ResponseHead(status, head, 0))
    assert out.told.head.headers == JSON
    assert out.told.head.length is None


@pytest.mark.parametrize(
    ("status", "headers"),
    [(206, JSON), (200, (*JSON, (b"Content-Range", b"bytes 0-5/9")))],
)
@ensureDeferred
async def test_a_part_is_withheld_where_anything_is_hidden(status, headers):
    for what in ({"maskers": MASKERS, "secrets": ()}, {"secrets": (SECRET,)}):
        out = Out([b'"x"'], **what)
        with pytest.raises(MaskingFault, match="part"):
            await out.run(ResponseHead(status, headers, 3))
    out = Out([b'"x"'], secrets=())
    await out.run(ResponseHead(status, headers, 3))
    assert out.told.data == b'"x"'


@pytest.mark.parametrize(("body", "kept"), [(b"echo: " + SECRET, False), (b"x" * 30, True)])
@ensureDeferred
async def test_what_vouches_for_a_body_goes_where_the_credential_is_starred_in_it(body, kept):
    vouching = ((b"ETag", b'"5d41"'), (b"Content-MD5", b"XUFA"), (b"Repr-Digest", b"sha-256=:x:"))
    out = Out([body])
    await out.run(ResponseHead(200, ((b"Content-Type", b"text/plain"), *vouching), len(body)))
    assert [field in out.told.head.headers for field in vouching] == [kept] * 3
    assert out.told.head.length == len(body)


@ensureDeferred
async def test_what_vouches_for_a_body_goes_where_the_credential_may_yet_come_in_it():
    out = Out([b"x" * 70_000, SECRET])
    length = 70_000 + len(SECRET)
    await out.run(ResponseHead(200, ((b"Content-Type", b"text/plain"), (b"ETag", b"x")), length))
    assert b"ETag" not in dict(out.told.head.headers)
    assert out.told.data == b"x" * 70_000 + b"*" * len(SECRET)


@ensureDeferred
async def test_that_there_is_no_such_part_may_be_said():
    out = Out([b'{"secret":1}'], maskers=MASKERS)
    await out.run(ResponseHead(416, (*JSON, (b"Content-Range", b"bytes */9")), 12))
    assert out.told.data == b'{"secret":0}'


@ensureDeferred
async def test_a_part_of_what_is_coded_is_withheld():
    out = Out([gzip.compress(b"a")])
    with pytest.raises(MaskingFault, match="part"):
        await out.run(ResponseHead(206, ((b"Content-Encoding", b"gzip"),), None))


@pytest.mark.parametrize("pieces", [[], [b"x"]])
@ensureDeferred
async def test_what_does_not_say_what_it_is_passes_where_it_is_nothing(pieces):
    out = Out(pieces, maskers=MASKERS)
    if pieces:
        with pytest.raises(MaskingFault):
            await out.run(ResponseHead(200, (), None))
        assert not out.told.started
    else:
        await out.run(ResponseHead(200, (), None))
        assert out.told.head.length == 0


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("size", [10, WHOLE - 200, 2 * WHOLE])
@ensureDeferred
async def test_what_no_response_may_hold_denies_it_while_little_of_it_has_come(size, announced):
    body = json.dumps({"a": "x" * size, "client_secret": VALUE}).encode()
    out = Out(cut(body, range(0, len(body), 1000)), maskers=(names(How.DENY),))
    with pytest.raises(ResponseDenied):
        await out.run(ResponseHead(200, JSON, len(body) if announced else None))
    assert out.told.started is (size > WHOLE)
    assert VALUE.encode() not in out.told.data
    assert not out.told.ended


@ensureDeferred
@pytest.mark.parametrize("kind", [b"application/json", b"text/plain"])
async def test_what_a_masker_hides_a_part_of_the_credential_shows_no_other_part(kind):
    begin, end = SECRET.decode()[:4], SECRET.decode()[-4:]
    by = (LiteralsMasker("l", [SECRET[2:-2]]), NameMasker("n", ["key"], How.LAST4))
    body = json.dumps({"echo": SECRET.decode(), "key": SECRET.decode()}).encode()
    fields = ((b"Content-Type", kind), (b"X-Echo", SECRET), (b"X-Key", b"key=" + SECRET))
    out = Out([body], maskers=by)
    await out.run(ResponseHead(200, fields, len(body)))
    seen = f"{out.told.data!r} {out.told.head.headers}"
    for part in (begin, end):
        assert part not in seen
    assert out.account.masks["credential"] == 3  # and what a name hides whole is no more than that


@ensureDeferred
async def test_where_it_was_is_told_without_the_credential():
    name = SECRET.decode()
    out = Out([json.dumps({name: {"secret": 1}}).encode()], maskers=SECRETS)
    await out.run(ResponseHead(200, JSON, None))
    (hit,) = out.account.hand.hits
    assert hit.path == f"$['{'*' * len(name)}']['secret']"


@ensureDeferred
async def test_fields_and_trailers_are_masked():
    trailers = ((b"X-Secret", b"hunter2"), (b"X-Note", FOUND.encode()))
    out = Out([b"{}"], maskers=MASKERS, trailers=trailers)
    head = (*JSON, (b"Location", f"/x?secret={VALUE}&e={SECRET.decode()}".encode()))
    await out.run(ResponseHead(302, head, None))
    assert dict(out.told.head.headers)[b"Location"] == (
        b"/x?secret=****************&e=" + b"*" * len(SECRET)
    )
    assert out.told.trailers == ((b"X-Secret", b"*" * 16), (b"X-Note", b"*" * 16))
    entry = out.account.outcome_entry(1.0, "completed", None)
    shown = [["X-Secret", "*" * 16], ["X-Note", "*" * 16]]
    assert entry.fields["response"]["trailers"] == shown
    # Behind a body whose length is announced HTTP/1.1 has none, and here it was known.
    assert out.told.head.length is None


@ensureDeferred
async def test_trailers_that_do_not_reach_the_agent_are_not_on_record():
    for pieces in ([b"{}"], [b"[" + b"1," * WHOLE, b"1]"]):
        out = Out(pieces, maskers=SECRETS, trailers=((b"X-Sum", b"1"),))
        out.told.takes_trailers = False
        await out.run(ResponseHead(200, JSON, None))
        assert out.told.trailers == ()
        assert (
            "trailers" not in out.account.outcome_entry(1.0, "completed", None).fields["response"]
        )


@ensureDeferred
async def test_of_what_was_cut_short_no_trailers_are_on_record():
    out = Out([b"{}"], maskers=SECRETS, trailers=((b"X-Sum", b"1"),))
    out.told.gone = True
    with pytest.raises(AgentGone):
        await out.run(ResponseHead(200, JSON, None))
    assert out.account.trailers == ()


@ensureDeferred
async def test_what_its_profile_says_holds_no_secret_passes_unseen():
    out = Out([b"<md:EntityDescriptor/>" + SECRET], maskers=MASKERS)
    out.account.passes = True
    await out.run(ResponseHead(200, ((b"Content-Type", b"application/xml"),), None))
    assert out.told.data == b"<md:EntityDescriptor/>" + b"*" * len(SECRET)


@ensureDeferred
async def test_without_a_hit_body_and_length_are_the_same():
    body = b'{"a" : 1.10, "b":\t12345678901234567890123, "a":"\\u0061"}\n'
    out = Out([body], maskers=MASKERS)
    await out.run(ResponseHead(200, JSON, len(body)))
    assert out.told.data == body
    assert out.told.head.length == len(body)


@ensureDeferred
@pytest.mark.parametrize("is_trailer", [False, True])
async def test_fields_that_take_long_are_not_looked_at_in_one_go(is_trailer):
    field = ((b"X-A", b'a="' * 6000),)
    out = Out([b"{}"], maskers=(names(),), trailers=field if is_trailer else ())
    await out.run(ResponseHead(200, (*JSON, *(() if is_trailer else field)), None))
    assert out.turns > 3
    assert field[0] in (out.told.trailers if is_trailer else out.told.head.headers)
