"""Out, and back: a call that may go is sent, under a grant only once, and its response released."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import NamedTuple, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from jitgate.core.duties import reuse_of
from jitgate.core.limits import LIMITS, Limits
from jitgate.core.placing import without
from jitgate.core.tally import CREDENTIALS
from jitgate.core.websocket import SWITCHED
from jitgate.errors import AgentGone, CutShort, UpstreamGone, UpstreamUnreachable
from jitgate.flow.accounts import Accounts
from jitgate.flow.bodies import HeldBody
from jitgate.flow.call import Call
from jitgate.flow.conversation import Conversation
from jitgate.flow.deciding import Decider, Leave
from jitgate.flow.grants import Grants
from jitgate.flow.handshake import Handshake
from jitgate.flow.masking_room import MaskingRoom
from jitgate.flow.rates import Pace
from jitgate.flow.release import Release, gathered
from jitgate.flow.revoking import Revocations
from jitgate.flow.slices import Turn
from jitgate.interfaces import IRequest, IResponse, ISwitchedConnection, IUpstreamConnection
from jitgate.values import (
    Ask,
    Credential,
    Denial,
    Grant,
    Operation,
    Pending,
    Refusal,
    RequestHead,
    ResponseHead,
    Use,
)

CHALLENGED_FOR = 1.0
"""Seconds after which a call may be sent again whose credential was challenged: what the target
wants is known by then."""


class Departure(NamedTuple):
    """A call that is ready to leave: credential issued, target connected to, nothing sent."""

    call: Call
    leave: Leave
    credential: Credential
    head: RequestHead
    body: IRequest
    upstream: IUpstreamConnection


class _Answered(NamedTuple):
    """The head of the target's answer, the connection that the rest comes by, and what to hide."""

    upstream: IUpstreamConnection
    head: ResponseHead
    secrets: tuple[bytes, ...]


class Sender:
    """Sends what is ready."""

    def __init__(
        self,
        grants: Grants,
        decider: Decider,
        accounts: Accounts,
        revocations: Revocations,
        clock: IReactorTime,
        *,
        pace: Pace,
        turn: Turn,
        room: MaskingRoom | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        self._turn = turn
        self._clock = clock
        self._limits = limits
        self._pace = pace
        self._revocations = revocations
        self._grants = grants
        self._decider = decider
        self._accounts = accounts
        self._room = room or MaskingRoom(limits.masking_bytes, accounts.tally)

    async def ready(self, call: Call, leave: Leave) -> Departure | Refusal:
        """All that can fail before a grant is spent has been done when this returns."""
        granted = leave.grant is not None
        slow = self._pace.objection(call.operation, approved=granted)
        if slow is None and call.account.maskers:
            slow = self._room.objection(call.subject.key, self._clock.seconds())
        if slow is not None:
            return slow
        source = call.target.credentials
        reuse = _reuse(call.operation, leave)
        timing, since = call.account.timing, call.account.timing.now()
        try:
            credential = await source.lend(call.operation, reuse=reuse, granted=granted)
        finally:
            timing.spent("credential", since)
        try:
            call.account.credential = credential.facts
            how = "reused" if credential.facts.get("reused") else "issued"
            self._accounts.tally.add(CREDENTIALS, call.operation.target, how)
            head, body = call.leaving(leave.body, credential)
            fresh = call.operation.changes or granted or head.length != 0
            since = timing.now()
            try:
                upstream = await call.target.upstream.connect(fresh=fresh)
            finally:
                timing.spent("connect", since)
        except BaseException:
            source.returned(credential)
            raise
        return Departure(call, leave, credential, head, body, upstream)

    async def sent(self, ready: Departure) -> Refusal | None:
        """Send it, and release the response; returns once the agent has all of it."""
        try:
            return await self._sent(ready)
        finally:
            ready.call.target.credentials.returned(ready.credential)

    def _sent(self, ready: Departure) -> Awaitable[Refusal | None]:
        binding, leave = ready.call.subject.binding, ready.leave
        once = binding is not None and binding.once
        if leave.grant is None and not once and not leave.decision.obliged("budget"):
            return self._carried(ready)
        return self._taking(ready)

    async def _taking(self, ready: Departure) -> Refusal | None:
        """Send what goes by something that can be used once, after taking that."""
        try:
            use = await self._taken(ready)
        except BaseException:
            ready.upstream.release()
            raise
        if isinstance(use, Refusal):
            ready.upstream.release()
            return use
        if use is None:
            return await self._carried(ready)
        refusal = None
        try:
            refusal = await self._grants.under(use, self._unless_gone(ready))
        finally:
            status = ready.call.account.upstream_status
            settling = self._grants.settle(use, ready.call.session, status)
            if refusal is None:
                await settling
            else:  # it was revoked: its agent hears so at once, though the store says nothing
                Deferred.fromCoroutine(settling)
        return refusal

    async def _taken(self, ready: Departure) -> Use | Refusal | None:
        """Take what can be used so often: a budget, a token that is for one call, and a grant.

        The budget first: it is all that may be taken in vain, and nothing else is where it is full.
        """
        if ready.leave.decision.obliged("budget"):
            full = await self._decider.charged(ready.call, ready.leave)
            if full is not None:
                return full
        subject = ready.call.subject
        if subject.binding is not None and subject.binding.once:
            used = await self._revocations.take(subject.binding, subject.expires_at)
            if used is not None:
                return used
        grant, ask = ready.leave.grant, ready.leave.ask
        if grant is None or ask is None:
            return None
        return await self._spent(ready, grant, ask)

    async def _spent(self, ready: Departure, grant: Grant, ask: Ask) -> Use | Refusal:
        """Spend the grant now: the next thing that happens is the first byte (invariant 3)."""
        if ready.call.response.gone:
            raise AgentGone("The agent hung up before its call was sent.")
        ready.call.span.check()
        body = cast(HeldBody, ready.body)
        head, data = without(ready.head, body.data, ready.credential)
        leaving = self._decider.asks.fingerprint(ready.call, head, data)
        return await self._grants.spend(grant, ask, leaving)

    async def _unless_gone(self, ready: Departure) -> Refusal | None:
        """Send it, unless the agent has hung up while the spend was being written."""
        if ready.call.response.gone:
            ready.upstream.release()
            raise AgentGone("The agent hung up before its call was sent.")
        return await self._carried(ready)

    async def _carried(self, ready: Departure) -> Refusal | None:
        account, response, span = ready.call.account, ready.call.response, ready.call.span
        try:
            span.check()
        except CutShort:
            ready.upstream.release()
            raise
        since = account.timing.now()
        upstream, answer, secrets = await span.within(self._exchanged(ready))
        account.timing.answered(since)
        try:
            account.upstream_status = answer.status
            self._pace.heard(ready.call.operation, answer)
            challenge = ready.call.target.credentials.heard(ready.credential, answer)
            if challenge is not None:
                return _challenged(challenge, self._clock.seconds())
            recorded = account.recorded
            if recorded is not None and (recorded.called or not gathered(answer)):
                await recorded
            if answer.status == SWITCHED:
                await span.within(self._conversed(ready, answer, upstream, secrets))
                return None
            settled = partial(self._accounts.settled, account, "completed", None)
            way_out = Release(
                account,
                response,
                upstream,
                account.maskers,
                secrets,
                settled,
                self._room,
                self._turn,
            )
            with _EndedIfGone(response, upstream):
                await span.within(way_out.run(answer))
        finally:
            upstream.release()
        return None

    async def _conversed(
        self,
        ready: Departure,
        answer: ResponseHead,
        upstream: IUpstreamConnection,
        secrets: tuple[bytes, ...],
    ) -> None:
        """Carry the messages of a WebSocket: only a handshake is answered with 101."""
        call = ready.call
        await Conversation(
            call.account,
            self._accounts,
            cast(Handshake, call.handshake),
            call.response,
            cast(ISwitchedConnection, upstream),
            secrets=secrets,
            limits=self._limits,
            room=self._room,
            clock=self._clock,
        ).run(call.operation, answer)

    async def _exchanged(self, ready: Departure) -> _Answered:
        """Send the request; once, but for a safe one on a kept connection that proves dead.

        All that was sent is hidden in the answer, whichever of the two it belongs to.
        """
        upstream, operation = ready.upstream, ready.call.operation
        secrets = ready.credential.secrets
        once = operation.changes or ready.leave.grant is not None or ready.head.length != 0
        try:
            await ready.call.departs(ready.head, ready.credential, self._accounts.turn)
            if once:  # what may have changed something is worth an answer, if only for the record
                return _Answered(upstream, await upstream.send(ready.head, ready.body), secrets)
            with _EndedIfGone(ready.call.response, upstream):
                return _Answered(upstream, await upstream.send(ready.head, ready.body), secrets)
        except UpstreamGone:
            upstream.release()
            if once or upstream.fresh:
                raise
        except BaseException:
            upstream.release()
            raise
        return await self._once_more(ready)

    async def _once_more(self, ready: Departure) -> _Answered:
        again = ready.call.target.credentials.again(ready.credential)
        secrets = tuple(dict.fromkeys((*ready.credential.secrets, *again.secrets)))
        head, body = ready.call.leaving(ready.leave.body, again)
        upstream = await ready.call.target.upstream.connect(fresh=True)
        try:
            await ready.call.departs(head, again, self._accounts.turn)
            with _EndedIfGone(ready.call.response, upstream):
                return _Answered(upstream, await upstream.send(head, body), secrets)
        except BaseException:
            upstream.release()
            raise


def _reuse(operation: Operation, leave: Leave) -> float:
    """For how many seconds its credential may serve other calls; none that counts shares it."""
    return 0.0 if operation.changes or leave.grant is not None else reuse_of(leave.decision)


def _challenged(detail: str, now: float) -> Refusal:
    return Refusal(
        Denial.CREDENTIAL_CHALLENGED,
        detail,
        advice="The target did not carry the call out. Send it again.",
        pending=Pending("", "", now, now, again=CHALLENGED_FOR),
        manner="busy",
    )


class _EndedIfGone:
    """Ends the exchange with the target as soon as the agent hangs up: nobody waits for it."""

    __slots__ = ("_response", "_upstream")

    def __init__(self, response: IResponse, upstream: IUpstreamConnection) -> None:
        self._response = response
        self._upstream = upstream

    def __enter__(self) -> None:
        self._response.on_gone(self._upstream.abort)

    def __exit__(self, _: object, fault: BaseException | None, __: object) -> None:
        self._response.on_gone(None)
        if isinstance(fault, UpstreamUnreachable) and self._response.gone:
            raise AgentGone("The agent hung up before it had the answer.") from fault
