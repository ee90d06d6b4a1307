"""One look-up of a name at a target: a call of the gateway's own, with a record of its own.

It is a read that policy permits to the agent, made with a credential for exactly that. Nothing of
the agent's request goes along, and whatever becomes of it, those who wait are told in time.
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from typing import NamedTuple, cast

import orjson
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from jitgate.core.duties import keeps_bodies, reuse_of
from jitgate.core.fields import is_json
from jitgate.core.injection import upstream_head, user_agent_token
from jitgate.core.json_masking import JsonMasker
from jitgate.core.literals import LiteralMasker
from jitgate.core.masking import Chain
from jitgate.core.resource_names import FAILED, NOT_FOUND, name_in
from jitgate.errors import CredentialUnavailable, JitgateError, MaskingFault, traced
from jitgate.flow.admission import Target
from jitgate.flow.rates import Pace
from jitgate.flow.recorder import Recorder
from jitgate.flow.release import is_coded
from jitgate.flow.shown_requests import described, described_operation
from jitgate.interfaces import IMasker, IRequest, IUpstreamConnection
from jitgate.values import (
    Ask,
    Credential,
    Decision,
    Entry,
    Headers,
    Operation,
    RequestHead,
    ResourceName,
    ResponseHead,
)

WITHIN = 2.0
"""Seconds for all look-ups of one call, which are made at once: people are told that much later."""

LARGEST = 64 * 1024
"""Bytes of an answer: a user with a long profile has ten."""

_FIELDS: Headers = ((b"Accept", b"application/json"),)
"""All that is asked for beside the path."""


class Means(NamedTuple):
    """What every look-up is made with."""

    recorder: Recorder
    pace: Pace
    clock: IReactorTime
    site_key: bytes


class Wanted(NamedTuple):
    """What is looked up: by which read, where, and by which leave."""

    target: Target
    read: Operation
    permit: Decision
    maskers: tuple[IMasker, ...]


class LookUp:
    """One that is under way, and all who wait for it. The first call that asks is on record."""

    _log = Logger()

    def __init__(self, wanted: Wanted, ask: Ask, key: str, means: Means) -> None:
        self._wanted = wanted
        self._ask = ask
        self._id = key
        self._means = means
        self._began = means.clock.seconds()
        self._credential: Credential | None = None
        self._sent = False
        self._status: int | None = None
        self._result: ResourceName | None = None
        self._timer: IDelayedCall | None = None
        self._work: Deferred[ResourceName] | None = None
        self._told: ResourceName | None = None
        self._waiting: list[Deferred[ResourceName]] = []

    def begin(self) -> None:
        """Make it; it may be over at once."""
        self._timer = self._means.clock.callLater(WITHIN, self.end)
        self._work = Deferred.fromCoroutine(self._answered())
        self._work.addCallbacks(self._over, self._failed)

    def waited(self) -> Deferred[ResourceName]:
        """Fires with what it came to, when that is on record. It does not fail."""
        if self._told is not None:
            return succeed(self._told)
        self._waiting.append(Deferred())
        return self._waiting[-1]

    def end(self) -> None:
        """Go on with it no longer."""
        self._over(FAILED)
        try:
            if self._work is not None:
                self._work.cancel()
        except Exception as fault:  # noqa: BLE001 (those who wait are told all the same)
            self._log.error("A look-up could not be ended: {how}", how=traced(fault))

    def _failed(self, failure: Failure) -> None:
        fault = cast(BaseException, failure.value)
        if not isinstance(fault, JitgateError | CancelledError):
            self._log.error("A name could not be looked up: {how}", how=traced(fault))
        self._over(FAILED)

    def _over(self, result: ResourceName) -> None:
        """Put it on record, and tell what it came to after that; the first result counts."""
        if self._result is not None:
            return
        self._result = result = replace(result, lookup=self._id)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        untold = replace(FAILED, lookup=self._id)  # what is not on record nobody is shown
        recorded = self._means.recorder.append(self._entry(result))
        recorded.addCallbacks(lambda _: self._tell(result), lambda _: self._tell(untold))

    def _tell(self, result: ResourceName) -> None:
        self._told = result
        for each in self._waiting:
            each.callback(result)

    # --- the call

    async def _answered(self) -> ResourceName:
        source, read = self._wanted.target.credentials, self._wanted.read
        credential = await source.lend(read, reuse=reuse_of(self._wanted.permit))
        try:
            self._credential = credential
            if credential.body is not None:
                raise CredentialUnavailable("The credential is for a body, and there is none.")
            upstream = await self._wanted.target.upstream.connect(fresh=False)
            try:
                return await self._exchanged(upstream, credential)
            finally:
                upstream.release()
        finally:
            source.returned(credential)

    async def _exchanged(
        self, upstream: IUpstreamConnection, credential: Credential
    ) -> ResourceName:
        head = self._head(credential)
        self._sent = True
        answer = await upstream.send(head, _NoBody(head))
        self._status = answer.status
        self._means.pace.heard(self._wanted.read, answer)
        self._wanted.target.credentials.heard(credential, answer)
        body = await _whole(upstream, answer)
        if answer.status == 404:
            return NOT_FOUND
        return FAILED if answer.status != 200 else self._name(answer, body, credential)

    def _head(self, credential: Credential) -> RequestHead:
        """What leaves: nothing in it is the agent's."""
        target, read = self._wanted.target, self._wanted.read
        return upstream_head(
            RequestHead("GET", read.path, _FIELDS),
            read,
            credential,
            token=user_agent_token(self._id, 1),
            declared=target.declared,
            masked=bool(self._wanted.maskers),
        )

    def _name(self, answer: ResponseHead, body: bytes, credential: Credential) -> ResourceName:
        """The name in an answer, through all that the agent's own read of it would go through."""
        if is_coded(answer) or not is_json(answer.headers):
            raise MaskingFault("The answer is not plain JSON.")
        mask = Chain([JsonMasker(self._wanted.maskers), LiteralMasker(credential.secrets)])
        masked = mask.feed(body) + mask.finish()
        try:
            return name_in(orjson.loads(body), orjson.loads(masked))
        except orjson.JSONDecodeError as error:
            raise MaskingFault("The answer cannot be read.") from error

    # --- the record

    def _entry(self, result: ResourceName) -> Entry:
        now, permit = self._means.clock.seconds(), self._wanted.permit
        fields: dict[str, object] = {
            "lookup": self._id,
            "exchange": self._ask.exchange,
            "session": self._ask.session,
            "subject": described(self._ask.subject),
            "operation": described_operation(self._wanted.read),
            "rule": permit.rule,
            "policy": permit.policy,
            "status": self._status,
            "seconds": round(now - self._began, 6),
        }
        if result.name is None:
            fields["why"] = result.why
        else:
            fields["hmac"] = self._keyed(result.name)
            fields |= {"name": result.name} if keeps_bodies(permit) else {}
        if self._credential is not None:
            fields["credential"] = dict(self._credential.facts)
        if self._sent:
            fields["user_agent_token"] = user_agent_token(self._id, 1)
        return Entry("name.looked-up", now, fields)

    def _keyed(self, name: str) -> str:
        plain = b"jitgate name\0" + name.encode()
        return hmac.digest(self._means.site_key, plain, "sha256").hex()


async def _whole(upstream: IUpstreamConnection, answer: ResponseHead) -> bytes:
    """The body, if it is short enough to be looked at."""
    pieces, room = [], LARGEST - (answer.length or 0)
    while room >= 0 and (data := await upstream.read()):
        pieces.append(data)
        room = LARGEST - sum(map(len, pieces))
    if room < 0:
        raise MaskingFault("The answer is too long.")
    return b"".join(pieces)


@implementer(IRequest)
class _NoBody:
    """A request port without a body."""

    hosts = ()
    fault = None

    def __init__(self, head: RequestHead) -> None:
        self.head = head

    async def read(self) -> bytes:
        return b""
