"""Long work, done so that others have their turn in between."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar, cast

from jitgate.core.masking import Transformer
from jitgate.core.pausing import steps

Done = TypeVar("Done")

Turn = Callable[[], Awaitable[None]]
"""Lets others have their turn."""

BUSY: Final = 0.001
"""Seconds of processor after which others have a turn."""

SLICE: Final = 16 * 1024
"""Bytes of a body that are looked at in one go where nothing in them takes long."""


class Share:
    """What somebody does of what takes long; ``now`` tells the processor's time of this thread."""

    def __init__(self, turn: Turn, now: Callable[[], float] = time.thread_time) -> None:
        self._turn, self._now = turn, now
        self._worked = 0.0

    async def done(self, work: Callable[[], Done]) -> Done:
        """What the work comes to, left for others at its pauses. Raises what the work does."""
        if self._worked >= BUSY:
            await self._others()
        begun, going = self._now(), steps(work)
        try:
            while True:
                next(going)
                if self._worked + self._now() - begun >= BUSY:
                    await self._others()
                    begun = self._now()
        except StopIteration as last:
            return cast(Done, last.value)
        finally:
            going.close()
            self._worked += self._now() - begun

    async def _others(self) -> None:
        self._worked = 0.0
        await self._turn()


class Straight:
    """Hands a body to a transformer that takes little longer than copying it, a read at a time.

    ``count`` is called behind each.
    """

    def __init__(self, transform: Transformer, count: Callable[[], None]) -> None:
        self._transform, self._count = transform, count

    async def feed(self, data: bytes) -> bytes:
        """What may go on because of these bytes. Raises what the transformer does."""
        passed = self._transform.feed(data)
        self._count()
        return passed

    async def finish(self) -> bytes:
        """What is left. Raises what the transformer does."""
        return self._transform.finish()


class Slices:
    """Hands a body to a transformer, a slice at a time; ``count`` is called behind each."""

    def __init__(self, transform: Transformer, share: Share, count: Callable[[], None]) -> None:
        self._transform, self._share, self._count = transform, share, count

    async def feed(self, data: bytes) -> bytes:
        """What may go on because of these bytes. Raises what the transformer does."""
        pieces = list[bytes]()
        for at in range(0, len(data), SLICE):
            part = data[at : at + SLICE]
            pieces.append(await self._share.done(partial(self._transform.feed, part)))
            self._count()
        return b"".join(pieces)

    async def finish(self) -> bytes:
        """What is left. Raises what the transformer does."""
        return await self._share.done(self._transform.finish)
