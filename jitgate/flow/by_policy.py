"""Approves what policy approves itself: request, answer and grant at once, and all on record.

Nobody is asked or told. What is approved is used as any other grant is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from jitgate.core import answers
from jitgate.errors import RecorderDown
from jitgate.flow import ledger as record
from jitgate.flow.grants import Grants
from jitgate.flow.ledger import Ledger
from jitgate.values import AccessRequest, Ask, Grant


class ByPolicy:
    """Makes the grants for which policy needs nobody."""

    def __init__(self, ledger: Ledger, grants: Grants, new_id: Callable[[str], str]) -> None:
        self._ledger = ledger
        self._grants = grants
        self._new_id = new_id

    async def granted(self, ask: Ask) -> Grant | None:
        """A grant that policy gives, durable and on record; None if something came between.

        Raises `StoreDown`, `RecorderDown`, and `ValueError` for what only people can approve.
        """
        self._ledger.ready()
        now = self._ledger.now
        opened = AccessRequest(self._new_id("a"), ask, now, now + ask.terms.life)
        approved = answers.by_policy(opened, now)
        if approved is None:
            raise ValueError("This is for people to approve.")
        grant = answers.granted(approved, self._new_id("g"), now)
        approved = replace(approved, grant=grant.id)
        told = [
            record.opened(opened),
            record.answer_given(approved, approved.answers[-1]),
            record.request_ended(approved),
            record.made(grant),
        ]
        recorded = await self._ledger.keep([approved, grant], told)
        if recorded is None:
            return None
        try:
            await recorded
        except RecorderDown:
            await self._grants.void(grant)
            raise
        self._grants.watch(grant)
        return grant
