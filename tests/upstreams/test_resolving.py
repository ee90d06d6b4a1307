"""The system's resolver: asked for each dial, by few threads, and nobody waits for ever."""

from __future__ import annotations

import threading

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock, deferLater

from jitgate.errors import UpstreamUnreachable
from jitgate.upstreams.resolving import LOOKUPS, RESOLVE_WITHIN, SystemResolver


class Slow:
    """A resolver that answers when it is let go; it blocks its thread, as the system's does."""

    def __init__(self):
        self.asked = []
        self.go = threading.Event()

    def __call__(self, host):
        self.asked.append(host)
        assert self.go.wait(30)
        if host == "nowhere.example":
            raise OSError("Name or service not known")
        return [f"8.8.8.{len(self.asked)}"]


@pytest.fixture
def slow():
    made = Slow()
    yield made
    made.go.set()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def resolve(slow, clock):
    resolver = SystemResolver(reactor, clock, slow)
    return lambda host: Deferred.fromCoroutine(resolver(host))


async def until(seen):
    for _ in range(1000):
        if seen():
            return
        await deferLater(reactor, 0.005)
    raise AssertionError("it never came about")


@ensureDeferred
async def test_the_system_is_asked():
    found = await SystemResolver(reactor, reactor)("localhost")
    assert {"127.0.0.1", "::1"} & set(found)


@ensureDeferred
async def test_those_who_ask_at_once_share_an_answer_and_the_next_asks_anew(resolve, slow):
    asking = [resolve("api.example") for _ in range(20)]
    slow.go.set()
    assert await gatherResults(asking) == [["8.8.8.1"]] * 20
    assert slow.asked == ["api.example"]
    assert await resolve("api.example") == ["8.8.8.2"]


@ensureDeferred
async def test_a_name_that_the_system_does_not_know_is_unreachable(resolve, slow):
    slow.go.set()
    with pytest.raises(UpstreamUnreachable, match=r"nowhere\.example could not be resolved"):
        await resolve("nowhere.example")


@ensureDeferred
async def test_a_resolver_that_hangs_is_waited_for_no_longer_than_may_be(resolve, slow, clock):
    asking = resolve("api.example")
    clock.advance(RESOLVE_WITHIN)
    with pytest.raises(UpstreamUnreachable):
        await asking
    late = resolve("api.example")
    slow.go.set()
    assert await late == ["8.8.8.1"], "whoever came later heard nothing"
    assert slow.asked == ["api.example"], "a second thread was given to a resolver that hangs"


@ensureDeferred
async def test_names_beyond_the_threads_wait_for_one_and_not_for_ever(resolve, slow, clock):
    first = [resolve(f"{number}.example") for number in range(LOOKUPS)]
    await until(lambda: len(slow.asked) == LOOKUPS)
    beyond = resolve("beyond.example")
    clock.advance(RESOLVE_WITHIN)
    with pytest.raises(UpstreamUnreachable):
        await beyond
    assert len(slow.asked) == LOOKUPS
    for each in first:
        with pytest.raises(UpstreamUnreachable):
            await each
    again = resolve("again.example")
    slow.go.set()
    assert await again
    assert set(slow.asked[LOOKUPS:]) == {"beyond.example", "again.example"}
