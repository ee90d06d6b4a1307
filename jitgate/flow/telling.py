"""Tells those who answer what there is to answer, and what became of it, on every channel."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from jitgate.errors import ApproversUnreachable, traced
from jitgate.interfaces import IApproverChannel
from jitgate.values import AccessRequest


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

    def _untold(self, failure: Failure) -> None:
        """The request stands as it does, whether people see it or not; each failure was logged."""
        failure.trap(ApproversUnreachable)
