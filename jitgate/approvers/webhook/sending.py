"""Sends a message to a webhook, once, and says what came of it ("Delivery success and failure")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime

from jitgate.approvers.webhook.messages import Message
from jitgate.core import rates
from jitgate.core.standard_webhooks import signed
from jitgate.errors import ApproversUnreachable
from jitgate.fetching import Fetched, Fetcher
from jitgate.values import ResponseHead

TIMEOUT: Final = 20.0
"""Seconds for one try ("Request timeouts": between 15 and 30)."""

ANSWER_BYTES: Final = 16 * 1024
"""Of an answer's body that are read; nothing in it counts."""

_GONE: Final = 410
_BUSY: Final = 429


@dataclass(frozen=True, slots=True)
class Delivered:
    """It was taken."""


@dataclass(frozen=True, slots=True)
class Gone:
    """Nothing is wanted there any more."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It was not taken, for now."""

    why: str
    until: float = 0.0
    """When the receiver wants to be asked again, in seconds since 1970; 0: it does not say."""
    is_down: bool = True
    """Whether it takes no message for now; False: it did not take this one."""


@dataclass(frozen=True, slots=True)
class Sending:
    """The way to one webhook, and the keys that messages to it are signed with."""

    name: str
    url: str = field(repr=False)
    keys: Sequence[bytes] = field(repr=False)
    http: HTTPClient = field(repr=False)
    clock: IReactorTime = field(repr=False)

    async def send(self, message: Message, at: float) -> Delivered | Gone | Failed:
        """Try it once; ``at`` is when the message came about."""
        fetcher = Fetcher(
            self.http,
            self.clock,
            f"The webhook {self.name}",
            ApproversUnreachable,
            ANSWER_BYTES,
            accept="*/*",
            timeout=TIMEOUT,
        )
        body = message.body(at)
        fields = signed(message.id, int(self.clock.seconds()), body, self.keys)
        try:
            answer = await fetcher.post_json(self.url, body, fields)
        except ApproversUnreachable as fault:
            return Failed(f"{fault}")
        return self._outcome(answer)

    def _outcome(self, answer: Fetched) -> Delivered | Gone | Failed:
        status = answer.status
        if 200 <= status < 300:
            return Delivered()
        if status == _GONE:
            return Gone()
        is_down = status == _BUSY or status >= 500
        until = self._until(answer) if is_down else 0.0
        return Failed(f"The webhook {self.name} answered {status}.", until, is_down)

    def _until(self, answer: Fetched) -> float:
        """What its Retry-After says, as far as it is believed."""
        every = answer.headers.getAllRawHeaders()
        fields = tuple((name, value) for name, values in every for value in values)
        told = rates.told(ResponseHead(answer.status, fields), self.clock.seconds())
        return 0.0 if told is None else told.until
