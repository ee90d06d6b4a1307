"""How a start takes up what the store has kept: as far as the record vouches for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from jitgate.core.recovery import DOUBTED, recovery
from jitgate.flow.access import Access
from jitgate.flow.deciding import Decider
from jitgate.flow.following import Following
from jitgate.flow.ledger import Ledger
from jitgate.flow.recorder import InThread
from jitgate.flow.revoking import Revocations
from jitgate.interfaces import IEvidence
from jitgate.values import Entry, Mark


class TakenUp:
    """The part that keeps access requests and grants: taken up as the record vouches for it."""

    def __init__(
        self,
        ledger: Ledger,
        access: Access,
        decider: Decider,
        revocations: Revocations,
        evidence: IEvidence,
        *,
        run: str,
        in_thread: InThread,
        following: Following | None = None,
    ) -> None:
        self._following = following
        self._ledger = ledger
        self._access = access
        self._decider = decider
        self._revocations = revocations
        self._evidence = evidence
        self._run = run
        self._in_thread = in_thread

    async def start(self) -> None:
        store = self._ledger.store
        mark = await store.open()
        if self._following is not None:
            await self._following.start()
        await self._revocations.recover()
        found = recovery(mark, await self._shown(mark))
        if found.distrust is not None:
            await store.mark(DOUBTED, found.revision)
        lacking = self._revocations.lacks(found.revoked)
        if found.forgot or lacking:
            await self._revocations.forgot(lacking)
        await self._access.recover(found)
        # A change like any other: so the record has a higher number than an older store though
        # nothing else changes in this run. Names of runs tell no order: clocks are set back.
        await store.mark(self._run, found.revision + 1)
        await self._ledger.record(found.revision + 1, [("state.taken-up", {"run": self._run})])
        await self._decider.reconsider()

    async def _shown(self, mark: Mark) -> Sequence[Entry] | None:
        """What the recording shows; where it shows nothing, that matters to what is live alone."""
        if mark.run is None:
            return ()
        shown = await self._in_thread(self._evidence.since, mark.run)
        if shown is None:
            store = self._ledger.store
            live = await store.grants() or await store.uses() or await store.requests()
            return None if live else ()
        return cast("Sequence[Entry]", shown)

    async def stop(self) -> None:
        self._access.stop()
        if self._following is not None:
            await self._following.stop()
        await self._ledger.store.close()
