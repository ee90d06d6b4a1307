"""Asks more people when those who were asked first have not answered in time."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from jitgate.core import answers
from jitgate.flow import ledger as record
from jitgate.flow.deadlines import Deadlines
from jitgate.flow.ledger import Ledger
from jitgate.values import AccessRequest, AccessState


class Escalations:
    """Watches pending requests, and takes each step of their escalations when it is due.

    Whose answer counts follows from the step that is kept, not from the clock: nobody answers
    before it is on record that they are asked.
    """

    def __init__(
        self, ledger: Ledger, clock: IReactorTime, tell: Callable[[AccessRequest], None]
    ) -> None:
        self._ledger = ledger
        self._tell = tell
        self._deadlines = Deadlines(clock, self._due)

    def watch(self, request: AccessRequest) -> None:
        """See to the next step of a pending request, if there is one."""
        when = answers.escalates_at(request)
        if when is None:
            self._deadlines.forget(request.id)
        else:
            self._deadlines.set(request.id, when)

    def forget(self, key: str) -> None:
        """It has ended."""
        self._deadlines.forget(key)

    def stop(self) -> None:
        """Watch none any longer."""
        self._deadlines.stop()

    async def _due(self, key: str) -> None:
        while True:
            request = await self._ledger.store.request(key)
            if request is None or request.state is not AccessState.PENDING:
                self._deadlines.forget(key)
                return
            after = answers.escalated(request, self._ledger.now)
            if after is None:  # another gateway has taken the step, and not yet the next one
                self.watch(request)
                return
            recorded = await self._ledger.keep([after], [record.escalated(after)])
            if recorded is not None:
                break
        self.watch(after)
        await recorded
        self._tell(after)
