"""Who is believed no more: subjects that were revoked, and tokens of the gateway's own.

A revocation holds for every token made before it. Whoever gets a new one afterwards is believed
again: to keep an agent out, its identity provider has to, first. It is kept as long as a token made
before it could live.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import orjson
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from jitgate.core.binding import LONGEST
from jitgate.core.recovery import REVOKED
from jitgate.errors import StoreDown
from jitgate.flow.access import Access
from jitgate.flow.recorder import Recorder
from jitgate.interfaces import IOnce
from jitgate.values import Binding, Denial, Entry, Refusal, Subject

EVERYBODY = ""
"""Stands for all subjects: none is called so."""

SUBJECT, TOKEN, USED = "revoked-subject", "revoked-token", "used-token"
_REVOKED, _USED = "it was revoked", "it was for one call, and has carried one"
_OLDER = "its subject was revoked, and it does not say that it is younger"
_RESTORED = "the gateway's state was restored from a copy, and it does not say that it is younger"

HORIZON = 25 * 3600.0
"""Seconds for which a revocation is kept: no token is taken that lives for longer than a day."""

AHEAD = 30.0
"""Seconds by which an issuer's clock may be ahead of ours: so much later a token must have been
made to count again."""

ANSWERED = 0.5
"""Seconds after which what goes on with a revoked token ends: whoever revoked it is told first."""

End = Callable[[str, Callable[[Subject], bool]], int]
"""Ends what goes on for some subjects, says why, and how much that was."""


Elsewhere = Callable[[str, float, str], Coroutine[Any, Any, Mapping[str, int]]]
"""A subject, when it was revoked and why: how much of each kind has ended. It does not raise."""


async def _nobody(*_: object) -> Mapping[str, int]:
    """There is no other process."""
    return {}


class Revoked(NamedTuple):
    """What came of revoking a subject: why, as it is told, and how much of each kind has ended."""

    why: str
    ended: Mapping[str, int]


class Revocations:
    """Looked at for each request; read once, when the store has been opened."""

    def __init__(
        self, once: IOnce, access: Access, recorder: Recorder, clock: IReactorTime
    ) -> None:
        self._once = once
        self._access = access
        self._recorder = recorder
        self._clock = clock
        self._subjects: dict[str, float] = {}
        """By id: the time at which it was revoked last."""
        self._tokens: dict[str, tuple[str, float]] = {}
        """Why a token of our own is good no more, and until when it would have been, by its id."""
        self._recovered = False
        self.ends: dict[str, End] = {}
        """What ends what is open of some subjects at once, by what that is called."""
        self.elsewhere: Elsewhere = _nobody
        """Has other processes of this gateway believe a subject no more."""

    async def recover(self) -> None:
        """Take up what was revoked before. Raises `StoreDown`."""
        for key in await self._once.kept(SUBJECT):
            self._note(*orjson.loads(key))
        until = self._clock.seconds() + LONGEST
        self._tokens |= dict.fromkeys(await self._once.kept(TOKEN), (_REVOKED, until))
        self._tokens |= dict.fromkeys(await self._once.kept(USED), (_USED, until))
        self._recovered = True

    def lacks(self, revoked: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
        """Which of the subjects that were revoked, by the record, the store does not know of.

        What was recorded had been kept. What is over by now may have been dropped.
        """
        since = self._clock.seconds() - HORIZON
        return [
            (name, at) for name, at in revoked if since < at and self._subjects.get(name, -1.0) < at
        ]

    async def forgot(self, revoked: Sequence[tuple[str, float]] = ()) -> None:
        """The store may know too little: believe no token that was made before now, of anybody.

        Nor one of these subjects that was made before it was ``revoked``. Else who was revoked
        would be believed again, and an assertion that was taken would be taken once more. What was
        made a moment ago by a clock that is ahead can be neither: nothing ran then. Tokens tell
        whole seconds. Raises `StoreDown`.
        """
        now = math.floor(self._clock.seconds())
        for name, at in ((EVERYBODY, now), *revoked):  # everybody first: the rest is little then
            await self._once.take(SUBJECT, orjson.dumps([name, at]).decode(), at + HORIZON)
            self._note(name, at)

    async def look_again(self) -> None:
        """Take up what was revoked elsewhere: what goes on here for it ends. Raises `StoreDown`.

        Requests and grants are ended by whoever revoked, in the store.
        """
        for key in await self._once.kept(SUBJECT):
            name, at = orjson.loads(key)
            if at > self._subjects.get(name, -1.0):
                self.believe_no_more(name, at, f"{name} was revoked.")
        for key in await self._once.kept(TOKEN):
            if key not in self._tokens:
                self._over(key, _REVOKED)
                self._cut("Its token was revoked.", partial(_bound_to, key))

    def objection(self, subject: Subject) -> Refusal | None:
        """Why the subject's token is good no more, if it is not.

        Raises `StoreDown` until it is known what was revoked before.
        """
        if not self._recovered:
            raise StoreDown("What was revoked is not known yet.")
        if not self._subjects and not self._tokens:
            return None
        if subject.binding is not None and subject.binding.id in self._tokens:
            return _refused(self._tokens[subject.binding.id][0])
        if subject.issued_at < self._subjects.get(EVERYBODY, 0.0):
            return _refused(_RESTORED)
        for name in (subject.id, subject.agent):
            at = None if name is None else self._subjects.get(name)
            if at is not None and subject.issued_at <= at + AHEAD:
                return _refused(_OLDER)
        return None

    async def take(self, binding: Binding, until: float) -> Refusal | None:
        """Take the one call that a token is for: durable when this returns. Raises `StoreDown`."""
        if not await self._once.take(USED, binding.id, until):
            return _refused(_USED)
        self._over(binding.id, _USED)
        return None

    async def revoke_subject(self, name: str, by: str, reason: str) -> Revoked:
        """Believe no token any more that was made before now for, or by, whoever is called so.

        Raises `StoreDown`, `RecorderDown`; in this process it holds, and all has ended, even then.
        """
        at = self._clock.seconds()
        why = f"{name} was revoked by {by}" + (f": {reason}" if reason else ".")
        whose = partial(_called, name)
        ended = self.believe_no_more(name, at, why)
        there = Deferred.fromCoroutine(self.elsewhere(name, at, why))
        try:
            await self._once.take(SUBJECT, orjson.dumps([name, at]).decode(), at + HORIZON)
            told = {"name": name, "by": by, "reason": reason, "at": at}
            await self._recorded(REVOKED, told)
        finally:
            requests, grants = await self._access.revoke_all(whose, why)
            for kind, count in (await there).items():
                ended[kind] = ended.get(kind, 0) + count
        return Revoked(why, ended | {"requests": requests, "grants": grants})

    def believe_no_more(self, name: str, at: float, why: str) -> dict[str, int]:
        """End what is open here of a subject that was revoked, and say how much of each kind."""
        self._note(name, at)
        return self._cut(why, partial(_called, name))

    async def revoke_token(self, key: str, subject: Subject) -> None:
        """Believe a token of the gateway's own no more. Raises `StoreDown`, `RecorderDown`."""
        self._over(key, _REVOKED)
        await self._once.take(TOKEN, key, self._clock.seconds() + LONGEST)
        await self._recorded("token.revoked", {"token": key, "subject": subject.id})
        whose = partial(_bound_to, key)
        self._clock.callLater(ANSWERED, self._cut, "Its token was revoked.", whose)

    def _over(self, key: str, why: str) -> None:
        """A token is good no more; forget those that have expired since."""
        now = self._clock.seconds()
        for each in [each for each, (_, until) in self._tokens.items() if until < now]:
            del self._tokens[each]
        self._tokens[key] = why, now + LONGEST

    def _cut(self, why: str, whose: Callable[[Subject], bool]) -> dict[str, int]:
        """End what is open of some subjects, and say how much of each kind that was."""
        return {kind: end(why, whose) for kind, end in self.ends.items()}

    async def _recorded(self, kind: str, fields: Mapping[str, object]) -> None:
        await self._recorder.append(Entry(kind, self._clock.seconds(), fields))

    def _note(self, name: str, at: float) -> None:
        for each in [each for each, then in self._subjects.items() if then + HORIZON < at]:
            del self._subjects[each]
        self._subjects[name] = max(at, self._subjects.get(name, 0.0))


def _called(name: str, subject: Subject) -> bool:
    return name in (subject.id, subject.agent)


def _bound_to(key: str, subject: Subject) -> bool:
    return subject.binding is not None and subject.binding.id == key


def _refused(why: str) -> Refusal:
    return Refusal(
        Denial.TOKEN_REFUSED,
        f"The agent's token is refused: {why}.",
        advice="Get a new token from the identity provider, then repeat the call.",
    )
