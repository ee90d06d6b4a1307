"""What one exchange leaves behind: the account that becomes its decision and outcome entries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jitgate.core.duties import HEAD, keeps_bodies
from jitgate.core.facts import NOTHING_KNOWN, Known
from jitgate.core.hiding import Hand
from jitgate.core.injection import user_agent_token
from jitgate.flow.bodies import HeldBody
from jitgate.flow.recorder import Kept
from jitgate.flow.shown_requests import asked, described, described_operation
from jitgate.flow.timing import Timing
from jitgate.flow.witness import Witness
from jitgate.interfaces import IMasker
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
