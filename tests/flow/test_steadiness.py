"""What a clock that is set does, and one that is only corrected."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.task import Clock

from jitgate.errors import RecorderDown
from jitgate.flow.recorder import PROBE, Recorder
from jitgate.flow.steadiness import STEP, Steadiness
from jitgate.stores.memory import MemoryRecords
from jitgate.values import Entry


class Machine:
    """Its time of day, and the seconds that have passed."""

    def __init__(self):
        self.clock, self.passed = Clock(), 0.0
        self.clock.advance(1_800_000_000.0)
        self.steadiness = Steadiness(self.clock, lambda: self.passed)

    def goes_on(self, seconds):
        self.passed += seconds
        self.clock.advance(seconds)

    def is_set(self, seconds):
        self.clock.rightNow += seconds


async def at_once(work, *args):
    return work(*args)


@pytest.mark.parametrize(("by", "way"), [(-3600.0, "back"), (3600.0, "ahead")])
def test_a_clock_that_is_set_stops_what_comes_until_it_is_right_again(by, way):
    machine = Machine()
    machine.goes_on(86400.0)
    assert machine.steadiness.down() is None
    machine.is_set(by)
    said = f"The machine's clock was set {way} by 3600 s."
    assert machine.steadiness.down() == said
    machine.goes_on(30.0)
    assert machine.steadiness.down() == said
    machine.is_set(-by + 1.0)
    assert machine.steadiness.down() is None


def test_a_clock_that_is_corrected_is_followed_however_far_it_goes_in_all():
    machine = Machine()
    for by in (STEP, -STEP, 59.0, 59.0, 59.0):
        machine.is_set(by)
        assert machine.steadiness.down() is None
    machine.is_set(STEP + 1.0)
    assert machine.steadiness.down() is not None


async def started(machine):
    recorder = Recorder(
        MemoryRecords(),
        clock=machine.clock,
        in_thread=at_once,
        unsteady=machine.steadiness.down,
    )
    await recorder.start()
    return recorder


@ensureDeferred
async def test_while_it_cannot_be_believed_nothing_is_recorded_and_so_nothing_passes():
    machine, faults = Machine(), []
    recorder = await started(machine)
    machine.is_set(-3600.0)
    recorder.append(Entry("decision", 0.0, {})).addErrback(lambda fault: faults.append(fault.value))
    assert isinstance(faults[0], RecorderDown)
    assert recorder.down == f"{faults[0]}" == "The machine's clock was set back by 3600 s."


@ensureDeferred
async def test_it_is_looked_at_while_nobody_calls():
    machine = Machine()
    recorder = await started(machine)
    for _ in range(3):
        machine.is_set(59.0)
        machine.goes_on(PROBE)
    assert recorder.down is None
