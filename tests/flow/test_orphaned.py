"""Workers of one gateway, in its store: what one that died leaves, and what must end in all."""

import json

import pytest
from pytest_twisted import ensureDeferred
from support.ports import JSON, Asked, Stand, review
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from jitgate.core.recovery import Recovery
from jitgate.errors import RecorderDown, StoreDown
from jitgate.flow.recorder import Recorder
from jitgate.stores.access_memory import MemoryAccess
from jitgate.stores.memory import MemoryRecords
from jitgate.values import Entry, GrantState, Presence


def post(path="/things/7"):
    return Asked("POST", path, b"{}", JSON)


def denial(told):
    return json.loads(told.data)["type"].rpartition("/")[2]


def gateway(**more):
    """The control process and two workers, over one store."""
    shared = {"store": MemoryAccess(), "clock": Clock(), "ids": {"x": 0, "a": 0, "g": 0, "t": 0}}
    return [Stand(verdict=review(), called=name, **shared, **more) for name in ("", "/1", "/2")]


async def under_way(control, worker):
    """A call that a worker has sent, and that has no answer yet."""
    worker.answer_when = Deferred()
    _, serving = worker.asked(post())
    await control.says()
    await worker.access.pending.heard("a-1")
    assert not serving.called
    return serving


@ensureDeferred
async def test_what_a_worker_carried_out_that_died_is_unknown():
    control, worker, other = gateway()
    await under_way(control, worker)
    other.answer_when = Deferred()
    await control.access.orphaned("/2")
    assert (await control.store.use("x-1")).state is GrantState.IN_USE
    await control.access.orphaned("/1")
    assert (await control.store.use("x-1")).state is GrantState.UNKNOWN
    (settled,) = control.entries("grant.settled")
    assert (settled["use"], settled["state"]) == ("x-1", "unknown")


@ensureDeferred
async def test_whoever_waited_at_it_is_away_and_people_see_the_request_all_the_same():
    control, worker, other = gateway()
    worker.asked(post())
    other.asked(post("/things/8"))
    await control.access.orphaned("/1")
    assert (await control.store.request("a-1")).presence is Presence.DETACHED
    assert (await control.store.request("a-2")).presence is Presence.ATTACHED
    assert [each.id for each in control.channel.told] == ["a-1"]


@ensureDeferred
async def test_a_start_settles_what_workers_of_before_had_in_use_and_nobody_elses():
    control, worker, _ = gateway()
    stranger = Stand(
        verdict=review(),
        called="another",
        store=control.store,
        clock=control.clock,
        ids=control.ids,
    )
    await under_way(control, worker)
    stranger.asked(post("/things/8"))
    found = Recovery(revision=9, distrust=None, spent={}, answered=frozenset())
    await control.access.recover(found)
    assert (await control.store.use("x-1")).state is GrantState.UNKNOWN
    assert control.ledger.is_ours("/1")
    named = Stand(called="site", store=control.store).ledger
    assert [named.is_ours(name) for name in ("site", "site/1", "site2", "another", "")] == [
        True,
        True,
        False,
        False,
        False,
    ]


class Elsewhere:
    def __init__(self):
        self.cuts = []

    def may_go_on(self, key):
        return key == "g-1"

    def cut(self, key):
        self.cuts.append(key)


@pytest.mark.parametrize("down", [False, True])
@ensureDeferred
async def test_what_is_revoked_ends_elsewhere_too_though_the_store_is_down(down):
    control, worker, _ = gateway()
    control.grants.elsewhere = elsewhere = Elsewhere()
    await under_way(control, worker)
    assert control.access.goes_on("g-1")
    assert not control.access.goes_on("g-2")
    if down:
        control.store.failure = OSError("No space left on device")
        with pytest.raises(StoreDown):
            await control.access.revoke("g-1", "bob@acme.com", "Stop!")
    else:
        await control.access.revoke("g-1", "bob@acme.com", "Stop!")
    assert elsewhere.cuts == ["g-1"]


@ensureDeferred
async def test_what_is_cut_ends_and_its_agent_is_told():
    control, worker, _ = gateway()
    worker.answer_when = Deferred()
    told, serving = worker.asked(post())
    await control.says()
    await worker.access.pending.heard("a-1")
    worker.grants.cut("g-1")
    await serving
    assert denial(told) == "grant-revoked"


# --- who signs for what is recorded


@ensureDeferred
async def test_what_nobody_signs_for_is_not_recorded():
    why, records = [None], MemoryRecords()

    async def at_once(work, *args):
        return work(*args)

    recorder = Recorder(records, clock=Clock(), in_thread=at_once, unwitnessed=lambda: why[0])
    await recorder.start()
    await recorder.append(Entry("one", 0.0, {}))
    why[0] = "The control process is gone."
    assert recorder.down == why[0]
    with pytest.raises(RecorderDown, match="gone"):
        await recorder.append(Entry("two", 0.0, {}))
    why[0] = None
    await recorder.append(Entry("three", 0.0, {}))
    assert [each.type for each in records.entries] == ["one", "three"]
    await recorder.stop()
