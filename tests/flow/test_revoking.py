"""What was revoked or used up is believed no more, whatever is down meanwhile."""

from __future__ import annotations

import json

import pytest
from pytest_twisted import ensureDeferred
from support.ports import JSON, Asked, Stand, agent, review

from jitgate.app.taken_up import TakenUp
from jitgate.errors import StoreDown
from jitgate.flow.revoking import ANSWERED, HORIZON, Revocations
from jitgate.stores.access_memory import MemoryAccess
from jitgate.stores.memory import MemoryEvidence
from jitgate.values import Binding, Effect, Verdict

PERMIT = Verdict(Effect.PERMIT, "They may.")
ONCE = Binding("t-1", once=True)


async def at_once(work, *args):
    return work(*args)


def denial(told):
    return json.loads(told.data)["type"].rpartition("/")[2]


async def standing(verdict=PERMIT):
    stand = Stand(verdict=verdict)
    await stand.start()
    return stand


async def asked(stand, subject, request=None):
    told, serving = stand.asked(request or Asked(), subject)
    await serving
    return told


@ensureDeferred
async def test_a_token_for_one_call_carries_none_while_nobody_knows_whether_it_was_used():
    stand = await standing()
    stand.once.failure = OSError("No space left on device")
    told = await asked(stand, agent(binding=ONCE))
    assert (denial(told), stand.sent) == ("store-down", [])
    stand.once.failure = None
    assert (await asked(stand, agent(binding=ONCE))).head.status == 200
    assert (await asked(stand, agent(binding=ONCE))).head.status == 401
    assert len(stand.sent) == 1


@ensureDeferred
async def test_nothing_passes_until_it_is_known_what_was_revoked():
    stand = await standing()
    stand.gateway._revocations = Revocations(stand.once, stand.access, stand.recorder, stand.clock)
    assert denial(await asked(stand, agent())) == "store-down"
    await stand.gateway._revocations.recover()
    assert (await asked(stand, agent())).head.status == 200


@ensureDeferred
async def test_after_a_restored_state_no_token_counts_that_was_made_before_and_that_stays_so():
    stand = await standing()
    stand.clock.advance(10.5)
    await stand.revocations.forgot()
    younger = agent(issued_at=10.0)  # of the same second: nothing ran before
    for revocations in (
        stand.revocations,
        Revocations(stand.once, stand.access, stand.recorder, stand.clock),  # after a restart
    ):
        await revocations.recover()
        stand.gateway._revocations = revocations
        for issued_at in (0.0, 9.0):
            told = await asked(stand, agent(id=f"bot-{issued_at}", issued_at=issued_at))
            assert (told.head.status, denial(told)) == (401, "token-refused")
            assert b"restored from a copy" in told.data
        assert stand.sent == []
        assert (await asked(stand, younger)).head.status == 200
        stand.sent.clear()


@ensureDeferred
async def test_what_the_record_knows_as_revoked_and_the_store_does_not_is_told_while_it_counts():
    stand = await standing()
    stand.clock.advance(HORIZON)
    await stand.revocations.revoke_subject("bot-7", "root", "")
    recorded = stand.entries("subject.revoked")[0]
    kept = recorded["name"], recorded["at"]
    assert kept == ("bot-7", HORIZON)
    after = Revocations(stand.once, stand.access, stand.recorder, stand.clock)
    await after.recover()
    later, over = ("bot-7", HORIZON + 1), ("bot-9", 0.0)
    assert after.lacks([kept]) == []
    assert after.lacks([kept, later, over, ("bot-8", 1.0)]) == [later, ("bot-8", 1.0)]


def starting(stand):
    """Starts a run on what is kept, with the recording of the runs before."""
    evidence = MemoryEvidence(stand.records)

    async def started(run):
        evidence.begin(run)
        stand.build()
        parts = stand.ledger, stand.access, stand.decider, stand.revocations, evidence
        await TakenUp(*parts, run=run, in_thread=at_once).start()

    return started


@ensureDeferred
async def test_a_start_on_a_store_that_an_earlier_run_left_believes_nobody():
    stand = await standing()
    started = starting(stand)
    await started("run-1")
    older = MemoryAccess()
    await older.open()
    await older.mark("run-1", 0)
    stand.clock.advance(60)
    for run in ("run-2", "run-3"):
        await started(run)
        assert (await asked(stand, agent(issued_at=59.0))).head.status == 200
    stand.store = older
    await started("run-4")
    told = await asked(stand, agent(issued_at=59.0))
    assert (told.head.status, denial(told)) == (401, "token-refused")
    assert (await asked(stand, agent(issued_at=60.0))).head.status == 200


@ensureDeferred
async def test_a_start_that_finds_somebody_revoked_whom_the_store_has_forgotten_believes_nobody():
    stand = await standing()
    started = starting(stand)
    await started("run-1")
    stand.clock.advance(60)
    await stand.revocations.revoke_subject("bot-7", "root", "")
    await started("run-2")  # with another place for what was taken once: an older one
    for name, issued_at in (("bot-7", 59.0), ("bot-8", 59.0), ("bot-7", 75.0)):
        told = await asked(stand, agent(id=name, issued_at=issued_at))
        assert (told.head.status, denial(told)) == (401, "token-refused")
    assert (await asked(stand, agent(id="bot-8", issued_at=60.0))).head.status == 200


@pytest.mark.parametrize("down", ["store", "recorder"])
@ensureDeferred
async def test_a_revocation_holds_though_it_could_not_be_kept(down):
    stand = await standing(review())
    held, serving = stand.asked(Asked("POST", "/things/7", b"{}", JSON))
    if down == "store":
        stand.once.failure = OSError("No space left on device")
    else:
        stand.recorder._failed = "The recorder cannot write."
    with pytest.raises(Exception, match=r"not known|cannot write"):
        await stand.revocations.revoke_subject("bot-7", "root", "")
    stand.recorder._failed = None
    assert serving.called  # else it waits for ever
    await serving
    assert held.head.status == (403 if down == "store" else 502)  # there is no record of it then
    assert stand.sent == []
    assert await stand.access.requests() == []
    assert (await asked(stand, agent())).head.status == 401


@ensureDeferred
async def test_of_two_calls_that_come_as_far_as_taking_a_token_one_goes():
    stand = await standing()
    binding = Binding("t-1", once=True)
    first, second = [await stand.revocations.take(binding, 2_000_000_000.0) for _ in range(2)]
    assert first is None
    assert second is not None
    assert "has carried one" in second.detail


@ensureDeferred
async def test_what_is_taken_back_ends_once_whoever_did_has_been_told():
    stand, ended = await standing(), []
    stand.revocations.ends["tunnels"] = lambda why, whose: ended.append(
        whose(agent(binding=Binding("t-1")))
    )
    await stand.revocations.revoke_token("t-1", agent())
    assert ended == []
    stand.clock.advance(ANSWERED)
    assert ended == [True]


@ensureDeferred
async def test_a_store_that_fails_is_a_fault_at_the_start():
    stand = await standing()
    stand.once.failure = OSError("unreadable")
    with pytest.raises(StoreDown):
        await stand.revocations.recover()


@ensureDeferred
async def test_nobody_is_asked_for_what_was_cut_short():
    stand = await standing(review())
    stand.slow_disk = True
    told, serving = stand.asked(Asked("POST", "/things/7", b"{}", JSON))
    assert stand.waiting  # its decision is being put on record
    stand.gateway.cut("bot-7 was revoked.", lambda subject: subject.id == "bot-7")
    while not serving.called:
        stand.waiting.pop(0).callback(None)
    assert (denial(told), stand.sent) == ("cut-short", [])
    assert await stand.access.requests() == []
