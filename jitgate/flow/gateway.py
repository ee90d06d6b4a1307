"""The whole story of a request, told in one method, and the one place where faults deny.

`Gateway.admit` tells it for CONNECT, `Gateway.serve` for each request inside. Both turn whatever
goes wrong on the way into a refusal; nothing else in jitgate does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import cast

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from jitgate.core.binding import out_of_scope, within
from jitgate.core.naming import named_operation
from jitgate.core.placing import bare_head
from jitgate.core.tally import KNOCKS, STAGE_SECONDS
from jitgate.errors import AgentGone, RecorderDown, traced
from jitgate.flow.account import Account
from jitgate.flow.accounts import Accounts
from jitgate.flow.admission import Knock, Target, Tunnel, TurnedAway, session_key
from jitgate.flow.bodies import HeldBodies
from jitgate.flow.call import Call
from jitgate.flow.deciding import FIX_TOKEN, Decider
from jitgate.flow.faults import denial_of, is_foreseen
from jitgate.flow.handshake import Handshake
from jitgate.flow.knocked import Knocked
from jitgate.flow.load import Load, Span
from jitgate.flow.outgoing import Rewritten
from jitgate.flow.recorder import Recorder
from jitgate.flow.revoking import Revocations
from jitgate.flow.sending import Sender
from jitgate.flow.shown_requests import asked, described
from jitgate.flow.slices import Share
from jitgate.interfaces import IIdentityVerifier, IRequest, IResponse
from jitgate.values import (
    Denial,
    NotCanonical,
    Operation,
    Refusal,
    ResponseHead,
    Subject,
)

DUTIES = frozenset({"mask", "approvers", "grant", "auto", "hold", "record", "budget", "reuse"})
"""The obligations that are understood here; a decision with any other denies (invariant 1)."""

_OUTCOMES: Mapping[Denial, str] = {Denial.APPROVAL_PENDING: "pending"}
"""What an exchange has come to whose refusal is not the end of it."""


class Gateway:
    """The policy enforcement point (NIST SP 800-207)."""

    _log = Logger()

    def __init__(
        self,
        *,
        targets: Mapping[str, Target],
        identity: IIdentityVerifier,
        decider: Decider,
        sender: Sender,
        accounts: Accounts,
        bodies: HeldBodies,
        load: Load,
        revocations: Revocations,
        knocked: Knocked,
        recorder: Recorder,
        clock: IReactorTime,
        new_id: Callable[[], str],
    ) -> None:
        self._targets = targets
        self._identity = identity
        self._decider = decider
        self._sender = sender
        self._accounts = accounts
        self._bodies = bodies
        self._load = load
        self._revocations = revocations
        self._knocked = knocked
        self._recorder = recorder
        self._clock = clock
        self._new_id = new_id

    def adopt(self, targets: Mapping[str, Target], identity: IIdentityVerifier) -> None:
        """Go by these from now on: what has leave to go goes on, all else is looked at anew."""
        self._targets, self._identity = targets, identity

    # --- CONNECT

    async def admit(self, knock: Knock) -> Tunnel | TurnedAway:
        """The tunnel, or why there is none.

        Whoever brings a token to a host that a target names gets a tunnel: what is wrong with the
        token is told inside it, where the agent's SDK can show it.
        """
        target, identity = self._targets.get(knock.authority), self._identity
        begun = self._clock.seconds()
        try:
            proof = await self._proven(knock, target, identity)
        except Exception as fault:  # noqa: BLE001 (the one place: every fault denies)
            proof = self._denied(fault)
        self._accounts.tally.took(STAGE_SECONDS, self._clock.seconds() - begun, "identity")
        if isinstance(proof, Refusal) and (target is None or knock.token is None):
            manner = "problem" if target is None or knock.near is None else target.manner
            result: Tunnel | TurnedAway = TurnedAway(self._new_id(), proof, manner)
        else:
            result = self._tunnel(knock, cast(Target, target), proof, identity)
        if knock.head is not None and isinstance(result, TurnedAway):  # and is remembered
            await Share(self._accounts.turn).done(partial(asked, knock.head))
        self._note_knock(knock, result)
        return result

    async def _proven(
        self, knock: Knock, target: Target | None, identity: IIdentityVerifier
    ) -> Subject | Refusal:
        if knock.fault is not None:
            raise knock.fault
        if knock.token is None:
            detail = "No token came with the request."
            manner = None if knock.near is None else "origin"
            return Refusal(Denial.TOKEN_MISSING, detail, advice=FIX_TOKEN, manner=manner)
        if target is None:
            return Refusal(Denial.TARGET_UNKNOWN, f"No target is configured for {knock.authority}.")
        return await identity.verify(knock.token)

    def _tunnel(
        self, knock: Knock, target: Target, proof: Subject | Refusal, identity: IIdentityVerifier
    ) -> Tunnel:
        subject, refusal = (None, proof) if isinstance(proof, Refusal) else (proof, None)
        if subject is not None:
            refusal = self._load.open(subject)
        name = knock.name or (subject and subject.session) or self._new_id()
        who = ("", "") if subject is None else (subject.issuer, subject.id)
        return Tunnel(
            authority=knock.authority,
            manner=target.manner,
            session=session_key(*who, name),
            subject=subject,
            refusal=refusal,
            token=knock.token,
            proved_by=identity,
            near=knock.near,
            websockets=bool(target.websockets.paths),
        )

    def left(self, tunnel: Tunnel) -> None:
        """The tunnel has ended."""
        if tunnel.subject is not None and tunnel.refusal is None:
            self._load.close(tunnel.subject)

    def _note_knock(self, knock: Knock, result: Tunnel | TurnedAway) -> None:
        """Record the CONNECT. Nothing passes on its strength alone, so nobody waits for it."""
        fields: dict[str, object] = {"authority": knock.authority, "peer": knock.peer}
        if knock.near is not None:
            fields["near"] = knock.near
        if knock.token is not None:
            fields["token"] = self._accounts.token_print(knock.token)
        if isinstance(result, Tunnel):
            kind = "tunnel"
            fields |= {"session": result.session, "name": knock.name}
            fields["subject"] = described(result.subject)
            fields["result"] = "admitted" if result.refusal is None else "refused"
        else:
            kind = "refused"
            fields["id"] = result.id
            if knock.head is not None:
                fields["request"] = asked(knock.head)
        said = "admitted" if result.refusal is None else result.refusal.denial.value
        self._accounts.tally.add(KNOCKS, said)
        if result.refusal is not None:
            fields |= {"denial": result.refusal.denial.value, "detail": result.refusal.detail}
        # With the recorder down, every request inside is denied for it.
        if result.refusal is None:
            self._recorder.note(kind, fields)
        else:
            self._knocked.note(kind, fields)

    # --- each request inside

    async def serve(self, tunnel: Tunnel, request: IRequest, response: IResponse) -> None:
        """Carry one request out, or refuse it; returns when the agent has its whole answer."""
        account = self._accounts.opened(tunnel, request)
        with self._load.exchange() as span:
            try:
                refusal = await self._story(account, span, tunnel, request, response)
            except Exception as fault:  # noqa: BLE001 (the one place: every fault denies)
                refusal = self._denied(fault, account)
            try:
                if refusal is not None:
                    await self._refuse(account, tunnel, response, refusal)
            finally:
                self._bodies.drop(account.held)
                self._accounts.counted(account)

    def cut(self, why: str, whose: Callable[[Subject], bool] | None = None) -> int:
        """Give the exchanges at hand, or those of some subjects, no more time; how many those are.

        Each is refused, or truncated.
        """
        return self._load.cut(why, whose)

    async def rest(self) -> None:
        """Wait until no exchange is at hand."""
        await self._load.rest()

    async def _story(
        self,
        account: Account,
        span: Span,
        tunnel: Tunnel,
        request: IRequest,
        response: IResponse,
    ) -> Refusal | None:
        """The way of a request: who, what, may it, with what, out, and back masked."""
        while True:
            targets = self._targets
            called = await self._called(targets, account, span, tunnel, request)
            if isinstance(called, Refusal):
                return called
            subject, target, operation = called
            account.subject, account.operation = subject, operation
            bodied = Handshake(request) if request.head.websocket else request
            call = Call(account, subject, tunnel.session, target, operation, bodied, response, span)
            leave = await self._decider.leave(call)
            if isinstance(leave, Refusal):
                return leave
            if isinstance(leave, Rewritten):
                if not isinstance(leave.request, Handshake):
                    request = leave.request
                continue
            if leave is not None and self._targets is targets:
                if leave.operation is not operation:  # it has the parameters of its body as well
                    call = call._replace(operation=leave.operation)
                break  # else the configuration has changed, and nothing was sent: all of it anew
        ready = await span.within(self._sender.ready(call, leave))
        return ready if isinstance(ready, Refusal) else await self._sender.sent(ready)

    async def _called(
        self,
        targets: Mapping[str, Target],
        account: Account,
        span: Span,
        tunnel: Tunnel,
        request: IRequest,
    ) -> tuple[Subject, Target, Operation] | Refusal:
        """Who calls what, and where it goes, or why that is not even asked."""
        subject = await self._turned_away(span, tunnel, request)
        if isinstance(subject, Refusal):
            return subject
        target = targets.get(tunnel.authority)
        if target is None:
            detail = f"No target is configured for {tunnel.authority} any more."
            return Refusal(Denial.TARGET_UNKNOWN, detail)
        if target.personal is not None:
            target = replace(target, upstream=target.personal(subject, tunnel.session))
        bare = bare_head(request.head, target.query_name, target.body_name)
        if not isinstance(bare, NotCanonical):
            account.head = bare
        operation = named_operation(target, tunnel.authority, request.head, tunnel.near)
        if isinstance(operation, Refusal):
            return operation
        if not within(subject.binding, operation):
            return out_of_scope(subject.binding, operation)
        return subject, target, operation

    async def _turned_away(
        self, span: Span, tunnel: Tunnel, request: IRequest
    ) -> Subject | Refusal:
        """Whose request it is, or why it is not even looked at."""
        if self._recorder.down is not None:
            raise RecorderDown(self._recorder.down)
        if request.fault is not None:
            raise request.fault
        if any(host != tunnel.authority for host in request.hosts):
            return Refusal(
                Denial.HOST_MISMATCH,
                f"The tunnel was opened to {tunnel.authority}, the request names another host.",
            )
        if tunnel.refusal is not None:
            return tunnel.refusal
        if tunnel.subject is None or tunnel.token is None:
            return Refusal(Denial.TOKEN_REFUSED, "No token was proved.", advice=FIX_TOKEN)
        subject: Subject | Refusal = tunnel.subject
        if tunnel.proved_by is not self._identity:  # who is believed has changed since
            subject = await self._identity.verify(tunnel.token, again=True)
        if isinstance(subject, Refusal):
            return subject
        span.subject = subject
        refusal = self._decider.expired(subject) or self._revocations.objection(subject)
        return refusal or span.carry() or subject

    # --- what is left behind, and what the agent is told

    def _denied(self, fault: Exception, account: Account | None = None) -> Refusal:
        """The denial that a fault becomes; one that nobody foresaw is told the log alone."""
        if not is_foreseen(fault):
            what = account.id if account else "a CONNECT"
            self._log.critical("A fault denied {what}: {how}", what=what, how=traced(fault))
        return denial_of(fault, account, self._clock.seconds())

    async def _refuse(
        self, account: Account, tunnel: Tunnel, response: IResponse, refusal: Refusal
    ) -> None:
        """Answer with the refusal once it is on record; where it is too late for that, truncate."""
        outcome = _OUTCOMES.get(refusal.denial, "failed" if account.permitted else "denied")
        if response.started:
            response.truncate()
            outcome = "truncated"
        if refusal.denial is Denial.AGENT_GONE:
            response.truncate()
            outcome = "truncated" if account.answer is not None else "failed"
        head, body = response.render(refusal, account.id, tunnel.manner)
        try:
            await self._accounted(account, outcome, refusal, head, body)
        except RecorderDown as down:
            refusal = Refusal(Denial.RECORDER_DOWN, f"{down}", advice=refusal.advice)
            head, body = response.render(refusal, account.id, tunnel.manner)
        if outcome != "truncated" and refusal.denial is not Denial.AGENT_GONE:
            await _told(response, head, body)

    async def _accounted(
        self,
        account: Account,
        outcome: str,
        refusal: Refusal,
        head: ResponseHead,
        body: bytes,
    ) -> None:
        if account.settled:
            return
        if outcome != "truncated" and refusal.denial is not Denial.AGENT_GONE:
            account.answer, account.trailers = head, ()
            account.released = self._accounts.witness()
            account.released.saw(body)
        await self._accounts.settled(account, outcome, refusal)


async def _told(response: IResponse, head: ResponseHead, body: bytes) -> None:
    try:
        await response.start(head, body)
        await response.finish()
    except AgentGone:
        return  # the refusal is on record, which is what matters
