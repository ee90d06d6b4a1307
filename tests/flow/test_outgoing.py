"""Requests, masked on their way to the target or kept in: what policy and people see is what leaves."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pytest_twisted import ensureDeferred
from support.ports import JSON, Asked, Stand, permit, review
from twisted.internet.defer import Deferred
from wsproto import events
from zope.interface import implementer

from jitgate.core.hiding import STARS
from jitgate.core.policy import NEEDS_BODY
from jitgate.core.profiles import MaskingProfile
from jitgate.errors import AgentGone
from jitgate.flow.bodies import REVIEW_BODY
from jitgate.interfaces import IRule
from jitgate.maskers.detectors import DetectorMasker
from jitgate.maskers.known import LiteralsMasker
from jitgate.maskers.names import NameMasker
from jitgate.values import Budget, Effect, How, ResponseHead, Verdict
from tests.flow.test_conversation import Near, Room

CARD = "4111111111111111"
KNOWN = "correct-horse"
FORM = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
TEXT = ((b"Content-Type", b"text/plain"),)


def profile(how=How.REPLACE, **more):
    maskers = (
        NameMasker("out", ("ssn",), how),
        DetectorMasker("out", ("payment-card", "github-token"), how),
        LiteralsMasker("out/literal", (KNOWN.encode(),), how),
    )
    return MaskingProfile("out", maskers, catalog=False, responses=False, requests=True, **more)


def stand_of(how=How.REPLACE, verdict=None, passes=(), **more):
    verdict = verdict or permit(mask="out")
    return Stand(verdict=verdict, profiles={"out": profile(how, passes=passes)}, **more)


def _reviewed():
    verdict = review((("leads",), 1))
    return Verdict(
        verdict.effect, verdict.reason, (*verdict.obligations, *permit(mask="out").obligations)
    )


def post(body, headers=JSON, target="/things/7"):
    return Asked("POST", target, body, headers)


def everywhere(stand, told=None):
    """All that was recorded, told to people, and told to the agent."""
    return f"{stand.records.entries!r} {stand.channel.told!r} {told and (told.head, told.data)!r}"


HIDDEN = [
    (post(f'{{"n":1.10,"a":"{CARD} x"}}'.encode()), f'{{"n":1.10,"a":"{STARS} x"}}'.encode()),
    (post(b'{"ssn":7,"b":[{"ssn":"x"}]}'), f'{{"ssn":0,"b":[{{"ssn":"{STARS}"}}]}}'.encode()),
    (post(b'{"a":"' + KNOWN.encode() + b'"}'), f'{{"a":"{STARS}"}}'.encode()),
    (post(f"a=1&ssn=2&b={CARD}".encode(), FORM), f"a=1&ssn={STARS}&b={STARS}".encode()),
    (post(f"a\n{CARD}\n".encode(), TEXT), f"a\n{STARS}\n".encode()),
]


@pytest.mark.parametrize(("asked", "sent"), HIDDEN)
@pytest.mark.parametrize("announced", [True, False])
@ensureDeferred
async def test_what_is_hidden_in_a_body_does_not_leave(asked, sent, announced):
    stand = stand_of()
    told = await stand.serve(
        Asked("POST", "/things/7", asked.body, asked.head.headers, announced=announced)
    )
    assert told.head.status == 200
    ((head, body),) = stand.sent
    assert body == sent
    assert head.length == len(sent)
    (outcome,) = stand.entries("outcome")
    assert sum(outcome["request"]["masks"].values()) == len(outcome["request"]["masked"]) > 0
    assert outcome["request"]["bytes"] == len(sent)
    for secret in (CARD, KNOWN):
        assert secret not in everywhere(stand, told)


@pytest.mark.parametrize(
    "asked",
    [
        post(f'{{"{KNOWN}":{{"ssn":"x"}}}}'.encode()),
        post(f"{KNOWN}[ssn]=x&ssn=y".encode(), FORM),
    ],
)
@ensureDeferred
async def test_where_it_stood_is_told_without_what_is_hidden_there(asked):
    stand = stand_of()
    told = await stand.serve(asked)
    assert told.head.status == 200
    assert stand.entries("outcome")[0]["request"]["masked"]
    assert KNOWN not in everywhere(stand, told)


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        (f"/things?a=1&b={CARD}&c=2", f"/things?a=1&b={STARS}&c=2"),
        ("/things?a=1&b=4111+1111%201111-1111", f"/things?a=1&b={STARS}"),
        ("/things?ssn=1&a=%20b", f"/things?ssn={STARS}&a=%20b"),
        (f"/things?{CARD}", f"/things?{STARS}"),
        ("/things?next=https%3A%2F%2Fa.example%2F%3Fssn%3D1", None),
        (f"/things?a={KNOWN}", f"/things?a={STARS}"),
        (f"/things?{KNOWN}=1", f"/things?{STARS}=1"),
    ],
)
@ensureDeferred
async def test_what_is_hidden_in_a_query_does_not_leave(target, sent):
    stand = stand_of()
    await stand.serve(Asked("GET", target))
    ((head, _),) = stand.sent
    if sent is None:
        assert "ssn%3D1" not in head.target
    else:
        assert head.target == sent
    assert stand.entries("decision")[0]["request"]["target"] == head.target


@pytest.mark.parametrize("name", [b"User-Agent", b"Accept", b"Prefer", b"Traceparent"])
@ensureDeferred
async def test_what_is_hidden_in_a_field_does_not_leave(name):
    stand = stand_of()
    await stand.serve(Asked("GET", headers=((name, f"a {CARD} {KNOWN}=1".encode()),)))
    ((head, _),) = stand.sent
    assert CARD.encode() not in dict(head.headers)[name]
    assert KNOWN.encode() not in dict(head.headers)[name]
    assert STARS.encode() in dict(head.headers)[name]


@ensureDeferred
async def test_what_is_never_forwarded_is_not_looked_at():
    stand = stand_of(How.DENY)
    told = await stand.serve(Asked("GET", headers=((b"Cookie", CARD.encode()),)))
    assert told.head.status == 200


@pytest.mark.parametrize(
    "asked",
    [
        *[each for each, _ in HIDDEN],
        Asked("GET", f"/things?b={CARD}"),
        Asked("GET", "/things?ssn=1"),
        Asked("GET", headers=((b"Accept", CARD.encode()),)),
    ],
)
@ensureDeferred
async def test_what_is_denied_keeps_the_request_in(asked):
    stand = stand_of(How.DENY)
    asked = Asked(asked.head.method, asked.head.target, asked.body, asked.head.headers)
    told = await stand.serve(asked)
    assert (told.head.status, stand.sent) == (403, [])
    assert "credential" not in stand.log
    assert "lets no request hold" in json.loads(told.data)["detail"]
    (decision,) = stand.entries("decision")
    assert decision["effect"] == "deny"
    assert stand.entries("outcome")[0]["outcome"] == "denied"
    for secret in (CARD, KNOWN):
        assert secret not in everywhere(stand, told)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (post(b"<a/>", ((b"Content-Type", b"application/xml"),)), "not looked at"),
        (post(b"x", ((b"Content-Type", b"multipart/form-data; boundary=x"),)), "not looked at"),
        (post(b"x", ()), "does not say"),
        (post(b'{"a":'), "not JSON"),
        (post(b"\xff\xfe", TEXT), None),
        (post(b"{}", (*JSON, *JSON)), "in one way"),
        (Asked("GET", f"/things/{CARD}"), "Its path"),
        (Asked("GET", "/things/4111%201111%201111%201111"), "Its path"),
        (Asked("GET", f"/things/{KNOWN}"), "Its path"),
        (Asked("GET", "/things?a=" + "b" * 5000), "A query of more"),
    ],
)
@ensureDeferred
async def test_what_cannot_be_looked_at_or_masked_does_not_leave(asked, why):
    stand = stand_of()
    told = await stand.serve(
        Asked(asked.head.method, asked.head.target, asked.body, asked.head.headers)
    )
    if why is None:  # an empty text in UTF-16
        assert told.head.status == 200
        return
    assert (told.head.status, stand.sent) == (403, [])
    assert why in json.loads(told.data)["detail"]
    assert "esponse" not in json.loads(told.data)["detail"]


@ensureDeferred
async def test_a_body_that_is_too_large_to_be_held_does_not_leave():
    stand = stand_of()
    told = await stand.serve(post(b'"' + b"x" * REVIEW_BODY + b'"'))
    assert (told.head.status, stand.sent) == (413, [])


URL = f"/things/7?ssn=123-45&b={CARD}&c={KNOWN}"
LARGE = b'"' + b"x" * REVIEW_BODY + b'"'


class HungUp(Asked):
    """An agent that hangs up while its body is read."""

    async def read(self):
        raise AgentGone("The agent hung up.")


@pytest.mark.parametrize(
    ("verdict", "is_for", "asked", "status"),
    [
        (permit(mask="out"), "requests", post(LARGE, target=URL), 413),
        (_reviewed(), "requests", post(LARGE, target=URL), 413),
        (_reviewed(), "responses", post(LARGE, target=URL), 413),
        (_reviewed(), "responses", HungUp("POST", URL, b"{}", JSON), None),
    ],
)
@ensureDeferred
async def test_what_keeps_it_in_beforehand_is_on_record_without_what_is_hidden(
    verdict, is_for, asked, status
):
    looked = replace(profile(), requests=is_for == "requests", responses=is_for == "responses")
    stand = Stand(verdict=verdict, profiles={"out": looked})
    told = await stand.serve(asked)
    assert (told.head and told.head.status, stand.sent) == (status, [])
    assert len(stand.entries("outcome")) == 1
    assert "/things/7?ssn=" in everywhere(stand)
    for secret in ("123-45", CARD, KNOWN):
        assert secret not in everywhere(stand)


@ensureDeferred
async def test_so_it_is_where_policy_had_to_see_the_body():
    looked = replace(profile(), requests=False, responses=True)
    verdict = permit(mask="out", budget=Budget("the-rule", 1, 60.0))
    stand = Stand(verdict=verdict, profiles={"out": looked}, rules=(NoStars(),))
    for status in (200, 403):  # its budget is used up then
        assert (await stand.serve(post(b"{}", target=URL))).head.status == status
    assert len(stand.entries("decision")) == 2
    for secret in ("123-45", CARD, KNOWN):
        assert secret not in everywhere(stand)


@ensureDeferred
async def test_what_a_profile_passes_leaves_as_it_is():
    stand = stand_of(passes=("POST",))
    await stand.serve(post(b"<a/>", ((b"Content-Type", b"application/xml"),)))
    await stand.serve(post(b'{"ssn":1}'))
    assert [body for _, body in stand.sent] == [b"<a/>", b'{"ssn":0}']


@ensureDeferred
async def test_a_body_in_which_nothing_is_hidden_leaves_as_it_came():
    stand = stand_of()
    body = b' {"a": 1.10, "a": "\\u0041", "big": 12345678901234567890}\n'
    await stand.serve(post(body))
    ((head, sent),) = stand.sent
    assert (sent, head.length) == (body, len(body))
    assert "masks" not in stand.entries("outcome")[0]["request"]


@ensureDeferred
async def test_a_profile_for_requests_leaves_the_response_to_others():
    answer = b'{"secret":"x","ssn":1}'
    stand = stand_of(
        answer=ResponseHead(200, JSON, len(answer)),
        pieces=(answer,),
        secrets=frozenset({"secret"}),
    )
    told = await stand.serve(post(b"{}"))
    assert told.data == f'{{"secret":"{STARS}","ssn":1}}'.encode()


@ensureDeferred
async def test_people_approve_what_leaves_and_the_same_request_finds_its_grant():
    stand = stand_of(verdict=_reviewed())
    asked = post(f'{{"a":"{CARD}"}}'.encode(), target=f"/things/7?b={CARD}")
    told, serving = stand.asked(asked)
    assert stand.sent == []
    assert CARD not in everywhere(stand)
    await stand.says()
    await serving
    assert told.head.status == 200
    ((head, body),) = stand.sent
    assert body == f'{{"a":"{STARS}"}}'.encode()
    assert head.target == f"/things/7?b={STARS}"
    (opened,) = stand.entries("access.opened")
    (spent,) = stand.entries("grant.spent")
    assert opened["fingerprint"] == spent["fingerprint"]
    assert CARD not in everywhere(stand, told)


@implementer(IRule)
class NoStars:
    """Lets nobody send what was masked."""

    name, version = "no-stars", "1"

    def judge(self, inquiry):
        if inquiry.body is None:
            return NEEDS_BODY
        return Verdict(Effect.DENY, "No stars.") if STARS.encode() in inquiry.body else None


@ensureDeferred
async def test_policy_is_asked_again_about_what_leaves():
    stand = stand_of(rules=(NoStars(),))
    told = await stand.serve(post(b'{"ssn":"1"}'))
    assert (told.head.status, stand.sent) == (403, [])
    assert json.loads(told.data)["rule"] == "no-stars"
    await stand.serve(post(b'{"a":"1"}'))
    assert [body for _, body in stand.sent] == [b'{"a":"1"}']


# --- WebSockets


def room_of(how=How.REPLACE, **more):
    return Room(verdict=permit(mask="out"), profiles={"out": profile(how, **more)})


@ensureDeferred
async def test_a_message_leaves_without_what_is_hidden_and_so_it_is_on_record():
    room = room_of()
    serving = room.open()
    room.near.say(f"a {CARD}", '{"ssn":1}', "b")
    room.near.say(events.CloseConnection(code=4000, reason=KNOWN))
    room.far.say(4000)
    await serving
    assert room.far.heard[:3] == [f"a {STARS}", '{"ssn":0}', "b"]
    assert CARD not in everywhere(room.stand)
    assert KNOWN not in everywhere(room.stand)
    assert sum(room.outcome["request"]["masks"].values()) == 3


@ensureDeferred
async def test_where_it_stood_in_a_message_is_told_without_what_is_hidden_there():
    room = room_of()
    serving = room.open()
    room.near.say(f'{{"{KNOWN}":{{"ssn":"x"}}}}')
    room.near.say(4000)
    room.far.say(4000)
    await serving
    assert room.outcome["request"]["masked"]
    assert KNOWN not in everywhere(room.stand)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (How.DENY, CARD),
        (How.REPLACE, events.BytesMessage(data=b"x")),
    ],
)
@ensureDeferred
async def test_a_message_that_may_not_leave_ends_it(how, said):
    room = room_of(how)
    serving = room.open()
    room.near.say("a")
    room.near.say(said)
    await serving
    assert room.far.heard == ["a", 1001]
    assert room.near.heard == [1008]
    assert room.outcome["denial"] == "denied-by-policy"


@ensureDeferred
async def test_no_handshake_is_masked():
    room = room_of()
    room.near.head = Near.head._replace(target=f"/v1/room?a={CARD}")
    await room.open()
    assert room.told.head.status == 403
    assert room.stand.sent == []


@ensureDeferred
async def test_no_call_goes_on_before_what_looks_for_its_secrets_is_there():
    made, asked_for = Deferred(), []

    async def ready(maskers):
        asked_for.append(maskers)
        await made

    stand = Stand(secrets=frozenset({"secret"}), ready=ready)
    told, serving = stand.asked(post(b"{}"))
    assert len(asked_for) == 1
    assert (stand.sent, stand.entries("decision")) == ([], [])
    made.callback(None)
    await serving
    assert told.head.status == 200
