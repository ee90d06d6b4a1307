"""Tokens that are over are made void in the background, until that is done or they have expired."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from jitgate.credentials.token_answers import Token
from jitgate.errors import CredentialRefused, CredentialUnavailable, traced

AT_ONCE = 8
"""Revocations that are under way at a time: hundreds a second, and few connections."""

WAITING = 10_000
"""Tokens that wait to be revoked: those of minutes in which the org does not answer."""

FIRST_WAIT = 1.0
"""Seconds, at most, before the second try; each that follows may wait twice as long."""

LONGEST_WAIT = 300.0
"""Seconds between two tries, at most: a token lives for an hour."""

AT_END = 5.0
"""Seconds that a gateway which stops still takes for revoking."""

Noted = Callable[[str, Mapping[str, object]], None]
"""Puts an entry of that kind on record, for which nobody waits."""


@dataclass(slots=True, eq=False)
class _Over:
    """A token that is over, how it is revoked, and what a record may say of it."""

    token: Token
    revoke: Callable[[Token], Awaitable[None]]
    facts: Mapping[str, object]
    tries: int = 0
    why: str = ""
    timer: IDelayedCall | None = None


class Revoker:
    """Revokes what it is given, and puts on record what has become of it.

    Args:
        noted: Takes ``credential.revoked`` and ``credential.not-revoked``.
        clock: Wall-clock time.
        jitter: A number from 0 to 1, another at each call.
        waiting: How many may wait.
    """

    _log = Logger()

    def __init__(
        self,
        noted: Noted,
        clock: IReactorTime,
        jitter: Callable[[], float],
        waiting: int = WAITING,
    ) -> None:
        self._noted = noted
        self._most = waiting
        self._clock = clock
        self._jitter = jitter
        self._queue: deque[_Over] = deque()
        self._later: set[_Over] = set()
        self._trying: dict[_Over, Deferred[None]] = {}
        self._idle: list[Deferred[None]] = []
        self._stopping = False

    def add(
        self,
        token: Token,
        revoke: Callable[[Token], Awaitable[None]],
        facts: Mapping[str, object],
    ) -> None:
        """Revoke it soon."""
        over = _Over(token, revoke, facts)
        if len(self._queue) + len(self._later) >= self._most:
            self._give_up(over, "Too many wait to be revoked.")
            return
        self._queue.append(over)
        self._next()

    async def stop(self, within: float = AT_END) -> None:
        """Try all that wait once more, for so many seconds; what is left is not revoked."""
        self._stopping = True
        for over in list(self._later):
            self._due(over)
        if self._busy:
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            idle.addTimeout(within, self._clock, onTimeoutCancel=lambda *_: None)
            await idle
        while self._queue:
            self._give_up(self._queue.popleft(), "The gateway stops.")
        for trying in list(self._trying.values()):
            trying.cancel()

    # --- inside

    @property
    def _busy(self) -> bool:
        return bool(self._queue or self._trying)

    def _next(self) -> None:
        while self._queue and len(self._trying) < AT_ONCE:
            over = self._queue.popleft()
            if self._clock.seconds() >= over.token.expires_at:
                self._give_up(over, over.why or "It has expired.")
                continue
            done: Deferred[None] = Deferred()
            self._trying[over] = done
            trying = Deferred.fromCoroutine(self._tried(over))
            if over in self._trying:
                self._trying[over] = trying
        if not self._busy:
            idle, self._idle = self._idle, []
            for each in idle:
                each.callback(None)

    async def _tried(self, over: _Over) -> None:
        over.tries += 1
        try:
            await over.revoke(over.token)
        except CancelledError:
            self._give_up(over, "The gateway stops.")
        except CredentialRefused as refused:
            self._give_up(over, f"{refused}")
        except CredentialUnavailable as fault:
            self._again(over, f"{fault}")
        except Exception as fault:  # noqa: BLE001 (whatever it was, it is not revoked)
            self._log.error("A credential is not revoked: {how}", how=traced(fault))
            self._again(over, "Revoking it failed.")
        else:
            self._noted("credential.revoked", {**over.facts, "tries": over.tries})
        finally:
            del self._trying[over]
            self._next()

    def _again(self, over: _Over, why: str) -> None:
        """Try it again later, unless it will be void by itself by then, or nobody will be there."""
        over.why = why
        longest = min(FIRST_WAIT * 2.0 ** min(over.tries - 1, 16), LONGEST_WAIT)
        wait = self._jitter() * longest
        if self._stopping or self._clock.seconds() + wait >= over.token.expires_at:
            self._give_up(over, why)
            return
        self._later.add(over)
        over.timer = self._clock.callLater(wait, self._due, over)

    def _due(self, over: _Over) -> None:
        self._later.discard(over)
        if over.timer is not None and over.timer.active():
            over.timer.cancel()
        self._queue.append(over)
        self._next()

    def _give_up(self, over: _Over, why: str) -> None:
        told = {**over.facts, "tries": over.tries, "why": why}
        self._noted("credential.not-revoked", told)
        self._log.warn("A credential of {app} is not revoked: {why}", app=over.token.app, why=why)
