"""What one exchange leaves behind: the account that becomes its decision and outcome entries."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from jitgate.core.duties import HEAD, keeps_bodies
from jitgate.core.facts import NOTHING_KNOWN, Known
from jitgate.core.hiding import Hand
from jitgate.core.injection import user_agent_token
from jitgate.core.masking import Maskers
from jitgate.core.media import has_names, masked
from jitgate.core.parameters import BOOLEANS
from jitgate.core.profiles import SENSITIVE, SENSITIVE_IN_QUERIES, MarkedFields
from jitgate.core.tally import (
    ANSWERS,
    DECISIONS,
    EXCHANGE_SECONDS,
    EXCHANGES,
    MASKED,
    PEOPLE_SECONDS,
    REFUSALS,
    RELEASED,
    STAGE_SECONDS,
    Tally,
)
from jitgate.errors import MaskingFault, RecorderDown
from jitgate.flow.admission import Tunnel
from jitgate.flow.bodies import HeldBody
from jitgate.flow.frames import Message
from jitgate.flow.recorder import Kept, Recorder, durable
from jitgate.flow.shown_requests import asked, shown_target
from jitgate.flow.slices import Share, Turn
from jitgate.flow.timing import PARTS, Timing
from jitgate.interfaces import IMasker, IRequest
from jitgate.values import (
    Body,
    Decision,
    Effect,
    Entry,
    Headers,
    Operation,
    Refusal,
    RequestHead,
    ResponseHead,
    Subject,
)

RECORD_BODY = 1024 * 1024
"""Bytes kept of each body for the record; what is longer is digested whole and kept in part."""

SHORT = 200
"""Characters of a request target that takes no time to look at."""

SESSIONS = 1024
"""Sessions for which it is remembered how values are digested; an agent has one at a time."""


LARGE = 4096
"""Bytes of a piece that is kept as it came."""


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

    __slots__ = ("_digest", "_few", "_kept", "_left", "_start", "bytes")

    _digest: hmac.HMAC
    _few: bytearray
    """The last pieces, if they are small: many of those take less room as one."""
    _kept: list[bytes]
    """What came before. A large piece is not copied: it is on its way to somebody as well."""

    def __init__(self, start: Start, limit: int) -> None:
        self._start = start
        self._left = limit
        self.bytes = 0

    def saw(self, data: bytes) -> None:
        if not data:
            return
        if not self.bytes:
            self._digest = self._start.digest.copy()
            self._few, self._kept = bytearray(), []
        self.bytes += len(data)
        self._digest.update(data)
        if self._left:
            self._keep(data[: self._left])

    def _keep(self, piece: bytes) -> None:
        self._left -= len(piece)
        if len(piece) < LARGE:
            self._few += piece
            return
        self._kept += bytes(self._few), piece
        self._few.clear()

    @property
    def digest(self) -> str:
        return self._digest.hexdigest() if self.bytes else self._start.hex

    @property
    def body(self) -> Body:
        kept = b"".join([*self._kept, self._few]) if self.bytes else b""
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
    timing: Timing
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
    sent_fields: Sequence[Sequence[str]] | None = None
    """The fields of the request as it was sent, with what is secret masked."""
    requests: int = 0
    """Of how many requests the target may have seen something: a safe call can take two."""
    credential: Mapping[str, object] = field(default_factory=dict)
    upstream_status: int | None = None
    passes: bool = False
    """Whether what cannot be looked at of the response holds no secret, as its profiles say."""
    hand: Hand = field(default_factory=Hand)
    """Shows what is hidden in the response, and knows what was."""
    masks: Mapping[str, int] = field(default_factory=dict)
    outgoing: tuple[IMasker, ...] = ()
    """Those that have looked at the request, or look at what is said in its WebSocket."""
    outgoing_passes: bool = False
    """Whether what they cannot look at holds no secret."""
    outgoing_hand: Hand = field(default_factory=Hand)
    """Shows what is hidden in the request, and knows what was."""
    looks: int = 0
    """How often the request was looked at for that."""
    answer: ResponseHead | None = None
    trailers: Headers = ()
    """Those of the response, as the agent gets them."""
    request_body: Body | None = None
    """What is kept of the request's body, and of the response's, for the record."""
    response_body: Body | None = None
    recorded: Kept | None = None
    """Fires when the decision is durable; None while there is none to record."""
    held: HeldBody | None = None
    """The body, where it is held."""
    asked_at: float | None = None
    """When people were first asked for it."""
    grant: str | None = None
    """The grant under which it goes."""
    access_request: str | None = None
    """The access request that it waited for, or was told of."""
    budgets: tuple[str, ...] = ()
    """The rules in whose budgets it is counted."""
    messages: Counter[str] = field(default_factory=Counter)
    """Of a WebSocket, how many each side has said; each of them is on record by itself."""
    close: Mapping[str, object] | None = None
    """Of a WebSocket, how it ended."""
    near: str | None = None
    """The host of the gateway's own that the agent calls in the target's place."""
    settled: bool = False
    """Whether the outcome is on record: there is one for each exchange."""
    outcome: str = "failed"
    """What it has come to, and why it was refused, if it was."""
    denial: str | None = None

    def joined(self, access_request: str) -> None:
        """It waits for this one."""
        self.access_request = access_request

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
            "operation": described_operation(self.operation, self.maskers),
            "request": asked(self.head, self.maskers),
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
        fields: dict[str, Any] = {
            "exchange": self.id,
            "session": self.session,
            "status": None if self.answer is None else self.answer.status,
            "outcome": outcome,
            "masks": dict(self.masks),
            "request": self._request(),
            "released": {"bytes": self.released.bytes, "hmac": self.released.digest},
            **self.timing.told(),
        }
        if refusal is not None:
            fields |= {"denial": refusal.denial.value, "why": refusal.detail}
        if self.hand.hits:
            fields["masked"] = [
                {"path": hit.path, "rule": hit.rule, "hmac": hit.digest} for hit in self.hand.hits
            ]
        fields |= self._went_by()
        if self.upstream_status is not None:
            fields["upstream"] = {"status": self.upstream_status}
        if self.answer is not None:
            fields["response"] = {"headers": _written(self.answer.headers)}
            if self.trailers:
                fields["response"]["trailers"] = _written(self.trailers)
        fields |= self._of_messages()
        if not self.keeps_bodies:
            return Entry("outcome", now, {**fields, "record": HEAD})
        return Entry("outcome", now, fields, self._bodies())

    def _request(self) -> dict[str, object]:
        """What was sent: the head only if the target may have seen it."""
        body: dict[str, object] = {"bytes": self.sent.bytes, "hmac": self.sent.digest}
        hand = self.outgoing_hand
        if hand.counts:
            body["masks"] = dict(hand.counts)
            body["masked"] = [
                {"path": hit.path, "rule": hit.rule, "hmac": hit.digest} for hit in hand.hits
            ]
        return {**body, "headers": self.sent_fields} if self.begun else body

    def _went_by(self) -> dict[str, object]:
        """By what leave it went, and how it is found at the target."""
        told: dict[str, object] = {}
        if self.credential:
            told["credential"] = dict(self.credential)
        if self.access_request is not None:
            told["access_request"] = self.access_request
        if self.grant is not None:
            told["grant"] = self.grant
        if self.budgets:
            told["budgets"] = list(self.budgets)
        if self.begun:
            sent = range(1, self.requests + 1)
            told["user_agent_tokens"] = [user_agent_token(self.id, each) for each in sent]
        return told

    def _of_messages(self) -> dict[str, object]:
        """What is said of a WebSocket as a whole."""
        said: dict[str, object] = {"messages": dict(self.messages)} if self.messages else {}
        return said if self.close is None else {**said, "close": dict(self.close)}

    @property
    def keeps_bodies(self) -> bool:
        """Whether bodies are kept for the record, as the rules say."""
        return self.decision is None or keeps_bodies(self.decision)

    def _bodies(self) -> dict[str, Body]:
        """What is kept of the bodies."""
        bodies: dict[str, Body] = {}
        if self.messages:
            return bodies
        if self.request_body is not None and self.request_body.length:
            bodies["request"] = self.request_body
        if self.response_body is not None and self.response_body.length:
            bodies["response"] = self.response_body
        return bodies


def _written(fields: Headers) -> list[list[str]]:
    """Fields as they stand in entries: whatever bytes there are have a letter each."""
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in fields]


class Accounts:
    """Opens an account for each exchange, and puts its entries on record.

    ``elapsed`` gives seconds by a clock that nobody sets; without it the one of the entries' times.
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        clock: IReactorTime,
        new_id: Callable[[], str],
        site_key: bytes,
        turn: Turn,
        tally: Tally,
        elapsed: Callable[[], float] | None = None,
    ) -> None:
        self.tally = tally
        self._timers = {part: tally.timer(STAGE_SECONDS, part) for part in PARTS}
        self._timers["people"] = tally.timer(PEOPLE_SECONDS)
        self._recorder = recorder
        self._clock = clock
        self._elapsed = elapsed or clock.seconds
        self._new_id = new_id
        self._site_key = site_key
        self.turn = turn
        self._start = Start(hmac.new(site_key, b"jitgate body\0", "sha256"))

    def opened(self, tunnel: Tunnel, request: IRequest) -> Account:
        """The account of an exchange that begins."""
        return Account(
            id=self._new_id(),
            session=tunnel.session,
            subject=tunnel.subject,
            head=request.head,
            timing=Timing(self._elapsed),
            sent=self.witness(),
            released=self.witness(),
            hand=hand_of(self._site_key, tunnel.session),
            outgoing_hand=hand_of(self._site_key, ""),  # or each session would send another
            near=tunnel.near,
        )

    def counted(self, account: Account) -> None:
        """The exchange has ended: it counts, once."""
        add, target = self.tally.add, _target(account)
        effect = "none" if account.decision is None else account.decision.effect.value
        add(EXCHANGES, target, effect, account.outcome)
        if account.denial is not None:
            add(REFUSALS, target, account.denial)
        if account.upstream_status is not None:
            add(ANSWERS, target, f"{account.upstream_status // 100}xx")
        for what, count in account.masks.items():
            add(MASKED, target, what if what == "credential" else "value", by=count)
        if account.released.bytes:
            add(RELEASED, target, by=account.released.bytes)
        self.tally.took(EXCHANGE_SECONDS, account.timing.seconds(), effect)
        for part, seconds in account.timing.parts().items():
            self._timers[part](seconds)

    def token_print(self, token: str) -> str:
        """By it the entries about one token are found, also where nobody asked whose it is."""
        data = b"jitgate token\0" + token.encode("utf-8", "surrogatepass")
        return hmac.digest(self._site_key, data, "sha256").hex()

    def witness(self, keeps: int = RECORD_BODY) -> Witness:
        """Its digest is keyed: a plain one of a body with a secret would help to guess it."""
        return Witness(self._start, keeps)

    def said(self, account: Account, message: Message, body: Body | None, *, by: str) -> Kept:
        """Record a message as it goes on; fires when it is durable.

        Args:
            account: Whose WebSocket it is; it counts and digests its messages.
            message: As it goes on.
            body: What of it is kept.
            by: ``agent`` or ``target``.
        """
        witness = account.released if by == "target" else account.sent
        witness.saw(message.data)
        own = self.witness(0)
        own.saw(message.data)
        account.messages[by] += 1
        fields: dict[str, object] = {
            "exchange": account.id,
            "session": account.session,
            "by": by,
            "number": account.messages[by],
            "kind": "text" if message.is_text else "binary",
            "bytes": own.bytes,
            "hmac": own.digest,
        }
        bodies = {} if body is None else {"message": body}
        return self._recorder.append(Entry("message", self._clock.seconds(), fields, bodies))

    async def looked(self, account: Account) -> None:
        """Have found what is shown of its URL, and let others have their turn meanwhile.

        It is remembered for the entries that tell it, which keep everybody waiting.
        """
        if len(account.head.target) <= SHORT:
            return
        for url in _urls(account):
            await Share(self.turn).done(partial(shown_target, url, account.maskers))

    def decided(self, account: Account, refusal: Refusal | None = None) -> Kept:
        """Record the decision, best once it is `looked` at; fires when it is durable."""
        entry = account.decision_entry(self._clock.seconds(), refusal)
        said = account.decision
        if said is not None:
            self.tally.add(DECISIONS, _target(account), said.effect.value, said.rule)
        account.shown = account.known
        account.recorded = self._recorder.append(entry)
        return account.recorded

    async def durably_decided(self, account: Account) -> None:
        """Record the decision; returns when it is durable."""
        await self.looked(account)
        await self.decided(account)

    async def settled(self, account: Account, outcome: str, refusal: Refusal | None) -> None:
        """Make the outcome durable, and the decision before it if it is not yet on record."""
        account.outcome = outcome
        account.denial = None if refusal is None else refusal.denial.value
        if account.recorded is None:
            await self.looked(account)
        recorded = account.recorded or self.decided(account, refusal)
        if refusal is None and recorded.called:
            await recorded  # if it is lost nothing is released, so that nothing was completed
        account.request_body = await shown_request(account, self.turn)
        account.response_body = await _shown_response(account, self.turn)
        entry = account.outcome_entry(self._clock.seconds(), outcome, refusal)
        account.settled = True  # also if this is cancelled: there is one outcome
        try:
            await durable([recorded, self._recorder.append(entry)])
        except RecorderDown:
            account.settled = False
            raise


def _urls(account: Account) -> Sequence[str]:
    """What entries tell of: mostly with the same query."""
    asked_for = account.head.target
    return [asked_for] if account.operation is None else [asked_for, account.operation.url]


def _target(account: Account) -> str:
    return "" if account.operation is None else account.operation.target


def hand_of(site_key: bytes, session: str) -> Hand:
    """What shows values that are hidden from one session; its digests tell other ones nothing."""
    keyed = partial(_keyed, site_key)
    return Hand(keyed(b"jitgate masked\0"), keyed(b"jitgate session\0", session))


@lru_cache(maxsize=SESSIONS)
def _keyed(site_key: bytes, use: bytes, session: str = "") -> Callable[[bytes], str]:
    """Digests values for one use."""
    of = len(session).to_bytes(4) + session.encode() if session else b""
    return lambda value: hmac.digest(site_key, use + of + value, "sha256").hex()


async def shown_request(account: Account, turn: Turn) -> Body | None:
    """The request's body for people: only where it can be masked, its digest always."""
    if not account.sent.bytes:
        return None
    body = account.sent.body
    if not body.complete:
        return None
    headers = account.head.headers
    try:
        if not has_names(headers):  # that nobody finds anything does not say that it is none
            return None
    except MaskingFault:
        return None
    return await masked_body(headers, body.data, [SENSITIVE, *account.maskers], turn)


async def _shown_response(account: Account, turn: Turn) -> Body | None:
    """The response's body: as released, but for what the catalog marks as secret.

    An agent may be let see such a value; in the record it would outlive it, and be seen by
    others.
    """
    body, operation = account.released.body, account.operation
    if operation is None or not operation.secrets or account.answer is None:
        return body
    if any(isinstance(masker, MarkedFields) for masker in account.maskers):
        return body
    if not body.complete:
        return None
    marked = [MarkedFields(operation.secrets)]
    return await masked_body(account.answer.headers, body.data, marked, turn)


async def masked_body(
    headers: Headers, data: bytes, maskers: Sequence[IMasker], turn: Turn
) -> Body | None:
    """A body without what the maskers hide; None where it cannot be looked at."""
    work = partial(masked, headers, data, Maskers(maskers, Hand(openly=True)))
    try:
        shown = await Share(turn).done(work)
    except MaskingFault:
        return None
    return Body(shown, len(shown), complete=True)


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


def described_operation(
    operation: Operation | None, maskers: Sequence[IMasker] = ()
) -> dict[str, object] | None:
    """An Operation as it stands in entries; its URL without what the maskers hide."""
    if operation is None:
        return None
    return {
        "target": operation.target,
        "action": operation.action,
        "resource": dict(operation.resource),
        "method": operation.method,
        "url": shown_target(operation.url, maskers),
        "risk": None if operation.risk is None else operation.risk.value,
        "parameters": shown_parameters(operation),
    }


def shown_parameters(operation: Operation) -> dict[str, str]:
    """The operation's parameters without the values of those that sound secret.

    ``oauthTokens=true`` says what is asked, and holds nothing.
    """
    return {
        name: "***" if SENSITIVE_IN_QUERIES.hides(name) and value not in BOOLEANS else value
        for name, value in operation.parameters.items()
    }
