"""The one way into the recording: nothing counts before it is durable, nothing is ever forgotten."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from jitgate.errors import RecorderDown
from jitgate.flow.recorder import CHECKPOINT, PROBE, QUEUE, STUCK, Kept, Recorder, durable
from jitgate.stores.memory import MemoryRecords
from jitgate.values import Entry


class Desk:
    """A recorder over memory whose every blocking call waits until the test lets it go."""

    def __init__(self):
        self.clock = Clock()
        self.records = MemoryRecords()
        self.held_up = None
        self.recorder = Recorder(
            self.records,
            clock=self.clock,
            in_thread=self._in_thread,
            held_up=lambda: self.held_up,
        )
        self.held = []
        self.slow = False
        self.calls = []

    async def _in_thread(self, work, *args):
        self.calls.append(work.__name__)
        if self.slow:
            gate = Deferred()
            self.held.append(gate)
            await gate
        return work(*args)

    def let_go(self):
        self.held.pop(0).callback(None)

    def append(self, name):
        """What becomes of an entry: a list that holds "durable" or the fault once it is known."""
        fate = []
        noted = self.recorder.append(Entry(name, 0.0, {}))
        noted.addCallbacks(lambda _: fate.append("durable"), lambda f: fate.append(f.value))
        return fate

    @property
    def kept(self):
        return [entry.type for entry in self.records.entries]


async def started(**how):
    desk = Desk(**how)
    await desk.recorder.start()
    return desk


def test_before_it_is_started_everything_is_refused():
    desk = Desk()
    (fault,) = desk.append("a")
    assert isinstance(fault, RecorderDown)
    assert desk.recorder.down


@ensureDeferred
async def test_an_entry_is_durable_only_when_the_store_has_returned():
    desk = await started()
    desk.slow = True
    fate = desk.append("a")
    assert fate == []
    desk.let_go()
    assert fate == ["durable"]
    desk.slow = False
    await desk.recorder.stop()


@ensureDeferred
async def test_what_comes_while_one_batch_is_written_is_the_next_batch_in_order():
    desk = await started()
    desk.slow = True
    fates = [desk.append(name) for name in "abcd"]
    assert len(desk.held) == 1
    desk.let_go()
    assert fates == [["durable"], [], [], []]
    desk.let_go()
    assert fates == [["durable"]] * 4
    assert desk.kept == list("abcd")
    desk.slow = False
    await desk.recorder.stop()


@ensureDeferred
async def test_a_store_that_never_returns_lets_only_so_many_wait():
    desk = await started()
    desk.slow = True
    desk.append("first")
    fates = [desk.append("more") for _ in range(QUEUE + 1)]
    assert [len(fate) for fate in fates[:QUEUE]] == [0] * QUEUE
    assert isinstance(fates[QUEUE][0], RecorderDown)
    desk.slow = False
    desk.let_go()
    await desk.recorder.stop()


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), RuntimeError("bug")])
@ensureDeferred
async def test_a_failed_write_fails_all_who_wait_and_refuses_all_who_come(fault):
    desk = await started()
    desk.slow = True
    fates = [desk.append(name) for name in "ab"]
    desk.records.failure = fault
    desk.let_go()
    assert [type(fate[0]) for fate in fates] == [RecorderDown, RecorderDown]
    desk.slow = False
    assert isinstance(desk.append("c")[0], RecorderDown)
    assert desk.kept == []
    await desk.recorder.stop()


@ensureDeferred
async def test_it_tries_again_twice_a_second_and_goes_on_when_it_can():
    desk = await started()
    desk.records.failure = OSError(28, "No space left on device")
    desk.append("a")
    assert desk.recorder.down
    desk.clock.advance(PROBE)
    assert desk.recorder.down
    desk.records.failure = None
    desk.clock.advance(PROBE)
    assert desk.recorder.down is None
    assert desk.append("b") == ["durable"]
    assert desk.kept == ["b"]
    await desk.recorder.stop()


@ensureDeferred
async def test_a_failing_checkpoint_stops_what_comes_as_well():
    desk = await started()
    desk.records.failure = OSError(5, "Input/output error")
    desk.clock.advance(CHECKPOINT)
    assert desk.recorder.down
    desk.records.failure = None
    await desk.recorder.stop()


@ensureDeferred
async def test_why_it_is_down_names_no_path_and_nothing_that_was_to_be_written():
    """Agents are told why; where the gateway keeps its evidence is none of their business."""
    desk = await started()
    desk.records.failure = OSError(2, "No such file or directory", "/var/lib/jitgate/site.jsonl")
    desk.append("a")
    assert "no such file or directory" in desk.recorder.down.lower()
    assert "/var/lib" not in desk.recorder.down
    desk.records.failure = ValueError("hunter2")
    desk.clock.advance(PROBE)
    assert "hunter2" not in desk.recorder.down
    await desk.recorder.stop()


@ensureDeferred
async def test_a_checkpoint_is_signed_every_minute():
    desk = await started()
    desk.append("a")
    before = desk.calls.count("checkpoint")
    for _ in range(120):
        desk.clock.advance(PROBE)
    assert desk.calls.count("checkpoint") == before + 1
    await desk.recorder.stop()


@ensureDeferred
async def test_what_comes_during_a_checkpoint_is_written_right_behind_it():
    desk = await started()
    desk.slow = True
    desk.clock.advance(CHECKPOINT)
    fate = desk.append("a")
    assert fate == []
    desk.let_go()  # the checkpoint
    assert desk.held, "the entry waits for the next tick of the clock"
    desk.let_go()
    assert fate == ["durable"]
    desk.slow = False
    await desk.recorder.stop()


# --- stopping


@ensureDeferred
async def test_stopping_writes_what_is_queued_and_then_closes():
    desk = await started()
    desk.slow = True
    fates = [desk.append(name) for name in "abc"]
    stopping = Deferred.fromCoroutine(desk.recorder.stop())
    assert isinstance(desk.append("late")[0], RecorderDown)
    desk.slow = False
    desk.let_go()
    await stopping
    assert fates == [["durable"]] * 3
    assert desk.kept == list("abc")
    assert desk.calls[-1] == "close"


@ensureDeferred
async def test_stopping_during_a_checkpoint_loses_nothing_that_came_meanwhile():
    """Its exchange would hang for ever, and its entry would never have been."""
    desk = await started()
    desk.slow = True
    desk.clock.advance(CHECKPOINT)
    fate = desk.append("a")
    desk.slow = False
    stopping = Deferred.fromCoroutine(desk.recorder.stop())
    desk.let_go()
    await stopping
    assert fate == ["durable"]
    assert desk.kept == ["a"]


@ensureDeferred
async def test_stopping_while_down_does_not_close_what_cannot_be_written():
    desk = await started()
    desk.records.failure = OSError(5, "Input/output error")
    desk.append("a")
    await desk.recorder.stop()
    assert "close" not in desk.calls


@ensureDeferred
async def test_stopping_twice_closes_once():
    desk = await started()
    await desk.recorder.stop()
    await desk.recorder.stop()
    assert desk.calls.count("close") == 1
    assert desk.clock.getDelayedCalls() == []


@ensureDeferred
async def test_a_store_that_cannot_be_opened_is_never_written_to():
    desk = Desk()
    desk.records.failure = OSError(13, "Permission denied")
    with pytest.raises(OSError, match="Permission denied"):
        await desk.recorder.start()
    assert isinstance(desk.append("a")[0], RecorderDown)
    await desk.recorder.stop()
    assert desk.calls == ["open"]


@pytest.mark.parametrize("lost", [(0,), (1,), (0, 1)])
@ensureDeferred
async def test_whoever_waits_for_entries_hears_of_each_that_is_lost(lost):
    entries = [Kept(), Kept()]
    waiting = Deferred.fromCoroutine(durable(entries))
    for number, entry in enumerate(entries):
        assert not waiting.called
        if number in lost:
            entry.lose(RecorderDown(f"{number}"))
        else:
            entry.callback(None)
    with pytest.raises(RecorderDown, match=f"{lost[0]}"):
        await waiting


@ensureDeferred
async def test_whoever_is_cancelled_waits_for_the_entries_all_the_same():
    entry = Kept()
    over = []
    waiting = Deferred.fromCoroutine(durable([entry])).addCallback(over.append)
    waiting.cancel()
    assert over == []
    entry.callback(None)
    assert over == [None]


def test_whoever_waits_for_an_entry_without_durable_may_give_up():
    """A grant that is revoked in flight ends its exchange, whatever is being written."""
    entry = Kept()
    over = []
    entry.addErrback(over.append)
    entry.cancel()
    assert over[0].check(CancelledError)
    entry.callback(None)  # it is written all the same, and nobody minds


@ensureDeferred
async def test_while_it_is_held_up_nothing_new_begins_and_what_has_begun_is_recorded():
    desk = await started()
    desk.held_up = "Too much waits."
    assert desk.recorder.down == "Too much waits."
    assert desk.append("outcome") == ["durable"]
    desk.held_up = None
    assert desk.recorder.down is None
    await desk.recorder.stop()


async def stuck(*names):
    """A recorder whose store hangs in one call, with as many entries, and one that came later."""
    desk = await started()
    desk.slow = True
    fates = [desk.append(name) for name in names]
    fates.append(desk.append("later"))
    desk.clock.pump([PROBE] * int(STUCK / PROBE - 1))
    assert fates == [[]] * len(fates)
    assert desk.recorder.down is None
    desk.clock.advance(PROBE)
    return desk, fates


@ensureDeferred
async def test_a_store_that_does_not_answer_is_down_and_nobody_waits_for_it():
    desk, fates = await stuck("a")
    assert all(isinstance(fault, RecorderDown) for (fault,) in fates)
    assert "does not answer" in desk.recorder.down
    (fault,) = desk.append("new")
    assert isinstance(fault, RecorderDown)
    desk.clock.pump([PROBE] * 100)
    assert desk.calls == ["open", "append"]  # the thread that hangs is asked for nothing more
    desk.slow = False
    desk.let_go()
    assert desk.recorder.down is None
    assert desk.kept == ["a"]  # it was asked for; nothing that follows from it was done
    assert [len(fate) for fate in fates] == [1, 1]
    assert desk.append("b") == ["durable"]
    assert desk.kept == ["a", "b"]
    await desk.recorder.stop()


@ensureDeferred
async def test_one_that_fails_after_all_is_tried_as_any_other():
    desk, fates = await stuck("a")
    desk.slow = False
    desk.held.pop(0).errback(OSError(5, "Input/output error"))
    assert "input/output error" in desk.recorder.down
    assert [len(fate) for fate in fates] == [1, 1]
    desk.clock.advance(PROBE)
    assert desk.recorder.down is None
    assert desk.append("b") == ["durable"]
    await desk.recorder.stop()


@ensureDeferred
async def test_a_checkpoint_that_does_not_end_is_no_less_than_an_entry():
    desk = await started()
    desk.clock.advance(CHECKPOINT - 1)
    desk.slow = True
    desk.clock.pump([PROBE] * 4)
    assert desk.calls[-1] == "checkpoint"
    desk.clock.pump([PROBE] * int(STUCK / PROBE))
    assert "does not answer" in desk.recorder.down
    desk.slow = False
    desk.let_go()
    assert desk.recorder.down is None
    await desk.recorder.stop()


@pytest.mark.parametrize("heard_before", [True, False])
@ensureDeferred
async def test_whoever_has_heard_that_an_entry_is_lost_hears_it_again(heard_before):
    """A call that fails because its decision was not recorded waits for that once more."""
    entry, later = Kept(), Kept()
    heard = []

    async def waits():
        try:
            await (entry if heard_before else later)
        except RecorderDown:
            with pytest.raises(RecorderDown, match="full"):
                await durable([entry, later])
            heard.append(True)

    waiting = Deferred.fromCoroutine(waits())
    for each in (entry, later) if heard_before else (later, entry):
        each.lose("It is full.")
    await waiting
    assert heard
    with pytest.raises(RecorderDown, match="full"):
        await durable([entry])


@ensureDeferred
async def test_what_is_lost_stays_so_for_whoever_asks_again_at_once_or_later():
    """Who is refused for it puts that on record as well, and waits for both."""
    desk = await started()
    desk.slow, desk.records.failure = True, OSError("full")
    entry, told = desk.recorder.append(Entry("decision", 0.0, {})), []
    later = Deferred()

    async def refused():
        try:
            await entry
        except RecorderDown:
            told.append("first")
        with pytest.raises(RecorderDown):
            await durable([entry, desk.recorder.append(Entry("outcome", 0.0, {}))])
        await later
        with pytest.raises(RecorderDown):
            await durable([entry])
        told.append("later")

    waiting = Deferred.fromCoroutine(refused())
    desk.let_go()
    assert told == ["first"]
    later.callback(None)
    await waiting
    assert told == ["first", "later"]
