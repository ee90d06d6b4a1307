"""Sends checkpoints to a program of the site's, as Standard Webhooks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

import orjson
from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from jitgate.core.standard_webhooks import signed
from jitgate.errors import CheckpointNotKept
from jitgate.fetching import Fetcher
from jitgate.interfaces import IKeeper

TYPE: Final = "recording.checkpoint"

TIMEOUT: Final = 20.0
"""Seconds for one try ("Request timeouts": between 15 and 30)."""

ANSWER_BYTES: Final = 16 * 1024
"""Of an answer's body that are read; nothing in it counts."""


@implementer(IKeeper)
class WebhookKeeper:
    """One webhook; its messages are signed with ``keys``. ``close`` ends the connections to it."""

    every = 0.0

    def __init__(
        self,
        name: str,
        url: str,
        keys: Sequence[bytes],
        *,
        http: HTTPClient,
        clock: IReactorTime,
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self.name = name
        self._url = url
        self._keys = keys
        self._clock = clock
        self._close = close
        self._fetcher = Fetcher(
            http,
            clock,
            f"The keeper {name}",
            CheckpointNotKept,
            ANSWER_BYTES,
            accept="*/*",
            timeout=TIMEOUT,
        )

    async def keep(self, note: bytes) -> None:
        now = self._clock.seconds()
        told = {
            "type": TYPE,
            "timestamp": datetime.fromtimestamp(int(now), UTC).isoformat()[:-6] + "Z",
            "data": {"note": note.decode()},
        }
        body = orjson.dumps(told)
        # The same for the same checkpoint, so that whoever has it already may leave it.
        fields = signed(f"cp_{sha256(note).hexdigest()[:32]}", int(now), body, self._keys)
        answer = await self._fetcher.post_json(self._url, body, fields)
        if not 200 <= answer.status < 300:
            raise CheckpointNotKept(f"The keeper {self.name} answered {answer.status}.")

    async def stop(self) -> None:
        await self._close()
