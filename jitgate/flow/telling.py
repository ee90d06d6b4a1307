"""Tells those who answer what there is to answer, and what became of it, on every channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from jitgate.errors import ApproversUnreachable, traced
from jitgate.interfaces import IApproverChannel, IGrantChannel
from jitgate.values import AccessRequest, Grant, Use


class Telling:
    """The channels, of which one that works is enough."""

    _log = Logger()

    def __init__(self, channels: Sequence[IApproverChannel]) -> None:
        self._channels = channels

    async def tell(self, request: AccessRequest) -> None:
        """Show a request on every channel. Raises `ApproversUnreachable` if none could."""
        told = 0
        for channel in self._channels:
            try:
                await channel.tell(request)
            except Exception as fault:  # noqa: BLE001 (whatever it is, this channel is down)
                self._log.error("{channel}: {how}", channel=channel.name, how=traced(fault))
            else:
                told += 1
        if not told:
            raise ApproversUnreachable("Nobody could be asked: no channel to the approvers works.")

    def tell_soon(self, request: AccessRequest) -> None:
        """The same, where nothing waits for it, and nothing depends on it."""
        Deferred.fromCoroutine(self.tell(request)).addErrback(self._untold)

    def grant_soon(self, grant: Grant, use: Use | None = None) -> None:
        """Show what has become of a grant, on channels that show that; nothing waits for it."""
        for channel in self._channels:
            if IGrantChannel.providedBy(channel):
                telling = Deferred.fromCoroutine(channel.tell_grant(grant, use))
                telling.addErrback(self._grant_untold, channel.name)

    def _grant_untold(self, failure: Failure, channel: str) -> None:
        """Nothing depends on it, whatever it is."""
        fault = cast(BaseException, failure.value)
        self._log.error("{channel}: {how}", channel=channel, how=traced(fault))

    def _untold(self, failure: Failure) -> None:
        """The request stands as it does, whether people see it or not; each failure was logged."""
        failure.trap(ApproversUnreachable)
