"""The nouns of jitgate, all frozen. What is done with them lives in core and flow.

Times are seconds since the Unix epoch, durations are seconds, sizes are bytes. A field that holds a
secret has ``repr=False``.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

Headers = tuple[tuple[bytes, bytes], ...]
"""Header fields in order, names as they were written; compare names in lower case."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods that are understood. TRACE would echo the credential (RFC 9110, section 9.3.8)."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, section 9.2.1)."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An agent's identity as its token proved it; the humans are those it acts for."""

    issuer: str
    id: str
    groups: frozenset[str]
    expires_at: float
    humans: tuple[str, ...] = ()
    session: str | None = None
    """The token's own name for the run (``sid``, else ``jti``)."""


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The head of a request as it was parsed; ``length`` is None where only the end tells it."""

    method: str
    target: str
    headers: Headers
    length: int | None = 0
    expects_continue: bool = False


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """The head of a response; ``length`` is None where only the end of the body tells it."""

    status: int
    headers: Headers
    length: int | None = 0


@dataclass(frozen=True, slots=True)
class Operation:
    """What is asked: the call named in the target's own words, and its one canonical spelling."""

    target: str
    action: str
    resource: Mapping[str, str]
    method: str
    authority: str
    path: str
    query: str = ""
    scopes: tuple[str, ...] = ()
    """What a credential for exactly this operation needs, no more."""
    secrets: frozenset[str] = frozenset()
    """Fields of the response that hold secrets, as the catalog marks them."""

    @property
    def changes(self) -> bool:
        """Whether carrying it out may change something at the target."""
        return self.method not in SAFE_METHODS

    @property
    def url(self) -> str:
        query = f"?{self.query}" if self.query else ""
        return f"https://{self.authority.removesuffix(':443')}{self.path}{query}"


class Effect(enum.Enum):
    """What policy answers; the order is the order in which the answers override each other."""

    PERMIT = "permit"
    REVIEW = "review"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Obligation:
    """A duty tied to a decision. One that the gateway cannot fulfil denies (XACML 3.0, 7.18)."""

    name: str
    value: object


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule's part in a decision."""

    effect: Effect
    reason: str
    obligations: tuple[Obligation, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """Policy's answer for one operation, with the rule that decided and why."""

    effect: Effect
    rule: str
    reason: str
    policy: str
    """The version: a digest over every rule, file and plugin that took part."""
    obligations: tuple[Obligation, ...] = ()

    def obliged(self, name: str) -> tuple[object, ...]:
        """The values of every obligation of that name."""
        return tuple(duty.value for duty in self.obligations if duty.name == name)


class Denial(enum.Enum):
    """The kinds of refusal, by the word that agents, records and docs use."""

    TOKEN_MISSING = "token-missing"
    TOKEN_REFUSED = "token-refused"
    IDENTITY_UNAVAILABLE = "identity-unavailable"
    TARGET_UNKNOWN = "target-unknown"
    HOST_MISMATCH = "host-mismatch"
    MALFORMED = "malformed-request"
    HEAD_TOO_LARGE = "head-too-large"
    BODY_TOO_LARGE = "body-too-large"
    OPERATION_UNKNOWN = "operation-unknown"
    POLICY = "denied-by-policy"
    NEEDS_APPROVAL = "needs-approval"
    UPSTREAM_UNREACHABLE = "upstream-unreachable"
    UPSTREAM_UNTRUSTED = "upstream-untrusted"
    UPSTREAM_MALFORMED = "upstream-malformed"
    RESPONSE_WITHHELD = "response-withheld"
    CREDENTIAL_UNAVAILABLE = "credential-unavailable"
    AGENT_GONE = "agent-gone"
    RECORDER_DOWN = "recorder-down"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A denial as a value: its kind, a sentence for the agent, and what to do next."""

    denial: Denial
    detail: str
    rule: str | None = None
    advice: str = "Do not repeat this call unchanged."


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret issued for one operation: the fields that carry it and every literal to mask."""

    headers: Headers = field(repr=False)
    secrets: tuple[bytes, ...] = field(repr=False)
    facts: Mapping[str, object] = field(default_factory=dict)
    """What a record may say of it: kind, scopes, expiry, keyed fingerprint; never the secret."""


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes kept with an entry. ``data`` is what was kept of ``length`` bytes in all."""

    data: bytes = field(repr=False)
    length: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One element of a recording before it is written; see docs/recording-format.md."""

    type: str
    time: float
    fields: Mapping[str, object]
    bodies: Mapping[str, Body] = field(default_factory=dict)
