"""Checkpoints leave the machine: each that is new, to each keeper, for as long as it takes."""

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from jitgate.errors import CheckpointNotKept
from jitgate.flow.keeping import AT_END, EVERY, LONGEST_WAIT, PATIENCE, Keeping
from jitgate.interfaces import IKeeper


@implementer(IKeeper)
class Shelf:
    """Keeps notes, unless it is told what to do instead."""

    def __init__(self, name="shelf", every=0.0):
        self.name, self.every = name, every
        self.notes = []
        self.asked = 0
        self.fault = None
        self.slow = None
        self.stopped = False

    async def keep(self, note):
        self.asked += 1
        if self.slow is not None:
            await self.slow
        if self.fault is not None:
            raise self.fault
        self.notes.append(note)

    async def stop(self):
        self.stopped = True


class Site:
    def __init__(self, *shelves):
        self.clock = Clock()
        self.signed = None
        self.shelves = shelves or (Shelf(),)
        self.handovers = []
        self.keeping = Keeping(
            lambda: self.signed, self.shelves, self.clock, lambda: self.handovers
        )
        Deferred.fromCoroutine(self.keeping.start())

    def sign(self, note):
        self.signed = note
        self.clock.advance(EVERY)


def test_what_is_signed_is_kept_once_by_each():
    site = Site(Shelf("a"), Shelf("b"))
    site.clock.advance(EVERY)
    assert [each.asked for each in site.shelves] == [0, 0]
    for note in (b"1", b"1", b"2"):
        site.sign(note)
    assert [each.notes for each in site.shelves] == [[b"1", b"2"]] * 2


def test_of_several_that_are_signed_meanwhile_the_newest_is_kept():
    site = Site()
    (shelf,) = site.shelves
    shelf.slow = slow = Deferred()
    for note in (b"1", b"2", b"3"):
        site.sign(note)
    assert shelf.asked == 1
    shelf.slow = None
    slow.callback(None)
    site.clock.advance(EVERY)
    assert shelf.notes == [b"1", b"3"]


@ensureDeferred
async def test_one_that_wants_them_seldom_is_given_the_newest_then_and_the_last_one_at_the_end():
    site = Site(Shelf(every=60.0))
    (shelf,) = site.shelves
    for number in range(100):
        site.sign(b"%d" % number)
    assert shelf.notes == [b"0", b"30", b"60", b"90"]
    site.handovers.append(b"by both")
    site.sign(b"by both")
    assert shelf.notes[-1] == b"by both"
    assert site.keeping.down() is None
    site.sign(b"last")
    await site.keeping.stop()
    assert shelf.notes[4:] == [b"by both", b"last"]


def test_what_leads_from_key_to_key_is_kept_before_what_the_next_one_signs():
    site = Site(Shelf("a"), Shelf("b"))
    late, good = site.shelves
    site.sign(b"1")
    late.fault = CheckpointNotKept("it is down")
    for number, key in enumerate((b"2", b"4")):
        site.handovers.append(b"by both " + key)
        site.sign(site.handovers[-1])
        site.sign(b"by %d" % number)
    late.fault = None
    site.clock.pump([EVERY] * int(LONGEST_WAIT / EVERY + 1))
    assert good.notes == [b"1", b"by both 2", b"by 0", b"by both 4", b"by 1"]
    assert late.notes == [b"1", b"by both 2", b"by both 4", b"by 1"]


@ensureDeferred
async def test_at_the_end_all_of_that_is_kept_if_it_does_not_take_long():
    site = Site()
    site.handovers += [b"by both 2", b"by both 4"]
    site.signed = b"by 1"
    await site.keeping.stop()
    assert site.shelves[0].notes == [b"by both 2", b"by both 4", b"by 1"]


@pytest.mark.parametrize("fault", [CheckpointNotKept("it is down"), ValueError("a fault")])
def test_one_that_fails_is_tried_less_and_less_often_and_keeps_none_of_the_others_waiting(fault):
    broken, good = Shelf("broken"), Shelf("good")
    site = Site(broken, good)
    broken.fault = fault
    site.sign(b"1")
    asked = []
    for _ in range(int(4 * LONGEST_WAIT / EVERY)):
        site.clock.advance(EVERY)
        asked.append(broken.asked)
    assert good.notes == [b"1"]
    assert 5 < asked[-1] < 15
    broken.fault = None
    site.clock.pump([EVERY] * int(LONGEST_WAIT / EVERY + 1))
    assert broken.notes == [b"1"]


def test_health_says_so_after_a_while_and_why():
    site = Site()
    (shelf,) = site.shelves
    shelf.fault = CheckpointNotKept("it is down")
    site.sign(b"1")
    site.clock.pump([EVERY] * int(PATIENCE / EVERY - 1))
    assert site.keeping.down() is None
    site.clock.pump([EVERY] * 3)
    assert site.keeping.down() == "shelf has kept no checkpoint for 10 min: it is down"
    shelf.fault = None
    site.clock.pump([EVERY] * int(LONGEST_WAIT / EVERY + 1))
    assert site.keeping.down() is None


@ensureDeferred
async def test_the_last_one_is_kept_at_the_end():
    site = Site()
    site.sign(b"1")
    site.signed = b"2"
    await site.keeping.stop()
    (shelf,) = site.shelves
    assert shelf.notes == [b"1", b"2"]
    assert shelf.stopped
    assert not site.clock.getDelayedCalls()


@ensureDeferred
async def test_the_end_waits_so_long_and_no_longer():
    site = Site()
    (shelf,) = site.shelves
    shelf.slow = Deferred()
    site.sign(b"1")
    stopping = Deferred.fromCoroutine(site.keeping.stop())
    assert not stopping.called
    site.clock.advance(AT_END)
    await stopping
    assert shelf.stopped
    shelf.slow.callback(None)
