"""The target's side: the connections to one target, dialled, kept, and used again.

A connection serves one exchange at a time (`jitgate.upstreams.connection`). It comes back to be
kept only if both messages were whole and neither side asked for its end.
"""

from __future__ import annotations

from collections import deque
from typing import cast

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory
from zope.interface import implementer

from jitgate.core.limits import LIMITS, Limits
from jitgate.interfaces import IUpstream
from jitgate.upstreams.connection import UpstreamConnection
from jitgate.upstreams.endpoint import CheckedEndpoint

KEPT = 16
"""Idle connections kept to one target: as many as agents usually have calls at once."""


@implementer(IUpstream)
class HttpsUpstream:
    """The connections to one target."""

    def __init__(
        self, endpoint: CheckedEndpoint, clock: IReactorTime, limits: Limits = LIMITS
    ) -> None:
        self._endpoint = endpoint
        self._limits = limits
        self._clock = clock
        self._idle: deque[UpstreamConnection] = deque()
        self._resting: list[UpstreamConnection] = []
        self._open: set[UpstreamConnection] = set()
        self._retired = False

    async def connect(self, *, fresh: bool) -> UpstreamConnection:
        kept = None if fresh else self._kept()
        if kept is not None:
            return kept
        if self._endpoint.full and self._idle:
            self._idle.popleft().abort()
        factory = Factory.forProtocol(self._made)
        factory.noisy = False
        connection = cast(UpstreamConnection, await self._endpoint.connect(factory))
        try:
            await connection.trusted
        except BaseException:
            connection.abort()  # nobody waits for it any more
            raise
        return connection

    def retire(self) -> None:
        """Keep no connection from now on: another way is taken, and what is on this one ends it."""
        self._retired = True
        while self._idle:
            self._idle.pop().abort()

    async def stop(self) -> None:
        self._idle.clear()
        for connection in list(self._open):
            connection.abort()

    def _made(self) -> UpstreamConnection:
        connection = UpstreamConnection(
            self._endpoint.host, self._clock, self._limits, self._rest, self._ended
        )
        self._open.add(connection)
        return connection

    def _kept(self) -> UpstreamConnection | None:
        """The connection that was used last, if it still leads where a new one would."""
        while self._idle:
            kept = self._idle.pop()
            if kept.sound and self._endpoint.leads_to(kept.address):
                kept.take()
                return kept
            kept.abort()
        return None

    def _rest(self, connection: UpstreamConnection) -> None:
        """Take a connection back, a turn of the reactor after the answer.

        What is behind the answer shows by then: it would be taken for the next request's.
        """
        if not self._resting:
            self._clock.callLater(0, self._rested)
        self._resting.append(connection)

    def _rested(self) -> None:
        resting, self._resting = self._resting, []
        for connection in resting:
            if connection.usable:
                self._keep(connection)

    def _keep(self, connection: UpstreamConnection) -> None:
        """Keep it for another exchange, for which the oldest makes room, unless none is wanted."""
        if self._retired or self._endpoint.waited_for:
            connection.abort()  # whoever waits needs its place more than the next its handshake
            return
        self._idle.append(connection)
        connection.keep()
        if len(self._idle) > KEPT:
            self._idle.popleft().abort()

    def _ended(self, connection: UpstreamConnection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
