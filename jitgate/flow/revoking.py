"""Who is believed no more: subjects that were revoked, and tokens of the gateway's own.

A revocation holds for every token made before it. Whoever gets a new one afterwards is believed
again: to keep an agent out, its identity provider has to, first. It is kept as long as a token made
before it could live.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import orjson
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from jitgate.core.binding import LONGEST
from jitgate.flow.access import Access
from jitgate.flow.recorder import Recorder
from jitgate.interfaces import IOnce
from jitgate.values import Denial, Entry, Refusal, Subject

SUBJECT, TOKEN = "revoked-subject", "revoked-token"

HORIZON = 25 * 3600.0
"""Seconds for which a revocation is kept: no token is taken that lives for longer than a day."""

End = Callable[[str, Callable[[Subject], bool]], None]
"""Ends what goes on for some subjects, and says why."""


class Revocations:
    """Looked at for each request; read once, when the store has been opened."""

    _log = Logger()

    def __init__(
        self, once: IOnce, access: Access, recorder: Recorder, clock: IReactorTime
    ) -> None:
        self._once = once
        self._access = access
        self._recorder = recorder
        self._clock = clock
        self._subjects: dict[str, float] = {}
        """By id: the time at which it was revoked last."""
        self._tokens: set[str] = set()
        self.ends: list[End] = []
        """What ends tunnels and exchanges of some subjects at once."""

    async def recover(self) -> None:
        """Take up what was revoked before. Raises `StoreDown`."""
        for key in await self._once.kept(SUBJECT):
            name, at = orjson.loads(key)
            self._note(name, at)
        self._tokens.update(await self._once.kept(TOKEN))

    def objection(self, subject: Subject) -> Refusal | None:
        """Why the subject's token is good no more, if it is not."""
        if not self._subjects and not self._tokens:
            return None
        if subject.binding is not None and subject.binding.id in self._tokens:
            return _refused("It was revoked.")
        for name in (subject.id, subject.agent):
            at = None if name is None else self._subjects.get(name)
            if at is not None and subject.issued_at <= at:
                return _refused("Its subject was revoked after it was made.")
        return None

    async def revoke_subject(self, name: str, by: str, reason: str) -> str:
        """Believe no token any more that was made before now for, or by, whoever is called so.

        Returns why, as it is told. Raises `StoreDown`, `RecorderDown`; it holds in this process
        all the same.
        """
        at = self._clock.seconds()
        self._note(name, at)
        why = f"{name} was revoked by {by}" + (f": {reason}" if reason else ".")

        def whose(subject: Subject) -> bool:
            return name in (subject.id, subject.agent)

        for end in self.ends:
            end(why, whose)
        await self._once.take(SUBJECT, orjson.dumps([name, at]).decode(), at + HORIZON)
        await self._recorded("subject.revoked", {"name": name, "by": by, "reason": reason})
        await self._access.revoke_all(whose, why)
        return why

    async def revoke_token(self, key: str, subject: Subject) -> None:
        """Believe a token of the gateway's own no more. Raises `StoreDown`, `RecorderDown`."""
        self._tokens.add(key)
        await self._once.take(TOKEN, key, self._clock.seconds() + LONGEST)
        for end in self.ends:
            end("Its token was revoked.", partial(_bound_to, key))
        await self._recorded("token.revoked", {"token": key, "subject": subject.id})

    async def _recorded(self, kind: str, fields: Mapping[str, object]) -> None:
        await self._recorder.append(Entry(kind, self._clock.seconds(), fields))

    def _note(self, name: str, at: float) -> None:
        self._subjects[name] = max(at, self._subjects.get(name, 0.0))


def _bound_to(key: str, subject: Subject) -> bool:
    return subject.binding is not None and subject.binding.id == key


def _refused(why: str) -> Refusal:
    return Refusal(
        Denial.TOKEN_REFUSED,
        f"The agent's token is refused: {why}",
        advice="Get a new token from the identity provider, then repeat the call.",
    )
