"""What is used by several parts ends after them, within the time of the slowest."""

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from jitgate.service import Ended


class Slow:
    """Takes so many seconds to end, and may fail then."""

    def __init__(self, clock, seconds, fault=None):
        self.clock, self.seconds, self.fault = clock, seconds, fault
        self.ended = False

    async def stop(self):
        waited = Deferred()
        self.clock.callLater(self.seconds, waited.callback, None)
        await waited
        self.ended = True
        if self.fault is not None:
            raise self.fault


@pytest.mark.parametrize("many", [0, 1, 20])
def test_all_that_is_used_ends_at_once(many):
    clock = Clock()
    used = [Slow(clock, 5.0) for _ in range(many)]
    stopping = Deferred.fromCoroutine(Ended(used).stop())
    assert stopping.called is (many == 0)
    clock.advance(5.0)
    assert stopping.called
    assert all(each.ended for each in used)


@ensureDeferred
async def test_one_that_fails_keeps_no_other_from_ending_and_is_told(nothing_unnoticed):
    clock = Clock()
    used = [Slow(clock, 1.0, KeyError("down")), Slow(clock, 2.0)]
    stopping = Deferred.fromCoroutine(Ended(used).stop())
    clock.pump([1.0, 1.0])
    await stopping
    assert [each.ended for each in used] == [True, True]
    assert len(nothing_unnoticed) == 1
    nothing_unnoticed.clear()
