"""What one exchange leaves behind: the account that becomes its decision and outcome entries."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import unquote_plus

from twisted.internet.defer import Deferred
from zope.interface import implementer

from jitgate.core.fields import is_json
from jitgate.core.json_masking import JsonMasker
from jitgate.core.profiles import SENSITIVE
from jitgate.errors import MaskingFault
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


class Witness:
    """Counts and digests the bytes that pass, and keeps the first ``limit`` of them."""

    def __init__(self, digest: hmac.HMAC, limit: int) -> None:
        self._digest = digest
        self._limit = limit
        self._kept = bytearray()
        self.bytes = 0

    def saw(self, data: bytes) -> None:
        self.bytes += len(data)
        self._digest.update(data)
        room = self._limit - len(self._kept)
        if room > 0:
            self._kept += data[:room]

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    @property
    def body(self) -> Body:
        return Body(bytes(self._kept), self.bytes, complete=self.bytes == len(self._kept))


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


@implementer(IRequest)
class Held:
    """A request port over a body that has been read already."""

    def __init__(self, request: IRequest, data: bytes) -> None:
        self.head: RequestHead = replace(request.head, length=len(data))
        self.hosts: tuple[str, ...] = request.hosts
        self.fault = None
        self.data = data
        self._left = data

    async def read(self) -> bytes:
        data, self._left = self._left, b""
        return data


async def held(request: IRequest, limit: int) -> Held | None:
    """The whole body, read; None if it is longer than ``limit`` bytes."""
    data = bytearray()
    if (request.head.length or 0) > limit:
        return None
    while piece := await request.read():
        data += piece
        if len(data) > limit:
            return None
    return Held(request, bytes(data))


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
    decision: Decision | None = None
    maskers: tuple[IMasker, ...] = ()
    begun: bool = False
    """Whether the target may have seen anything of the request."""
    credential: Mapping[str, object] = field(default_factory=dict)
    upstream_status: int | None = None
    masks: Mapping[str, int] = field(default_factory=dict)
    answer: ResponseHead | None = None
    request_body: Body | None = None
    recorded: Deferred[None] | None = None
    """Fires when the decision is durable; None while there is none to record."""
    settled: bool = False
    """Whether the outcome is on record: there is one for each exchange."""

    @property
    def permitted(self) -> bool:
        return self.decision is not None and self.decision.effect is Effect.PERMIT

    def decision_entry(self, now: float, refusal: Refusal | None) -> Entry:
        """Who asked what, and what policy said; a refusal before policy is a denial as well."""
        fields: dict[str, object] = {
            "exchange": self.id,
            "session": self.session,
            "subject": described(self.subject),
            "operation": _operation(self.operation),
            "request": {"method": self.head.method, "target": shown_target(self.head.target)},
        }
        if self.decision is not None:
            fields |= {
                "effect": self.decision.effect.value,
                "rule": self.decision.rule,
                "reason": self.decision.reason,
                "policy": self.decision.policy,
            }
        else:
            why = "" if refusal is None else refusal.detail
            fields |= {"effect": Effect.DENY.value, "rule": None, "reason": why, "policy": None}
        return Entry("decision", now, fields)

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
        if self.upstream_status is not None:
            fields["upstream"] = {"status": self.upstream_status}
        if self.answer is not None:
            fields["response"] = {"headers": [_text(pair) for pair in self.answer.headers]}
        bodies = {"request": self.request_body, "response": self.released.body}
        kept = {name: body for name, body in bodies.items() if body is not None and body.length}
        return Entry("outcome", now, fields, kept)


def shown_request(account: Account) -> Body | None:
    """The request's body for the record: only where it can be masked, its digest always."""
    body = account.sent.body
    if not body.length or not body.complete or not is_json(account.head.headers):
        return None
    masker = JsonMasker([SENSITIVE, *account.maskers])
    try:
        shown = masker.feed(body.data) + masker.finish()
    except MaskingFault:
        return None
    return Body(shown, len(shown), complete=True)


def shown_target(target: str) -> str:
    """A request target, or a URL, without the values of query parameters that sound secret."""
    path, mark, query = target.partition("?")
    return path + mark + _PARAMETER.sub(_shown_parameter, query)


_PARAMETER = re.compile("([^&;=]*)=([^&;]*)")


def _shown_parameter(parameter: re.Match[str]) -> str:
    name = parameter[1]
    return f"{name}=***" if SENSITIVE.hides(unquote_plus(name)) else parameter[0]


def described(subject: Subject | None) -> dict[str, object] | None:
    """A Subject as it stands in entries."""
    if subject is None:
        return None
    return {
        "issuer": subject.issuer,
        "id": subject.id,
        "groups": sorted(subject.groups),
        "humans": list(subject.humans),
    }


def _operation(operation: Operation | None) -> dict[str, object] | None:
    if operation is None:
        return None
    return {
        "target": operation.target,
        "action": operation.action,
        "resource": dict(operation.resource),
        "method": operation.method,
        "url": shown_target(operation.url),
    }


def _text(pair: tuple[bytes, bytes]) -> list[str]:
    return [part.decode("latin-1") for part in pair]
