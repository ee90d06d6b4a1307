"""Runs a story in a reactor of its own, to its end; Ctrl-C lets it come to one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from jitgate.errors import JitgateError

Made = TypeVar("Made")

Story = Callable[[Any, Callable[[], bool]], Coroutine[Deferred[Any], Any, Made]]
"""Takes the reactor, and what says whether it is to come to an end."""


class Stopped(JitgateError):
    """What a story may raise that was told to come to an end."""


def played(story: Story[Made]) -> Made:
    """What the story returns; raises what it raises."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    outcomes: list[Any] = []
    stopping: list[bool] = []
    ended: Deferred[None] = Deferred()

    async def play() -> Made:
        return await story(reactor, lambda: bool(stopping))

    def begin() -> None:
        Deferred.fromCoroutine(play()).addBoth(end)

    def end(outcome: Any) -> None:
        outcomes.append(outcome)
        ended.callback(None)
        if not stopping:
            reactor.stop()

    def stop() -> Deferred[None]:
        stopping.append(True)
        return ended

    reactor.addSystemEventTrigger("before", "shutdown", stop)
    reactor.callWhenRunning(begin)
    reactor.run()
    (outcome,) = outcomes
    if isinstance(outcome, Failure):
        outcome.raiseException()
    made: Made = outcome
    return made
