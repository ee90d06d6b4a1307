"""The control process and its workers, over real wires: each worker is a bond in this process."""

import os
from contextlib import suppress
from types import SimpleNamespace

import pytest
from pytest_twisted import async_yield_fixture, ensureDeferred
from support.listening import reactor, until
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure

from jitgate.core.tally import ENTRIES, Tally, summed
from jitgate.errors import ApproversUnreachable, StateUnusable, StoreDown
from jitgate.flow.deadlines import RETRY
from jitgate.values import Changed
from jitgate.workers import wire
from jitgate.workers.bond import UNHEARD, Announced, Bond, Joined, WireChannel, Witness
from jitgate.workers.crew import READ_WITHIN, Crew
from jitgate.workers.member import AWAITED, HUNG, LATE, SOONEST, Means
from jitgate.workers.share import ABSENT, Counters

SEED = b"s" * 32


class Steered(Clock):
    """A clock of the test's, and the real reactor's sockets."""

    def adoptStreamConnection(self, *args):
        return reactor.adoptStreamConnection(*args)


class Worker:
    """A worker: a bond in this process, and what stands for the process itself."""

    def __init__(self, room, life, process):
        self.room, self.life, self.process = room, life, process
        self.digest, self.lost, self.signals = room.digest, [], []
        self.heard, self.cuts, self.disbelieved = [], [], []
        self.problems, self.replaced, self.abandoned = (), [], []
        self.seed = None
        self.bond = Bond(room.clock, lambda: self.lost.append(True))
        self.bond.heeding = self
        self.size = 1
        self.tally = Tally()
        told = lambda: {"recorder": None, "load": {"jitgate_tunnels_open": 3}}
        self.witness = Witness(self.bond, self.head, told, self.tally.news, room.clock)

    async def head(self):
        return self.size, "00"

    async def serve(self):
        joined = Joined(self.bond, lambda: self.digest, self.seeded, lambda: (0, ""))
        await joined.start()
        await self.bond.start(self.heard.append)
        await self.witness.start()
        await Announced(self.bond).start()

    def seeded(self, seed):
        self.seed = seed

    # what it is told

    async def prepare(self, digest):
        self.asked = digest
        return self.problems

    async def replace(self):
        self.replaced.append(True)

    def abandon(self):
        self.abandoned.append(True)

    def cut(self, grant):
        self.cuts.append(grant)

    def disbelieve(self, name, at, why):
        self.disbelieved.append((name, at, why))
        return {"calls": 1, "tunnels": 2}

    # its process

    def signalProcess(self, number):
        self.signals.append(int(number))
        self.ends()

    def ends(self):
        """As the system ends one: its wire breaks, and whoever waits for it hears of it."""
        self.bond.let_go()
        self.process.processEnded(Failure(ProcessDone(0)))


class Room:
    """A crew, and all that it asks for. ``done`` is what was done, in order."""

    def __init__(self):
        self.clock, self.digest, self.done, self.workers = Steered(), b"one", [], []
        self.why, self.full, self.failing, self.given_up = None, None, None, None
        self.changes = []
        self.counters = Counters.made(2)
        self.crew = Crew(2, stop=10.0)
        self.crew.means = Means(
            run="run",
            gateway="",
            spawn=self.spawn,
            books=self,
            desk=self,
            digest=lambda: self.digest,
            counters=[self.counters],
            changed=self.changed,
            reactor=self.clock,
            seed=SEED,
        )

    def changed(self, changes, by):
        self.changes.append(changes)
        self.crew.changed_by(changes, by)

    def spawn(self, life, process, end):
        self.done.append(f"spawn {life.log}")
        made = Worker(self, life, process)
        self.workers.append(made)
        made.bond.connect(os.dup(end))
        return made

    # books

    async def enlist(self, log):
        self._fail()
        self.done.append(f"enlist {log}")

    async def closed(self, log, size, root):
        self.done.append(f"closed {log} {size}")

    async def lose(self, log):
        self.done.append(f"lose {log}")

    def note(self, log, size, root):
        self.done.append(f"note {log} {size}")

    # desk

    def down(self):
        return self.why

    def held_up(self):
        return self.full

    async def tell(self, request):
        if self.failing is not None:
            raise self.failing
        self.done.append(f"tell {request}")

    async def tell_grant(self, grant, use):
        self.done.append(f"tell {grant} {use}")

    async def members(self, group):
        return ["alice@acme.example"]

    async def orphaned(self, gateway):
        self._fail()
        self.done.append(f"orphaned {gateway}")

    def _fail(self):
        if self.given_up is not None:
            raise self.given_up

    async def serves(self):
        """All serve that are there."""
        starting = Deferred.fromCoroutine(self.crew.start())
        await until(lambda: len(self.workers) == 2)
        for worker in self.workers:
            await worker.serve()
        await starting

    def now(self, seconds):
        self.clock.advance(seconds)

    async def passes(self, seconds, step=1.0):
        """Time in which the wires are heard."""
        for _ in range(int(seconds / step)):
            self.clock.advance(step)
            for _ in range(3):
                await deferLater(reactor, 0.002)


@async_yield_fixture
async def room():
    made = Room()
    yield made
    made.given_up = None
    stopping = Deferred.fromCoroutine(made.crew.stop())
    await until(lambda: stopping.called)
    for worker in made.workers:
        worker.bond.let_go()
    await until(lambda: not [each for each in reactor.getReaders() if "Wire" in repr(each)])


# --- who is let in


@ensureDeferred
async def test_a_worker_is_on_record_before_it_has_anything(room):
    await room.serves()
    one = room.workers[0]
    assert one.seed == SEED
    assert room.done.index("enlist run.1.1") < room.done.index("note run.1.1 1")
    assert room.crew.down() is None


@ensureDeferred
async def test_one_that_has_read_something_else_is_not_let_in(room):
    starting = Deferred.fromCoroutine(room.crew.start())
    await until(lambda: len(room.workers) == 2)
    other = room.workers[0]
    other.digest = b"another"
    with pytest.raises(StateUnusable, match="reload"):
        await other.serve()
    assert other.seed is None
    assert not [each for each in room.done if each.startswith("enlist")]
    other.ends()
    with suppress(StateUnusable):  # it serves, and is ended
        await room.workers[1].serve()
    with pytest.raises(StateUnusable, match="does not start"):
        await starting
    assert room.workers[1].signals == [15]


@ensureDeferred
async def test_where_the_site_log_cannot_be_written_nobody_is_let_in(room):
    room.given_up = OSError(28, "No space left on device")
    starting = Deferred.fromCoroutine(room.crew.start())
    await until(lambda: len(room.workers) == 2)
    with pytest.raises(StateUnusable, match="No space"):
        await room.workers[0].serve()
    room.given_up = None
    for worker in room.workers:
        worker.ends()
    with pytest.raises(StateUnusable):
        await starting


# --- who signs for what is written


@ensureDeferred
async def test_what_the_recorder_of_the_control_process_cannot_do_stops_all(room):
    await room.serves()
    room.why = "The recorder cannot write: no space left on device."
    room.now(0.5)
    for worker in room.workers:
        await until(lambda worker=worker: worker.witness.down() == room.why)
    room.why = None
    room.now(0.5)
    for worker in room.workers:
        await until(lambda worker=worker: worker.witness.down() is None)


@ensureDeferred
async def test_what_holds_up_the_control_process_lets_workers_end_what_has_begun(room):
    await room.serves()
    room.full = "The archive is behind."
    room.now(0.5)
    for worker in room.workers:
        await until(lambda worker=worker: worker.witness.held_up() == room.full)
        assert worker.witness.down() is None


@ensureDeferred
async def test_nothing_is_signed_for_without_an_answer(room):
    await room.serves()
    one = room.workers[0]
    assert one.witness.down() is None
    one.bond.say = lambda *_, **__: Deferred()  # the other side hangs
    room.now(UNHEARD + 1)
    assert "does not answer" in one.witness.down()


@ensureDeferred
async def test_nothing_is_signed_for_once_the_control_process_is_gone(room):
    await room.serves()
    one = room.workers[0]
    room.crew._members[0]._wire.let_go()
    await until(lambda: one.lost)
    assert "gone" in one.witness.down()
    with pytest.raises(ApproversUnreachable):
        await WireChannel(one.bond, room.clock).tell_grant(named("g-1"), None)


def named(key):
    """A request, a grant or a use: no more is said of it than its id."""
    return SimpleNamespace(id=key)


@ensureDeferred
async def test_before_anybody_has_answered_nothing_is_signed_for():
    bond = Bond(Clock(), lambda: None)
    assert Witness(bond, lambda: None, dict, tuple, Clock()).down() is not None


# --- who ends


@ensureDeferred
async def test_a_worker_is_buried_before_another_has_its_name(room):
    await room.serves()
    room.counters[0] = 3
    room.given_up = StoreDown("The state database is down.")
    room.workers[0].ends()
    await until(lambda: "lose run.1.1" in room.done)
    assert room.counters[0] == ABSENT
    assert "worker 1 does not run" in room.crew.down()
    await room.passes(20.0)
    assert "spawn run.1.2" not in room.done
    room.given_up = None
    await room.passes(RETRY)
    assert "orphaned /1" in room.done
    assert room.changes == [None]
    room.now(SOONEST)
    await until(lambda: "spawn run.1.2" in room.done)
    assert room.done.index("orphaned /1") < room.done.index("spawn run.1.2")
    await until(lambda: room.workers[1].heard == [None])
    await room.workers[2].serve()
    assert room.crew.down() is None


@ensureDeferred
async def test_one_that_comes_to_nothing_is_started_ever_more_rarely(room):
    await room.serves()
    room.workers[0].ends()
    for pause in (SOONEST, 2 * SOONEST, 4 * SOONEST):
        await until(lambda: room.crew._members[0]._pause is not None)
        count = len(room.workers)
        room.now(pause - 0.1)
        assert len(room.workers) == count
        room.now(0.1)
        await until(lambda count=count: len(room.workers) == count + 1)
        room.workers[-1].ends()


@ensureDeferred
async def test_one_that_says_nothing_is_down_and_then_killed(room):
    await room.serves()
    one = room.workers[0]
    await one.witness.stop()
    room.now(LATE + 1)
    await until(lambda: room.crew.down() == "worker 1 does not answer")
    assert one.signals == []
    await room.passes(HUNG)
    assert one.signals == [9]


@ensureDeferred
async def test_one_that_hangs_up_and_does_not_end_is_killed(room):
    await room.serves()
    one = room.workers[0]
    one.bond.let_go()
    await until(lambda: one.bond._wire.transport is None or not one.bond._wire.transport.connected)
    await until(lambda: room.crew._members[0]._deadline._due <= room.clock.seconds() + LATE)
    room.now(LATE)
    assert one.signals == [9]


@ensureDeferred
async def test_without_any_nothing_is_served(room):
    await room.serves()
    assert room.crew.none_serves() is None
    for worker in room.workers[:2]:
        worker.ends()
    await until(lambda: room.crew.none_serves() is not None)


# --- what all are told


@ensureDeferred
async def test_what_one_changes_the_others_hear(room):
    await room.serves()
    one, other = room.workers
    changes = [Changed("request", f"a-{number}") for number in range(wire.AT_ONCE + 1)]
    one.bond.changed(changes)
    await until(lambda: sum(map(len, other.heard)) == len(changes))
    assert one.heard == []
    assert [each for part in room.changes for each in part] == changes
    room.crew.changed([Changed("grant", "g-1")])
    await until(lambda: one.heard == [[Changed("grant", "g-1")]])
    assert other.heard[-1] == [Changed("grant", "g-1")]


@ensureDeferred
async def test_what_workers_have_counted_is_told_for_all_and_outlives_them(room):
    await room.serves()
    one, other = room.workers
    one.tally.add(ENTRIES, "decision", by=2)
    other.tally.add(ENTRIES, "decision")
    for number in range(2 * wire.COUNTS_AT_ONCE):
        one.tally.add(ENTRIES, f"{number}")

    def counted(kind):
        rows = summed(*(each.rows() for each in room.crew.counted))
        return rows.get((ENTRIES.name, kind), [0])[0]

    await room.passes(1.0, 0.5)
    await until(lambda: counted("decision") == 3)
    await until(lambda: counted(f"{2 * wire.COUNTS_AT_ONCE - 1}") == 1)
    assert dict(room.crew.loads())["worker 2"] == {"jitgate_tunnels_open": 3}
    one.ends()
    await until(lambda: room.crew.serving == 1)
    assert counted("decision") == 3
    assert [name for name, _ in room.crew.loads()] == ["worker 2"]


@ensureDeferred
async def test_what_is_revoked_ends_in_all(room):
    await room.serves()
    room.crew.cut("g-1")
    ended = await room.crew.believe_no_more("bot", 7.5, "It was revoked.")
    assert ended == {"calls": 2, "tunnels": 4}
    for worker in room.workers:
        assert worker.cuts == ["g-1"]
        assert worker.disbelieved == [("bot", 7.5, "It was revoked.")]


@ensureDeferred
async def test_people_are_told_by_the_control_process_or_that_is_known(room):
    await room.serves()
    channel = WireChannel(room.workers[0].bond, room.clock)
    await channel.tell(named("a-1"))
    await channel.tell_grant(named("g-1"), named("x-1"))
    assert {"tell a-1", "tell g-1 x-1"} <= {*room.done}
    room.failing = ApproversUnreachable("No channel works.")
    with pytest.raises(ApproversUnreachable, match="No channel works"):
        await channel.tell(named("a-2"))


# --- another configuration


@ensureDeferred
async def test_all_go_by_another_configuration(room):
    await room.serves()
    assert await room.crew.prepare(b"two") == []
    assert [worker.asked for worker in room.workers] == [b"two", b"two"]
    await room.crew.replace()
    assert [worker.replaced for worker in room.workers] == [[True], [True]]


@ensureDeferred
async def test_none_does_if_one_cannot(room):
    await room.serves()
    one, other = room.workers
    other.problems = ("policy.yaml:3: no such effect",)
    assert await room.crew.prepare(b"two") == ["policy.yaml:3: no such effect"]
    await until(lambda: one.abandoned == other.abandoned == [True])
    assert one.replaced == other.replaced == []


@ensureDeferred
async def test_none_does_if_one_does_not_come_to_an_end_with_it(room):
    await room.serves()
    room.workers[1].prepare = lambda _: Deferred()
    preparing = Deferred.fromCoroutine(room.crew.prepare(b"two"))
    await until(lambda: hasattr(room.workers[0], "asked"))
    await room.passes(READ_WITHIN)
    assert await preparing == ["worker 2 did not read it"]
    await until(lambda: room.workers[0].abandoned == [True])


@ensureDeferred
async def test_one_that_says_nothing_is_killed_and_keeps_nobody_from_it(room):
    await room.serves()
    one, other = room.workers
    other.prepare = lambda _: Deferred()
    await other.witness.stop()
    preparing = Deferred.fromCoroutine(room.crew.prepare(b"two"))
    await until(lambda: hasattr(one, "asked"))
    await room.passes(AWAITED - 1)
    assert not preparing.called
    room.now(1)
    assert other.signals == [9]
    assert await preparing == []
    room.digest = b"two"
    await room.crew.replace()
    assert (one.replaced, one.abandoned, one.signals) == ([True], [], [])
    await until(lambda: len(room.workers) == 3)  # at once
    await room.workers[2].serve()
    assert room.crew.down() is None
    await one.witness.stop()
    await room.passes(AWAITED + 1)
    assert one.signals == []  # nobody waits for it


@ensureDeferred
async def test_one_that_dies_keeps_nobody_from_it(room):
    await room.serves()
    one, other = room.workers
    other.prepare = lambda _: Deferred()
    preparing = Deferred.fromCoroutine(room.crew.prepare(b"two"))
    await until(lambda: hasattr(one, "asked"))
    other.ends()
    assert await preparing == []
    await room.crew.replace()
    assert one.replaced == [True]


@ensureDeferred
async def test_one_that_did_not_serve_at_a_reload_has_the_patience_of_all_others_afterwards(room):
    await room.serves()
    _, other = room.workers
    other.ends()
    await until(room.crew.down)
    assert await room.crew.prepare(b"two") == []
    room.digest = b"two"
    await room.crew.replace()
    await room.passes(SOONEST)
    await until(lambda: len(room.workers) == 3)
    await room.workers[2].serve()
    await room.workers[2].witness.stop()
    await room.passes(AWAITED + 1)
    assert room.workers[2].signals == []


@ensureDeferred
async def test_one_that_does_not_go_by_it_is_killed(room):
    await room.serves()
    one, other = room.workers
    await room.crew.prepare(b"two")

    async def fails():
        raise StateUnusable("Nothing is ready.")

    other.replace = fails
    await room.crew.replace()
    assert (one.signals, other.signals) == ([], [9])


@ensureDeferred
async def test_one_that_has_not_read_it_is_killed(room):
    await room.serves()
    one, other = room.workers
    await room.crew.prepare(b"two")
    room.crew._members[1].prepared = False
    await room.crew.replace()
    assert (one.signals, other.signals) == ([], [9])
