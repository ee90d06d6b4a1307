"""A credential in a query or a body: what the agent sent there is nobody's, and ours is sent last."""

from __future__ import annotations

import json

import pytest
from pytest_twisted import ensureDeferred
from support.ports import JSON, SECRET, Asked, Stand, permit, review

from jitgate.core.policy import NEEDS_BODY
from jitgate.errors import UpstreamGone
from jitgate.flow.bodies import REVIEW_BODY
from jitgate.values import Effect, ResponseHead, Verdict

FORM = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
OURS = SECRET.decode()
DENY = Verdict(Effect.DENY, "No.")


def everywhere(stand, told=None):
    """All that was recorded, told to people, and told to the agent."""
    return f"{stand.records.entries!r} {stand.channel.told!r} {told and (told.head, told.data)!r}"


def post(body, headers=JSON, target="/things/7"):
    return Asked("POST", target, body, headers)


# --- the query


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("/things?key=of-the-agent", f"/things?key={OURS}"),
        ("/things?a=1&key=of-the-agent&b=2", f"/things?a=1&b=2&key={OURS}"),
        ("/things?%6bey=of-the-agent", f"/things?key={OURS}"),
        ("/things?a=1", f"/things?a=1&key={OURS}"),
        ("/things", f"/things?key={OURS}"),
    ],
)
@ensureDeferred
async def test_the_agents_own_is_dropped_from_the_query_and_ours_is_the_last(asked, sent):
    stand = Stand(in_query="key")
    told = await stand.serve(Asked("GET", asked))
    ((head, _),) = stand.sent
    assert head.target == sent
    assert not [name for name, _ in head.headers if name == b"Authorization"]
    assert told.head.status == 200
    assert OURS not in everywhere(stand, told)
    assert "of-the-agent" not in everywhere(stand, told)


@pytest.mark.parametrize("query", ["KEY=x", "%256bey=x", "key[]=x", "a=1;key=x"])
@ensureDeferred
async def test_what_some_server_could_take_for_it_is_refused(query):
    stand = Stand(in_query="key")
    told = await stand.serve(Asked("GET", f"/things?{query}"))
    assert told.head.status == 400
    assert "could be taken for" in json.loads(told.data)["detail"]
    assert stand.sent == []
    assert "credential" not in stand.log


@ensureDeferred
async def test_an_echo_of_it_in_a_redirect_is_hidden():
    stand = Stand(in_query="key")
    location = (b"Location", b"https://api.example/there?key=" + SECRET)
    stand.answer = ResponseHead(302, (location,), 15)
    told = await stand.serve()
    assert dict(told.head.headers)[b"Location"].endswith(b"key=" + b"*" * len(SECRET))


@ensureDeferred
async def test_what_is_sent_once_more_has_it_in_the_query_too():
    stand = Stand(in_query="key", fail={"send": UpstreamGone("dead")})
    stand.always_kept = True
    await stand.serve(Asked("GET", "/things?a=1"))
    assert [head.target for head, _ in stand.sent] == [f"/things?a=1&key={OURS}"] * 2


@ensureDeferred
async def test_what_was_approved_is_what_is_sent_less_the_credential():
    stand = Stand(in_query="key", verdict=review())
    shown = []
    for target in ("/things?a=1&key=of-the-agent", "/things?a=1"):
        _, serving = stand.asked(Asked("POST", target, b"{}", JSON))
        shown.append(stand.channel.told[-1].ask)
        await stand.says(key=f"a-{len(shown)}")
        await serving
    assert [each.fingerprint for each in shown] == [shown[0].fingerprint] * 2
    assert {each.shown.url for each in shown} == {"https://api.example/things?a=1"}
    assert [head.target for head, _ in stand.sent] == [f"/things?a=1&key={OURS}"] * 2
    assert OURS not in everywhere(stand)


# --- in the other place: many servers read query and body as one

CROSSED = [
    ("in_query", "/things", b"key=of-the-agent&a=1", FORM, "some servers read both as one"),
    ("in_query", "/things", b"a=1&KEY=of-the-agent", FORM, "could be taken for"),
    ("in_query", "/things", b'{"key":"of-the-agent"}', JSON, "some servers read both as one"),
    ("in_query", "/things", b"{", JSON, "not one JSON object"),
    ("in_query", "/things", b"key=of-the-agent", (), "nobody looks for that name"),
    ("in_body", "/things?key=of-the-agent", b"a=1", FORM, "some servers read both as one"),
    ("in_body", "/things?a=1&key[]=of-the-agent", b"{}", JSON, "could be taken for"),
]


@pytest.mark.parametrize(("place", "target", "body", "headers", "says"), CROSSED)
@pytest.mark.parametrize("verdict", [permit(), review()])
@ensureDeferred
async def test_the_name_in_the_other_place_is_refused(place, target, body, headers, says, verdict):
    stand = Stand(**{place: "key"}, verdict=verdict)
    told = await stand.serve(post(body, headers, target))
    assert told.head.status == 400
    assert says in json.loads(told.data)["detail"]
    assert stand.sent == []
    assert stand.channel.told == []
    assert "credential" not in stand.log


@pytest.mark.parametrize("announced", [True, False])
@ensureDeferred
async def test_a_form_goes_whole_with_a_credential_in_the_query(announced):
    stand = Stand(in_query="key")
    await stand.serve(Asked("POST", "/things", b"a=1&b=key", FORM, announced=announced))
    ((head, data),) = stand.sent
    assert (head.target, data) == (f"/things?key={OURS}", b"a=1&b=key")


@ensureDeferred
async def test_a_file_is_not_held_for_a_credential_in_the_query():
    stand = Stand(in_query="key")
    body = b"key=1" + b"x" * REVIEW_BODY
    await stand.serve(post(body, ((b"Content-Type", b"application/octet-stream"),)))
    ((_, data),) = stand.sent
    assert data == body


# --- the body


@pytest.mark.parametrize(
    ("body", "headers", "sent"),
    [
        (b"key=of-the-agent", FORM, f"key={OURS}"),
        (b"a=1&key=of-the-agent", FORM, f"a=1&key={OURS}"),
        (b"a=%C3%A9+1", FORM, f"a=%C3%A9+1&key={OURS}"),
        (b"{}", JSON, f'{{"key":"{OURS}"}}'),
        (b'{"key": "of-the-agent"}', JSON, f'{{"key":"{OURS}"}}'),
        (b'{"a": 1.10, "key": 7}\n', JSON, f'{{"a": 1.10,"key":"{OURS}"}}\n'),
    ],
)
@ensureDeferred
async def test_the_agents_own_is_dropped_from_the_body_and_ours_is_the_last(body, headers, sent):
    stand = Stand(in_body="key")
    told = await stand.serve(post(body, headers))
    ((head, data),) = stand.sent
    assert (data, head.length) == (sent.encode(), len(sent))
    assert told.head.status == 200
    assert OURS not in everywhere(stand, told)
    assert "of-the-agent" not in everywhere(stand, told)
    assert stand.fresh_asked == [True]


@pytest.mark.parametrize("announced", [True, False])
@ensureDeferred
async def test_a_body_of_unknown_length_has_one_when_it_is_sent(announced):
    stand = Stand(in_body="key")
    await stand.serve(Asked("POST", "/things", b"{}", JSON, announced=announced))
    ((head, data),) = stand.sent
    assert head.length == len(data) > 2


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (Asked("GET", "/things"), "a GET has none"),
        (Asked("GET", "/things", b"{}", JSON), "a GET has none"),
        (Asked("DELETE", "/things"), "needs one that is a form or a JSON object"),
        (Asked("POST", "/things", b"", JSON), "needs one that is a form or a JSON object"),
        (post(b"x", ((b"Content-Type", b"text/plain"),)), "needs one that is a form"),
        (post(b"[]"), "not one JSON object"),
        (post(b'{"a":1,"a":2}'), "stands twice"),
        (post(b'{"Key":"x"}'), "could be taken for"),
        (post(b"k%65y%00=x", FORM), "could be taken for"),
    ],
)
@ensureDeferred
async def test_a_call_that_it_cannot_be_put_into_is_refused(asked, says):
    stand = Stand(in_body="key")
    told = await stand.serve(asked)
    assert told.head.status == 400
    assert says in json.loads(told.data)["detail"]
    assert stand.sent == []
    assert "credential" not in stand.log


@ensureDeferred
async def test_a_body_that_is_too_large_to_be_held_is_refused():
    stand = Stand(in_body="key")
    told = await stand.serve(post(b'{"a":"' + b"x" * REVIEW_BODY + b'"}'))
    assert told.head.status == 413
    assert stand.sent == []


@ensureDeferred
async def test_what_policy_denies_is_denied_for_that_and_its_body_is_not_read():
    stand = Stand(in_body="key", verdict=DENY)
    asked = Asked("GET", "/things", b"x")
    told = await stand.serve(asked)
    assert told.head.status == 403
    assert asked.body == b"x"


@ensureDeferred
async def test_policy_and_people_see_the_body_without_it():
    stand = Stand(in_body="key", verdict=review())
    seen = []
    rule = stand.decider._policy.rules[0]
    judge = rule.judge
    rule.judge = lambda inquiry: (
        seen.append(inquiry.body) or (NEEDS_BODY if inquiry.body is None else judge(inquiry))
    )
    _, serving = stand.asked(post(b'{"a":1,"key":"of-the-agent"}'))
    (told,) = stand.channel.told
    assert seen == [None, b'{"a":1}']
    assert (told.ask.shown.body, told.ask.shown.length) == ('{"a":1}', 7)
    await stand.says()
    await serving
    ((_, data),) = stand.sent
    assert json.loads(data) == {"a": 1, "key": OURS}
    assert "of-the-agent" not in everywhere(stand)
    (outcome,) = stand.entries("outcome")
    assert outcome["request"]["bytes"] == 7


@ensureDeferred
async def test_the_room_of_a_body_is_given_back_whole():
    stand = Stand(in_body="key", verdict=permit())
    await stand.serve(post(b'{"a":1,"key":"of-the-agent"}'))
    assert stand.decider._bodies._owned == {}
