"""What ten thousand pending requests cost that Slack shows: ``python -m tests.bench.slack``.

The store is SQLite on this disk, in its thread, as it is in a gateway. Slack is one in memory that
answers after 50 milliseconds and takes whatever it is sent: at what pace Slack itself takes it is
known, and what is asked here is what the gateway adds to that.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, f"{Path(__file__).parents[1]}")

from support.access import access_request, ask
from support.slack_memory import MemorySlack
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater

from jitgate.approvers.slack import queue
from jitgate.approvers.slack.messages import SlackChannel
from jitgate.approvers.slack.places import Showing
from jitgate.core import answers
from jitgate.flow.standing import Standing
from jitgate.service import Worker, suit_interpreter
from jitgate.stores.access_sqlite import SqliteAccess
from jitgate.stores.posts_sqlite import SqlitePosts
from jitgate.values import AccessRequest, Answer, Grant

from .machine import memory

reactor: Any = _reactor

COUNT = 10_000
TOGETHER = 200
"""Requests kept in one change, to begin with."""
ANSWERED = 200
TICK = 0.005
"""Seconds between two looks at how late the reactor is."""
PEOPLE = {"it-leads": frozenset({"alice@acme.com"})}
ROOM = "C0LEADS"


class Kept:
    """What the channel asks of Access, over a store alone."""

    def __init__(self, store: SqliteAccess) -> None:
        self._store = store

    async def request(self, key: str) -> AccessRequest | None:
        return await self._store.request(key)

    async def grant(self, key: str) -> Grant | None:
        return await self._store.grant(key)

    def standing(self, request: AccessRequest) -> Standing:
        missing = answers.missing(request, PEOPLE)
        return Standing(missing, answers.could_answer(request, PEOPLE), None)


class Watch:
    """How late the reactor was at worst, and what the process used, while something was done."""

    def __init__(self) -> None:
        self._late = 0.0
        self._tick = LoopingCall(self._ticked)

    def _ticked(self) -> None:
        now = time.monotonic()
        self._late = max(self._late, now - self._last - TICK)
        self._last = now

    async def over(self, what: str, work: Coroutine[Any, Any, object]) -> None:
        """Do it, and print what it took."""
        self._late, self._last = 0.0, time.monotonic()
        self._tick.start(TICK)
        began, used = time.monotonic(), time.process_time()
        await work
        took, used = time.monotonic() - began, time.process_time() - used
        self._tick.stop()
        mib = memory(os.getpid()) / 2**20
        told = f"{took:8.2f} s {used:8.2f} s of CPU {self._late * 1000:8.1f} ms late {mib:7.0f} MiB"
        print(f"{what:52} {told}")


async def measured(folder: Path) -> None:
    """Print everything."""
    worker = Worker(reactor, "state")
    worker.start()
    try:
        await _measured(folder, worker)
    finally:
        worker.stop()


async def _measured(folder: Path, worker: Worker) -> None:
    store = SqliteAccess(folder / "access.sqlite", in_thread=worker, machine="bench")
    await store.open()
    posts, watch = SqlitePosts(store.database, in_thread=worker), Watch()
    slack = MemorySlack(reactor)
    slack.before = lambda method, told: deferLater(reactor, 0.05)
    slack.rooms[ROOM] = {}
    channel = _channel(slack, store, posts, "1")
    await watch.over(f"{COUNT} requests are kept", _kept(store))
    await channel.start()
    await watch.over("all are found at the start, and looked at", _until_quiet(channel))
    await channel.stop()
    revision = max(each.revision for each in await store.requests())
    await worker(_all_shown, store, revision)
    channel = _channel(slack, store, posts, "2")
    await watch.over("the look of each minute, where all is as it is shown", _swept(posts))
    await channel.start()
    queue.IN_ALL.clear()  # type: ignore[attr-defined]
    queue.IN_A_ROOM.clear()  # type: ignore[attr-defined]
    times: list[float] = []
    await watch.over(f"{ANSWERED} are answered", _answered(store, channel, slack, times))
    times.sort()
    middle, late = times[len(times) // 2], times[int(len(times) * 0.99)]
    print(f"from the answer to Slack's call: {middle * 1000:.1f} ms, p99 {late * 1000:.1f} ms")
    await channel.stop()
    await store.close()


def _channel(slack: MemorySlack, store: SqliteAccess, posts: SqlitePosts, run: str) -> SlackChannel:
    return SlackChannel(
        slack.call,
        Kept(store),
        store,
        posts,
        Showing(ROOM, reminder=None),
        names=_nothing,
        clock=reactor,
        gateway="",
        run=run,
    )


async def _nothing(request: AccessRequest) -> dict[str, str]:
    return {}


async def _kept(store: SqliteAccess) -> None:
    for first in range(0, COUNT, TOGETHER):
        some = [_request(number) for number in range(first, first + TOGETHER)]
        await store.commit(some)


def _request(number: int) -> AccessRequest:
    at = time.time()
    asked = ask(f"f{number}")
    return replace(access_request(f"ar-{number}", asked), opened_at=at, expires_at=at + 3600)


async def _until_quiet(channel: SlackChannel) -> None:
    """Until every one waits for its turn at Slack."""
    while len(channel._looking):
        await deferLater(reactor, 0.05)
    while len(channel._sending) < COUNT - 100:
        await deferLater(reactor, 0.05)


def _all_shown(store: SqliteAccess, revision: int) -> None:
    """As if Slack had taken all of them."""
    rows = [(f"ar-{n}", ROOM, f"{ROOM}/{n}.1", revision) for n in range(COUNT)]
    with store.database.transaction() as connection:
        connection.execute("DELETE FROM post")
        connection.executemany(
            "INSERT INTO post VALUES ('slack', ?, ?, ?, ?, NULL, NULL, 0, '', 1)", rows
        )


async def _swept(posts: SqlitePosts) -> None:
    assert not await posts.behind("slack", time.time() + 60)


async def _answered(
    store: SqliteAccess, channel: SlackChannel, slack: MemorySlack, times: list[float]
) -> None:
    for number in range(ANSWERED):
        request = await store.request(f"ar-{number}")
        assert request is not None
        answer = Answer("alice@acme.com", True, time.time(), "cli")
        revision = await store.commit([replace(request, answers=(answer,))])
        calls, began = len(slack.calls), time.monotonic()
        await channel.tell(replace(request, revision=cast(int, revision)))
        while len(slack.calls) == calls:
            await deferLater(reactor, 0.0005)
        times.append(time.monotonic() - began)


def main() -> int:
    """Measure, in an interpreter that is set up as a gateway's."""
    suit_interpreter()
    with tempfile.TemporaryDirectory() as folder:
        done = Deferred.fromCoroutine(measured(Path(folder)))
        done.addErrback(lambda failure: print(failure.getTraceback()))
        done.addBoth(lambda _: reactor.callLater(0, reactor.stop))
        reactor.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
