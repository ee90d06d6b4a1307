"""The whole story of a request, told in one method, and the one place where faults deny.

`Gateway.admit` tells it for CONNECT, `Gateway.serve` for each request inside. Both turn whatever
goes wrong on the way into a refusal; nothing else in jitgate does.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jitgate.core import injection
from jitgate.core.operation import NotCanonical, canonical_target
from jitgate.core.policy import NEEDS_BODY, Policy
from jitgate.core.profiles import MaskingProfile, maskers_for
from jitgate.errors import (
    AddressRefused,
    AgentGone,
    CredentialUnavailable,
    HeadTooLarge,
    IdentityUnavailable,
    JitgateError,
    MalformedRequest,
    MaskingFault,
    PeerFault,
    RecorderDown,
    UpstreamMalformed,
    UpstreamUnreachable,
    UpstreamUntrusted,
    traced,
)
from jitgate.flow.account import Account, Witness, Witnessed, described, held, shown_request
from jitgate.flow.admission import Knock, Target, Tunnel, TurnedAway, session_key
from jitgate.flow.recorder import Recorder
from jitgate.flow.release import Release
from jitgate.interfaces import (
    IIdentityVerifier,
    IRequest,
    IResponse,
    IUpstreamConnection,
)
from jitgate.values import (
    Decision,
    Denial,
    Effect,
    Entry,
    Operation,
    Refusal,
    RequestHead,
    ResponseHead,
    Subject,
)

REVIEW_BODY = 1024 * 1024
"""Bytes of a body held so that a rule can read it. API calls are far smaller than that."""

RECORD_BODY = 1024 * 1024
"""Bytes kept of each body for the record; what is longer is digested whole and kept in part."""

DUTIES = frozenset({"mask", "approvers", "grant"})
"""The obligations that are understood here; a decision with any other denies (invariant 1)."""

_LOOK_FIRST = "The target may have carried it out: look before you repeat it."
_FIX_TOKEN = "Bring a token of a configured issuer that has not expired."  # noqa: S105 (a sentence)

_FAULTS: Mapping[type[JitgateError], Denial] = {
    MalformedRequest: Denial.MALFORMED,
    HeadTooLarge: Denial.HEAD_TOO_LARGE,
    AgentGone: Denial.AGENT_GONE,
    UpstreamUnreachable: Denial.UPSTREAM_UNREACHABLE,
    AddressRefused: Denial.UPSTREAM_UNREACHABLE,
    UpstreamUntrusted: Denial.UPSTREAM_UNTRUSTED,
    UpstreamMalformed: Denial.UPSTREAM_MALFORMED,
    MaskingFault: Denial.RESPONSE_WITHHELD,
    CredentialUnavailable: Denial.CREDENTIAL_UNAVAILABLE,
    IdentityUnavailable: Denial.IDENTITY_UNAVAILABLE,
    RecorderDown: Denial.RECORDER_DOWN,
}
"""Which fault becomes which denial; any other is `Denial.FAULT`, with a fixed sentence."""


class Gateway:
    """The policy enforcement point (NIST SP 800-207)."""

    _log = Logger()

    def __init__(
        self,
        *,
        targets: Mapping[str, Target],
        identity: IIdentityVerifier,
        policy: Policy,
        profiles: Mapping[str, MaskingProfile],
        recorder: Recorder,
        clock: IReactorTime,
        new_id: Callable[[], str],
        site_key: bytes,
    ) -> None:
        self._targets = targets
        self._identity = identity
        self._policy = policy
        self._profiles = profiles
        self._recorder = recorder
        self._clock = clock
        self._new_id = new_id
        self._site_key = site_key

    # --- CONNECT

    async def admit(self, knock: Knock) -> Tunnel | TurnedAway:
        """The tunnel, or why there is none.

        Whoever brings a token to a host that a target names gets a tunnel: what is wrong with the
        token is told inside it, where the agent's SDK can show it.
        """
        target = self._targets.get(knock.authority)
        try:
            proof = await self._proven(knock, target)
        except Exception as fault:  # noqa: BLE001 (the one place: every fault denies)
            proof = self._denied(fault)
        if isinstance(proof, Refusal) and (target is None or knock.token is None):
            result: Tunnel | TurnedAway = TurnedAway(self._new_id(), proof)
        else:
            result = self._tunnel(knock, cast(Target, target), proof)
        self._note_knock(knock, result)
        return result

    async def _proven(self, knock: Knock, target: Target | None) -> Subject | Refusal:
        if knock.fault is not None:
            raise knock.fault
        if knock.token is None:
            detail = "No token came with the request."
            return Refusal(Denial.TOKEN_MISSING, detail, advice=_FIX_TOKEN)
        if target is None:
            return Refusal(Denial.TARGET_UNKNOWN, f"No target is configured for {knock.authority}.")
        return await self._identity.verify(knock.token)

    def _tunnel(self, knock: Knock, target: Target, proof: Subject | Refusal) -> Tunnel:
        subject, refusal = (None, proof) if isinstance(proof, Refusal) else (proof, None)
        name = knock.name or (subject and subject.session) or self._new_id()
        who = ("", "") if subject is None else (subject.issuer, subject.id)
        return Tunnel(knock.authority, target, session_key(*who, name), subject, refusal)

    def _note_knock(self, knock: Knock, result: Tunnel | TurnedAway) -> None:
        """Record the CONNECT. Nothing passes on its strength alone, so nobody waits for it."""
        fields: dict[str, object] = {"authority": knock.authority}
        if isinstance(result, Tunnel):
            kind = "tunnel"
            fields |= {"session": result.session, "subject": described(result.subject)}
            fields["result"] = "admitted" if result.refusal is None else "refused"
        else:
            kind = "refused"
            fields["id"] = result.id
        if result.refusal is not None:
            fields |= {"denial": result.refusal.denial.value, "detail": result.refusal.detail}
        noted = self._recorder.append(Entry(kind, self._clock.seconds(), fields))
        # With the recorder down, every request inside is denied for it.
        noted.addErrback(_recorder_down)

    # --- each request inside

    async def serve(self, tunnel: Tunnel, request: IRequest, response: IResponse) -> None:
        """Carry one request out, or refuse it; returns when the agent has its whole answer."""
        account = self._opened(tunnel, request)
        try:
            refusal = await self._story(account, tunnel, request, response)
        except Exception as fault:  # noqa: BLE001 (the one place: every fault denies)
            refusal = self._denied(fault, account)
        if refusal is not None:
            await self._refuse(account, tunnel, response, refusal)

    async def _story(
        self, account: Account, tunnel: Tunnel, request: IRequest, response: IResponse
    ) -> Refusal | None:
        """The way of a request: who, what, may it, with what, out, and back masked."""
        turned_away = self._turned_away(tunnel, request)
        operation = turned_away or self._named(tunnel, request.head)
        if isinstance(operation, Refusal):
            return operation
        account.operation = operation
        body = Witnessed(request, account.sent)
        decided = await self._decided(account, operation, tunnel, body)
        if isinstance(decided, Refusal):
            return decided
        decision, outgoing = decided
        account.maskers = maskers_for(operation, decision, self._profiles)

        recorded = self._record_decision(account, None)
        if operation.changes:
            await recorded
        credential = await tunnel.target.credentials.issue(operation)
        account.credential = credential.facts
        head = injection.upstream_head(
            request.head,
            operation,
            credential,
            declared=tunnel.target.declared,
            masked=bool(account.maskers),
        )
        upstream, answer = await self._sent(account, tunnel.target, operation, head, outgoing)
        try:
            account.upstream_status = answer.status
            await recorded
            settled = partial(self._settled, account, "completed", None)
            secrets = credential.secrets
            way_out = Release(account, response, upstream, account.maskers, secrets, settled)
            await way_out.run(answer)
        finally:
            upstream.release()
        return None

    def _turned_away(self, tunnel: Tunnel, request: IRequest) -> Refusal | None:
        """Why this request is not even looked at, if there is a reason."""
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
        if tunnel.subject is None or tunnel.subject.expires_at <= self._clock.seconds():
            return Refusal(Denial.TOKEN_REFUSED, "The token has expired.", advice=_FIX_TOKEN)
        return None

    def _named(self, tunnel: Tunnel, head: RequestHead) -> Operation | Refusal:
        """The operation that the call is."""
        spelled = canonical_target(head.target)
        if isinstance(spelled, NotCanonical):
            return Refusal(Denial.MALFORMED, spelled.reason)
        operation = tunnel.target.catalog.operation(
            tunnel.authority, head.method, spelled.path, spelled.query
        )
        if operation is None:
            return Refusal(
                Denial.OPERATION_UNKNOWN,
                f"{head.method} {spelled.path} is no operation known of {tunnel.target.name}.",
            )
        return operation

    async def _decided(
        self, account: Account, operation: Operation, tunnel: Tunnel, body: Witnessed
    ) -> tuple[Decision, IRequest] | Refusal:
        """Policy's permission, and the body to send with it; or why there is none."""
        assert tunnel.subject is not None  # noqa: S101 (`_turned_away` has seen to it)
        outgoing: IRequest = body
        now = self._clock.seconds()
        decision = self._policy.decide(operation, tunnel.subject, now, None)
        if decision is NEEDS_BODY:
            whole = await held(body, REVIEW_BODY)
            if whole is None:
                return Refusal(
                    Denial.BODY_TOO_LARGE, f"A rule reads bodies of up to {REVIEW_BODY} bytes."
                )
            outgoing = whole
            decision = self._policy.decide(operation, tunnel.subject, now, whole.data)
        assert isinstance(decision, Decision)  # noqa: S101 (with a body there is one)
        account.decision = decision
        if decision.effect is Effect.PERMIT:
            return decision, outgoing
        kind = Denial.NEEDS_APPROVAL if decision.effect is Effect.REVIEW else Denial.POLICY
        return Refusal(kind, decision.reason, decision.rule)

    async def _sent(
        self,
        account: Account,
        target: Target,
        operation: Operation,
        head: RequestHead,
        body: IRequest,
    ) -> tuple[IUpstreamConnection, ResponseHead]:
        """Send the request; once, but for a safe one on a kept connection that proves dead."""
        upstream = await target.upstream.connect(fresh=operation.changes)
        account.begun = True
        try:
            return upstream, await upstream.send(head, body)
        except UpstreamUnreachable:
            upstream.release()
            if operation.changes or upstream.fresh or head.length != 0:
                raise
        except BaseException:
            upstream.release()
            raise
        upstream = await target.upstream.connect(fresh=True)
        try:
            return upstream, await upstream.send(head, body)
        except BaseException:
            upstream.release()
            raise

    # --- what is left behind, and what the agent is told

    def _opened(self, tunnel: Tunnel, request: IRequest) -> Account:
        return Account(
            id=self._new_id(),
            session=tunnel.session,
            subject=tunnel.subject,
            head=request.head,
            started=self._clock.seconds(),
            sent=self._witness(),
            released=self._witness(),
        )

    def _witness(self) -> Witness:
        """Its digest is keyed: a plain one of a body with a secret would help to guess it."""
        return Witness(hmac.new(self._site_key, b"jitgate body\0", "sha256"), RECORD_BODY)

    def _record_decision(self, account: Account, refusal: Refusal | None) -> Deferred[None]:
        entry = account.decision_entry(self._clock.seconds(), refusal)
        account.recorded = self._recorder.append(entry)
        return account.recorded

    async def _settled(self, account: Account, outcome: str, refusal: Refusal | None) -> None:
        """Make the outcome durable, and the decision before it if it is not yet on record."""
        recorded = account.recorded or self._record_decision(account, refusal)
        account.request_body = shown_request(account)
        entry = account.outcome_entry(self._clock.seconds(), outcome, refusal)
        settled = self._recorder.append(entry)
        for durable, result in await DeferredList([recorded, settled], consumeErrors=True):
            if not durable:
                cast(Failure, result).raiseException()
        account.settled = True

    def _denied(self, fault: Exception, account: Account | None = None) -> Refusal:
        """The denial that a fault becomes; of one nobody foresaw the agent learns nothing."""
        denial = next((_FAULTS[kind] for kind in type(fault).mro() if kind in _FAULTS), None)
        if denial is None and not isinstance(fault, PeerFault):
            what = account.id if account else "a CONNECT"
            self._log.critical("A fault denied {what}: {how}", what=what, how=traced(fault))
        known = isinstance(fault, JitgateError)
        detail = f"{fault}" if known else "The gateway failed; its log says how."
        if account and account.operation and account.operation.changes and account.begun:
            return Refusal(denial or Denial.FAULT, detail, advice=_LOOK_FIRST)
        return Refusal(denial or Denial.FAULT, detail)

    async def _refuse(
        self, account: Account, tunnel: Tunnel, response: IResponse, refusal: Refusal
    ) -> None:
        """Answer with the refusal once it is on record; where it is too late for that, truncate."""
        outcome = "failed" if account.permitted else "denied"
        if response.started:
            response.truncate()
            outcome = "truncated"
        if refusal.denial is Denial.AGENT_GONE:
            response.truncate()
            outcome = "truncated" if account.answer is not None else "failed"
        head, body = response.render(refusal, account.id, tunnel.target.manner)
        try:
            await self._accounted(account, outcome, refusal, head, body)
        except RecorderDown as down:
            refusal = Refusal(Denial.RECORDER_DOWN, f"{down}", advice=refusal.advice)
            head, body = response.render(refusal, account.id, tunnel.target.manner)
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
            account.answer = head
            account.released = self._witness()
            account.released.saw(body)
        await self._settled(account, outcome, refusal)


def _recorder_down(failure: Failure) -> None:
    failure.trap(RecorderDown)


async def _told(response: IResponse, head: ResponseHead, body: bytes) -> None:
    try:
        await response.start(head)
        await response.write(body)
        await response.finish()
    except AgentGone:
        return  # the refusal is on record, which is what matters
