"""What is lent for a call comes back once, whatever becomes of the call."""

import json

import pytest
from pytest_twisted import ensureDeferred
from support.ports import SECRET, Asked, Stand, permit, review

from jitgate.errors import CredentialBusy, CredentialUnavailable, UpstreamGone, UpstreamUnreachable
from jitgate.values import Obligation, ResponseHead, Verdict

STAGES = ["connect", "send", "read", "read more"]


@pytest.mark.parametrize("stage", [None, *STAGES])
@pytest.mark.parametrize("method", ["GET", "POST"])
@ensureDeferred
async def test_it_comes_back_once(stage, method):
    stand = Stand(fail={} if stage is None else {stage: UpstreamUnreachable("down")})
    await stand.serve(Asked(method))
    assert stand.log.count("returned") == 1
    assert stand.lent == []


@ensureDeferred
async def test_it_comes_back_after_the_last_use_of_it():
    stand = Stand()
    await stand.serve()
    assert stand.log[-2:] == ["release", "returned"]


@ensureDeferred
async def test_what_was_not_lent_does_not_come_back():
    stand = Stand(fail={"credential": CredentialUnavailable("down")})
    told = await stand.serve()
    assert told.head.status == 502
    assert "returned" not in stand.log


# --- how often it may serve


@pytest.mark.parametrize(
    ("method", "verdict", "seconds"),
    [
        ("GET", permit(reuse=300.0), 300.0),
        ("GET", permit(), 0.0),
        ("POST", permit(reuse=300.0), 0.0),
        ("DELETE", permit(reuse=300.0), 0.0),
    ],
)
@ensureDeferred
async def test_what_changes_something_shares_no_credential(method, verdict, seconds):
    stand = Stand(verdict=verdict)
    seen = []

    async def look(what):
        if what == "answer":
            seen.extend(stand.lent)

    stand.pause = look
    await stand.serve(Asked(method))
    assert seen == [seconds]


@ensureDeferred
async def test_what_was_approved_shares_no_credential():
    asking = review()
    duties = (*asking.obligations, Obligation("reuse", 300.0))
    stand = Stand(verdict=Verdict(asking.effect, asking.reason, duties))
    seen = []

    async def look(what):
        if what == "answer":
            seen.extend(stand.lent)

    stand.pause = look
    _, serving = stand.asked(Asked("GET"))
    await stand.says()
    await serving
    assert seen == [0.0]
    assert stand.granted == [True]


@pytest.mark.parametrize("method", ["GET", "POST"])
@ensureDeferred
async def test_what_nobody_gave_leave_for_is_lent_as_that(method):
    stand = Stand()
    await stand.serve(Asked(method))
    assert stand.granted == [False]


@pytest.mark.parametrize("nonsense", ["5m", -1.0, float("nan"), True, None, 3601.0])
@ensureDeferred
async def test_a_reuse_that_is_no_span_of_time_denies(nonsense, nothing_unnoticed):
    stand = Stand(verdict=permit(reuse=nonsense))
    told = await stand.serve()
    assert len(nothing_unnoticed) == 1
    nothing_unnoticed.clear()
    assert "the-rule" in json.loads(told.data)["rule"]
    assert stand.sent == []


@pytest.mark.parametrize(("until", "again"), [(42.0, 42), (-5.0, 0), (float("inf"), 305)])
@ensureDeferred
async def test_where_there_is_no_room_for_a_credential_the_agent_is_told_to_slow_down(until, again):
    stand = Stand()
    stand.fail["credential"] = CredentialBusy("No room.", stand.clock.seconds() + until)
    told = await stand.serve()
    said = json.loads(told.data)
    assert (told.head.status, said["detail"]) == (503, "No room.")
    assert dict(told.head.headers)[b"Retry-After"] == b"%d" % again
    assert said["type"].endswith("/target-busy")
    assert said["retry"] == f"Nothing was sent. Send the same call again in {again} s."
    assert stand.sent == []
    assert stand.entries("outcome")[0]["denial"] == "target-busy"


@ensureDeferred
async def test_where_there_is_no_room_for_a_credential_the_approval_stands():
    stand = Stand(verdict=review())
    stand.fail["credential"] = CredentialBusy("No room.", stand.clock.seconds() + 42)
    told, serving = stand.asked(Asked("POST", "/things"))
    await stand.says()
    await serving
    assert "the approval stands" in json.loads(told.data)["retry"]
    assert stand.entries("grant.spent") == []
    assert stand.granted == [True]


# --- a challenge


@pytest.mark.parametrize("method", ["GET", "POST"])
@ensureDeferred
async def test_a_challenge_is_told_as_not_carried_out_and_nothing_of_the_answer_passes(method):
    stand = Stand()
    stand.challenge = "The target wants another nonce."
    told = await stand.serve(Asked(method))
    told_of = json.loads(told.data)
    assert (told.head.status, dict(told.head.headers)[b"Retry-After"]) == (503, b"1")
    assert told_of["type"].endswith("credential-challenged")
    assert "another nonce" in told_of["detail"]
    assert "did not carry the call out" in told_of["retry"]
    assert b"Ada" not in told.data
    assert len(stand.sent) == 1
    assert stand.log.count("returned") == 1
    (outcome,) = stand.entries("outcome")
    assert (outcome["outcome"], outcome["denial"]) == ("failed", "credential-challenged")


# --- once more


@ensureDeferred
async def test_what_is_sent_once_more_has_fields_of_its_own():
    stand = Stand(fail={"send": UpstreamGone("dead")})
    stand.always_kept = True
    await stand.serve(Asked("GET"))
    first, second = [dict(head.headers) for head, _ in stand.sent]
    assert b"X-Once-More" not in first
    assert second[b"X-Once-More"] == stand.once_more
    tokens = ["jitgate/x-2", "jitgate/x-2.2"]  # x-1 is the session
    assert [first[b"User-Agent"], second[b"User-Agent"]] == [each.encode() for each in tokens]
    assert stand.entries("outcome")[0]["user_agent_tokens"] == tokens
    assert stand.log.count("returned") == 1


@ensureDeferred
async def test_what_was_sent_either_time_is_hidden_and_stands_nowhere():
    stand = Stand(fail={"send": UpstreamGone("dead")})
    stand.always_kept = True
    stand.answer = ResponseHead(200, ((b"X-Echo", SECRET + b" " + stand.once_more),), None)
    stand.pieces = (SECRET[:3], SECRET[3:] + stand.once_more[:5], stand.once_more[5:])

    async def answers_the_second(what):
        if len(stand.fresh_asked) == 2:
            stand.fail.clear()

    stand.pause = answers_the_second
    told = await stand.serve(Asked("GET"))
    assert told.head.status == 200
    assert len(stand.sent) == 2
    seen = repr((told.head, told.data, stand.records.entries)).encode()
    for secret in (SECRET, stand.once_more):
        assert secret not in seen
