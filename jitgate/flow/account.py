"""What one exchange leaves behind: the account that becomes its decision and outcome entries."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from jitgate.core.duties import HEAD, keeps_bodies
from jitgate.core.facts import NOTHING_KNOWN, Known
from jitgate.core.fields import is_form, is_json
from jitgate.core.injection import user_agent_token
from jitgate.core.json_masking import JsonMasker
from jitgate.core.parameters import BOOLEANS
from jitgate.core.profiles import SENSITIVE, MarkedFields
from jitgate.errors import MaskingFault, RecorderDown
from jitgate.flow.admission import Tunnel
from jitgate.flow.bodies import HeldBody
from jitgate.flow.recorder import Kept, Recorder, durable
from jitgate.interfaces import IMasker, IRequest
from jitgate.values import (
    Body,
    Decision,
    Effect,
    Entry,
    Operation,
    Refusal,
    RequestHead,
    ResponseHead,
    Subject,
)

RECORD_BODY = 1024 * 1024
"""Bytes kept of each body for the record; what is longer is digested whole and kept in part."""


class Start:
    """A digest that has seen no body yet, and how it reads."""

    def __init__(self, digest: hmac.HMAC) -> None:
        self.digest = digest
        self.hex = digest.hexdigest()


class Witness:
    """Counts and digests the bytes that pass, and keeps the first ``limit`` of them.

    The digest goes on from ``start``, which stays as it is. Most requests have no body: what is
    for bytes alone is made when the first come.
    """

    __slots__ = ("_digest", "_kept", "_limit", "_start", "bytes")

    _digest: hmac.HMAC
    _kept: bytearray

    def __init__(self, start: Start, limit: int) -> None:
        self._start = start
        self._limit = limit
        self.bytes = 0

    def saw(self, data: bytes) -> None:
        if not data:
            return
        if not self.bytes:
            self._digest, self._kept = self._start.digest.copy(), bytearray()
        self.bytes += len(data)
        self._digest.update(data)
        room = self._limit - len(self._kept)
        if room > 0:
            self._kept += data[:room]

    @property
    def digest(self) -> str:
        return self._digest.hexdigest() if self.bytes else self._start.hex

    @property
    def body(self) -> Body:
        kept = bytes(self._kept) if self.bytes else b""
        return Body(kept, self.bytes, complete=self.bytes == len(kept))


@implementer(IRequest)
class Witnessed:
    """A request port whose bytes are witnessed as they are read."""

    def __init__(self, request: IRequest, witness: Witness) -> None:
        self._request = request
        self._witness = witness
        self.head: RequestHead = request.head
        self.hosts: tuple[str, ...] = request.hosts
        self.fault = request.fault

    async def read(self) -> bytes:
        data = await self._request.read()
        self._witness.saw(data)
        return data


@dataclass(slots=True)
class Account:
    """One exchange's facts as they become known. Secrets never enter it."""

    id: str
    session: str
    subject: Subject | None
    head: RequestHead
    started: float
    sent: Witness
    released: Witness
    operation: Operation | None = None
    policy: str | None = None
    """The version of the policy that was asked; None: it was refused before."""
    decision: Decision | None = None
    known: Known = NOTHING_KNOWN
    """The facts by which the decision was made."""
    shown: Known = NOTHING_KNOWN
    """Those that are on record."""
    maskers: tuple[IMasker, ...] = ()
    requests: int = 0
    """Of how many requests the target may have seen something: a safe call can take two."""
    credential: Mapping[str, object] = field(default_factory=dict)
    upstream_status: int | None = None
    masks: Mapping[str, int] = field(default_factory=dict)
    answer: ResponseHead | None = None
    request_body: Body | None = None
    recorded: Kept | None = None
    """Fires when the decision is durable; None while there is none to record."""
    held: HeldBody | None = None
    """The body, where it is held."""
    asked_at: float | None = None
    """When people were first asked for it."""
    grant: str | None = None
    """The grant under which it goes."""
    budgets: tuple[str, ...] = ()
    """The rules in whose budgets it is counted."""
    settled: bool = False
    """Whether the outcome is on record: there is one for each exchange."""

    @property
    def begun(self) -> bool:
        """Whether the target may have seen anything of the request."""
        return self.requests > 0

    @property
    def next_token(self) -> str:
        """What the next request is to the target's own log."""
        return user_agent_token(self.id, self.requests + 1)

    @property
    def permitted(self) -> bool:
        by_policy = self.decision is not None and self.decision.effect is Effect.PERMIT
        return by_policy or self.grant is not None

    def decision_entry(self, now: float, refusal: Refusal | None) -> Entry:
        """Who asked what, and what policy said; a refusal before policy is a denial as well."""
        said, why = self.decision, "" if refusal is None else refusal.detail
        fields: dict[str, object] = {
            "exchange": self.id,
            "session": self.session,
            "subject": described(self.subject),
            "operation": described_operation(self.operation),
            "request": {"method": self.head.method, "target": shown_target(self.head.target)},
            "effect": Effect.DENY.value if said is None else said.effect.value,
            "rule": self._asked_rule(refusal) if said is None else said.rule,
            "reason": why if said is None else said.reason,
            "policy": self.policy if said is None else said.policy,
        }
        if said is not None and said.observed:
            fields["observed"] = [
                {
                    "rule": rule,
                    "effect": None if each.effect is None else each.effect.value,
                    "reason": each.reason,
                }
                for rule, each in said.observed
            ]
        if self.known is not NOTHING_KNOWN:
            fields["facts"] = self.known.described(now)
        return Entry("decision", now, fields)

    def _asked_rule(self, refusal: Refusal | None) -> str | None:
        """The rule whose fault it was that policy could not decide."""
        return None if refusal is None or self.policy is None else refusal.rule

    def outcome_entry(self, now: float, outcome: str, refusal: Refusal | None) -> Entry:
        """What came of it: ``completed``, ``denied``, ``failed`` or ``truncated``, and why."""
        fields: dict[str, object] = {
            "exchange": self.id,
            "session": self.session,
            "status": None if self.answer is None else self.answer.status,
            "outcome": outcome,
            "masks": dict(self.masks),
            "request": {"bytes": self.sent.bytes, "hmac": self.sent.digest},
            "released": {"bytes": self.released.bytes, "hmac": self.released.digest},
            "seconds": round(now - self.started, 6),
        }
        if refusal is not None:
            fields |= {"denial": refusal.denial.value, "why": refusal.detail}
        if self.credential:
            fields["credential"] = dict(self.credential)
        if self.grant is not None:
            fields["grant"] = self.grant
        if self.budgets:
            fields["budgets"] = list(self.budgets)
        if self.begun:
            sent = range(1, self.requests + 1)
            fields["user_agent_tokens"] = [user_agent_token(self.id, each) for each in sent]
        if self.upstream_status is not None:
            fields["upstream"] = {"status": self.upstream_status}
        if self.answer is not None:
            fields["response"] = {
                "headers": [
                    [name.decode("latin-1"), value.decode("latin-1")]
                    for name, value in self.answer.headers
                ]
            }
        if self.decision is not None and not keeps_bodies(self.decision):
            return Entry("outcome", now, {**fields, "record": HEAD})
        return Entry("outcome", now, fields, self._bodies())

    def _bodies(self) -> dict[str, Body]:
        """What is kept of the bodies."""
        bodies: dict[str, Body] = {}
        if self.request_body is not None and self.request_body.length:
            bodies["request"] = self.request_body
        if self.released.bytes and (response := shown_response(self)) is not None:
            bodies["response"] = response
        return bodies


class Accounts:
    """Opens an account for each exchange, and puts its entries on record."""

    def __init__(
        self,
        recorder: Recorder,
        *,
        clock: IReactorTime,
        new_id: Callable[[], str],
        site_key: bytes,
    ) -> None:
        self._recorder = recorder
        self._clock = clock
        self._new_id = new_id
        self._start = Start(hmac.new(site_key, b"jitgate body\0", "sha256"))

    def opened(self, tunnel: Tunnel, request: IRequest) -> Account:
        """The account of an exchange that begins."""
        return Account(
            id=self._new_id(),
            session=tunnel.session,
            subject=tunnel.subject,
            head=request.head,
            started=self._clock.seconds(),
            sent=self.witness(),
            released=self.witness(),
        )

    def witness(self) -> Witness:
        """Its digest is keyed: a plain one of a body with a secret would help to guess it."""
        return Witness(self._start, RECORD_BODY)

    def decided(self, account: Account, refusal: Refusal | None = None) -> Kept:
        """Record the decision; fires when it is durable."""
        entry = account.decision_entry(self._clock.seconds(), refusal)
        account.shown = account.known
        account.recorded = self._recorder.append(entry)
        return account.recorded

    async def settled(self, account: Account, outcome: str, refusal: Refusal | None) -> None:
        """Make the outcome durable, and the decision before it if it is not yet on record."""
        account.settled = True  # also if this is cancelled: there is one outcome
        try:
            recorded = account.recorded or self.decided(account, refusal)
            if refusal is None and recorded.called:
                await recorded  # if it is lost nothing is released, so that nothing was completed
            account.request_body = shown_request(account)
            entry = account.outcome_entry(self._clock.seconds(), outcome, refusal)
            await durable([recorded, self._recorder.append(entry)])
        except RecorderDown:
            account.settled = False
            raise


def shown_request(account: Account) -> Body | None:
    """The request's body for the record: only where it can be masked, its digest always."""
    if not account.sent.bytes:
        return None
    body = account.sent.body
    if not body.complete:
        return None
    if is_form(account.head.headers):
        shown = shown_form(body.data)
        return Body(shown, len(shown), complete=True)
    if not is_json(account.head.headers):
        return None
    return _masked(body.data, [SENSITIVE, *account.maskers])


def shown_response(account: Account) -> Body | None:
    """The response's body for the record: as released, but for what the catalog marks as secret.

    An agent may be let see such a value; in the record it would outlive it, and be seen by others.
    """
    body, operation = account.released.body, account.operation
    if operation is None or not operation.secrets or account.answer is None:
        return body
    if any(isinstance(masker, MarkedFields) for masker in account.maskers):
        return body
    if not body.complete or not is_json(account.answer.headers):
        return None
    return _masked(body.data, [MarkedFields(operation.secrets)])


def _masked(data: bytes, maskers: Sequence[IMasker]) -> Body | None:
    """JSON without what the maskers hide; None where it cannot be looked at."""
    masker = JsonMasker(maskers, openly=True)
    try:
        shown = masker.feed(data) + masker.finish()
    except MaskingFault:
        return None
    return Body(shown, len(shown), complete=True)


def shown_target(target: str) -> str:
    """A request target, or a URL, without the values of query parameters that sound secret."""
    path, mark, query = target.partition("?")
    return f"{path}?{_shown_parameters(query)}" if mark else target


def shown_form(data: bytes) -> bytes:
    """A form (application/x-www-form-urlencoded) without the values that sound secret."""
    return _shown_parameters(data.decode("utf-8", "replace")).encode()


_SEPARATOR = re.compile("([&;])")


def _shown_parameters(text: str) -> str:
    return "".join(_shown_parameter(part) for part in _SEPARATOR.split(text))


def _shown_parameter(part: str) -> str:
    name, mark, _ = part.partition("=")
    return f"{name}=***" if mark and SENSITIVE.hides(unquote_plus(name)) else part


def described(subject: Subject | None) -> dict[str, object] | None:
    """A Subject as it stands in entries."""
    if subject is None:
        return None
    return {
        "issuer": subject.issuer,
        "id": subject.id,
        "groups": sorted(subject.groups),
        "humans": list(subject.humans),
        **({} if subject.agent is None else {"agent": subject.agent}),
        **({} if subject.binding is None else {"token": subject.binding.id}),
    }


def described_operation(operation: Operation | None) -> dict[str, object] | None:
    """An Operation as it stands in entries."""
    if operation is None:
        return None
    return {
        "target": operation.target,
        "action": operation.action,
        "resource": dict(operation.resource),
        "method": operation.method,
        "url": shown_target(operation.url),
        "risk": None if operation.risk is None else operation.risk.value,
        "parameters": shown_parameters(operation),
    }


def shown_parameters(operation: Operation) -> dict[str, str]:
    """The operation's parameters without the values of those that sound secret.

    ``oauthTokens=true`` says what is asked, and holds nothing.
    """
    return {
        name: "***" if SENSITIVE.hides(name) and value not in BOOLEANS else value
        for name, value in operation.parameters.items()
    }
