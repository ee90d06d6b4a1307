"""What is sealed goes into the archive, one file after the other, and its receipt on record."""

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from jitgate.errors import ArchiveDown, ArchiveUnlocked
from jitgate.flow.archiving import (
    AT_END,
    AT_START,
    EVERY,
    LONGEST_WAIT,
    PATIENCE,
    Archiving,
    Sealed,
)
from jitgate.interfaces import IArchive
from jitgate.values import Archived

DAY = 86400.0


@implementer(IArchive)
class Vault:
    name = "vault"
    place = "vault://b"

    def __init__(self):
        self.put_away = []
        self.tries = 0
        self.checks = 0
        self.fault = self.unlocked = None
        self.bad = set()

    def check(self):
        self.checks += 1
        if self.unlocked is not None:
            raise self.unlocked

    def put(self, path, key, until):
        self.tries += 1
        if self.fault is not None:
            raise self.fault
        if key in self.bad:
            raise ArchiveDown(f"{key} cannot be read")
        self.put_away.append((path, key, until))
        return Archived("vault", self.place, "b", key, f"v{self.tries}", "00", 1, until)

    def has(self, kept):
        return True

    def goes(self):
        self.fault = self.unlocked = ArchiveDown("it is down")

    def comes(self):
        self.fault = self.unlocked = None


class Site:
    def __init__(self):
        self.clock = Clock()
        self.clock.advance(100.5)
        self.vault = Vault()
        self.files = {}
        self.noted = {}
        self.slow = None
        self.asked = 0
        self.whole = []
        self.archiving = Archiving(
            self.vault,
            sealed=lambda: [
                Sealed(f"/r/{key}", key, 1000) for key in self.files if key not in self.noted
            ],
            note=self.note,
            whole=lambda: self.whole,
            retention=30 * DAY,
            backlog=3500,
            clock=self.clock,
            in_thread=self.in_thread,
        )

    async def note(self, kept, key):
        self.noted[key] = kept

    async def in_thread(self, work, *args):
        if work in (self.vault.put, self.vault.check):
            self.asked += 1
        if self.slow is not None and args:
            await self.slow
        return work(*args)

    def start(self, *files):
        self.files = dict.fromkeys(files)
        Deferred.fromCoroutine(self.archiving.start())


def test_each_file_is_put_away_once_and_that_is_on_record_with_its_version():
    site = Site()
    site.start("a", "b")
    site.clock.advance(EVERY)
    assert [key for _, key, _ in site.vault.put_away] == ["a", "b"]
    assert [kept.version for kept in site.noted.values()] == ["v1", "v2"]
    site.files["c"] = None
    site.clock.advance(EVERY)
    assert [key for _, key, _ in site.vault.put_away] == ["a", "b", "c"]


def test_a_file_that_is_tried_again_on_that_day_is_locked_until_the_same_end_of_a_day():
    site = Site()
    site.vault.fault = ArchiveDown("it is down")
    site.start("a")
    site.vault.fault = None
    site.clock.advance(LONGEST_WAIT)
    ((_, _, until),) = site.vault.put_away
    assert until == 31 * DAY


@pytest.mark.parametrize("fault", [ArchiveDown("it is down"), ValueError("a fault")])
def test_an_outage_is_waited_out_and_all_of_it_resumed(fault):
    site = Site()
    site.start()
    site.vault.fault = site.vault.unlocked = fault
    site.files = dict.fromkeys(("a", "b"))
    for _ in range(100):
        site.clock.advance(LONGEST_WAIT / 10)
    assert 5 < site.vault.tries < 20
    assert "Not archived for" in site.archiving.down()
    site.vault.comes()
    site.clock.advance(LONGEST_WAIT)
    assert sorted(site.noted) == ["a", "b"]
    assert site.archiving.down() is None


@ensureDeferred
async def test_what_does_not_lock_is_no_archive_and_stops_the_start():
    site = Site()
    site.vault.unlocked = ArchiveUnlocked("it locks nothing")
    with pytest.raises(ArchiveUnlocked):
        await site.archiving.start()


@ensureDeferred
async def test_one_that_is_down_at_the_start_is_asked_later():
    site = Site()
    site.files = {"a": None}
    site.vault.unlocked = ArchiveDown("it is down")
    await site.archiving.start()
    assert list(site.noted) == ["a"]


def test_one_that_hangs_holds_the_start_up_for_no_longer_than_is_said():
    site = Site()
    hanging, call = Deferred(), site.in_thread

    async def hangs(work, *args):
        if work == site.vault.check:
            await hanging
        return await call(work, *args)

    site.archiving._in_thread = hangs
    starting = Deferred.fromCoroutine(site.archiving.start())
    assert not starting.called
    site.clock.advance(AT_START)
    assert starting.called


def test_health_says_so_after_a_while_and_not_before():
    site = Site()
    site.vault.fault = ArchiveDown("it is down")
    site.start("a")
    site.clock.pump([60.0] * int(PATIENCE / 60))
    assert site.archiving.down() is None
    site.clock.pump([60.0] * 2)
    assert site.archiving.down() == "Not archived for 62 min (1 file, 1000 bytes): it is down"


def test_a_file_that_cannot_be_put_there_holds_up_no_other():
    """One of the first, and as many more as come: what has not failed yet is before them."""
    site = Site()
    site.vault.bad = {"a", "b", "e"}
    site.start("a", "b", "c", "d")
    assert list(site.noted) == ["c", "d"]
    site.files |= dict.fromkeys(("e", "f"))
    site.clock.pump([EVERY] * 40)
    assert list(site.noted) == ["c", "d", "f"]
    assert site.vault.tries < 3 + 3 * 8
    site.clock.advance(PATIENCE)
    assert "3 files, 2.9 KiB): " in site.archiving.down()
    site.vault.bad = {"b"}
    site.files.pop("b")
    site.clock.pump([EVERY] * 40)
    assert list(site.noted)[3:] == ["a", "e"]
    assert site.archiving.down() is None


def test_it_keeps_files_again_only_once_it_has_kept_one_or_been_asked():
    """With nothing to keep nothing fails, which says nothing of the archive."""
    site = Site()
    site.vault.goes()
    site.start()
    site.clock.pump([60.0] * 62)
    assert "it is down" in site.archiving.down()
    site.vault.comes()
    site.clock.advance(LONGEST_WAIT)
    assert site.archiving.down() is None
    site.vault.goes()
    site.clock.pump([60.0] * 63)
    assert "it is down" in site.archiving.down()


@ensureDeferred
async def test_one_that_hangs_is_said_to_after_a_while():
    site = Site()
    site.slow = slow = Deferred()
    site.start("a")
    site.clock.advance(PATIENCE + 1)
    assert "does not answer" in site.archiving.down()
    slow.callback(None)
    assert site.archiving.down() is None


def test_nothing_new_begins_while_more_waits_than_may():
    site = Site()
    site.vault.goes()
    site.start("a", "b", "c")
    assert site.archiving.full is None
    site.files["d"] = None
    site.clock.pump([EVERY] * 4)
    assert site.archiving.full == "Too much waits for the archive: 4 files, 3.9 KiB."
    assert site.archiving.down() == site.archiving.full
    site.vault.comes()
    site.clock.advance(LONGEST_WAIT)
    assert site.archiving.full is None


def test_a_checkpoint_that_is_whole_goes_there_behind_all_that_it_covers():
    site = Site()
    site.whole = [Sealed("/r/m", "checkpoints/m.note", 9), Sealed("/r/n", "checkpoints/n.note", 9)]
    site.vault.bad = {"a"}
    site.start("a", "b")
    site.clock.advance(EVERY)
    assert [key for _, key, _ in site.vault.put_away] == ["b"]
    site.vault.bad = set()
    site.clock.pump([EVERY] * 40)
    notes = ["checkpoints/m.note", "checkpoints/n.note"]
    assert [key for _, key, _ in site.vault.put_away] == ["b", "a", *notes]
    assert list(site.noted) == ["b", "a"]  # it would make the next one necessary, for ever


def test_of_checkpoints_that_are_there_only_the_newest_are_kept_in_mind():
    site = Site()
    site.start()
    kept = []
    for number in (1, 2, 2, 1):
        site.whole = [Sealed(f"/r/{number}", f"checkpoints/{number}.note", 9)]
        site.clock.pump([EVERY] * 3)
        kept.append(len(site.vault.put_away))
    assert kept == [1, 2, 2, 3]


@ensureDeferred
async def test_at_the_end_the_file_at_hand_is_waited_for_and_no_other_begun():
    site = Site()
    site.slow = slow = Deferred()
    site.start("a", "b")
    stopping = Deferred.fromCoroutine(site.archiving.stop())
    assert not stopping.called
    site.slow = None
    slow.callback(None)
    await stopping
    assert list(site.noted) == ["a"]
    assert not site.clock.getDelayedCalls()


@ensureDeferred
async def test_one_that_takes_long_is_left():
    site = Site()
    site.slow = slow = Deferred()
    site.start("a")
    stopping = Deferred.fromCoroutine(site.archiving.stop())
    assert not stopping.called
    site.clock.advance(AT_END)
    assert stopping.called
    await stopping
    assert site.asked == 2  # for whether it locks, and for the file: not again for the first
    assert not site.clock.getDelayedCalls()
    slow.callback(None)
