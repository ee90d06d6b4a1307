"""Lets long work be left for a moment and gone on with, so that nobody waits for all of it.

Whoever looks at what others wrote calls `pause` between two parts of it that take a while, however
deep in the work that is. Whoever began the work by `steps` then says when it goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from typing import Final, TypeVar

from greenlet import getcurrent, greenlet

Done = TypeVar("Done")
Item = TypeVar("Item")

EVERY: Final = 32
"""Small parts of which each takes some microseconds, and all together a moment."""


class _Work(greenlet):  # type: ignore[misc]  # it has no types
    """Work that may pause, unless it is `held`."""

    held = False


def pause() -> None:
    """Let others have their turn, if whoever began this work wants them to."""
    work = getcurrent()
    if type(work) is _Work and not work.held:
        work.parent.switch()


def paused(items: Iterable[Item]) -> Iterator[Item]:
    """The items, with a pause every so often."""
    for number, item in enumerate(items, start=1):
        if number % EVERY == 0:
            pause()
        yield item


def unpaused(work: Callable[[str], Done], value: str) -> Done:
    """What the work makes of a value, without a pause: its time is taken."""
    around = getcurrent()
    if type(around) is not _Work or around.held:
        return work(value)
    around.held = True
    try:
        return work(value)
    finally:
        around.held = False


def steps(work: Callable[[], Done]) -> Generator[None, None, Done]:
    """Do the work, stopping at each pause; what it comes to. Raises what the work does.

    It is done in the thread that asks for the next step. Who stops asking ends it where it is.
    """
    going = _Work(work)
    try:
        done: Done = going.switch()
        while not going.dead:
            yield
            going.parent = getcurrent()  # whoever asks now, and not whoever asked first
            done = going.switch()
        return done
    finally:
        if not going.dead:
            with suppress(Exception):  # which the work makes of its being ended
                going.throw()
