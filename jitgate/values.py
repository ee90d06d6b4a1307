"""The nouns of jitgate, all frozen. What is done with them lives in core and flow.

Times are seconds since the Unix epoch, durations are seconds, sizes are bytes. A field that holds a
secret has ``repr=False``.

Long, because it is one list: the words of the project, each with what it holds, in the order in
which a request meets them.
"""

from __future__ import annotations

import enum
import functools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Self, TypeVar, TypeVarTuple

_Given = TypeVarTuple("_Given")
_Told = TypeVar("_Told")

Headers = tuple[tuple[bytes, bytes], ...]
"""Header fields in order, names as they were written; compare names in lower case."""


class Fields(tuple[tuple[bytes, bytes], ...]):  # noqa: SLOT001 (a tuple has no room for slots)
    """Header fields that know their names, which are looked at again and again.

    Equal to the same fields that do not; made once, where they are read.
    """

    names: tuple[bytes, ...]
    """In lower case, in order."""
    repeats: bool
    """Whether a name stands more than once."""
    _last: Mapping[bytes, tuple[bytes, bytes]]
    """By each name the last field of it."""
    _told: dict[tuple[object, ...], Any] | None = None
    """What has been asked of them, and the answers, once they have come again."""

    def __new__(cls, fields: Iterable[tuple[bytes, bytes]]) -> Self:
        self = super().__new__(cls, fields)
        self.names = tuple([name.lower() for name, _ in self])
        self._last = dict(zip(self.names, self, strict=True))
        self.repeats = len(self._last) < len(self)
        return self

    def __repr__(self) -> str:
        return f"Fields({shown_names(self)})"

    def values_of(self, name: bytes) -> list[bytes]:
        """The values of every field of that name; ``name`` is in lower case."""
        last = self._last.get(name)
        if last is None:
            return []
        if not self.repeats:
            return [last[1]]
        return [value for each, (_, value) in zip(self.names, self, strict=True) if each == name]

    def come_again(self) -> None:
        """They are said once more: what is asked of them from now on is asked `once`."""
        if self._told is None:
            self._told = {}

    def once(self, ask: Callable[[Headers, *_Given], _Told], *given: *_Given) -> _Told:
        """What a pure function tells of them, which is remembered of those that come again.

        What is ``given`` to it beside them is of few kinds, for each answer is kept with them.
        """
        if self._told is None:
            return ask(self, *given)
        asked = ask, *given
        if asked not in self._told:
            self._told[asked] = ask(self, *given)
        told: _Told = self._told[asked]
        return told


METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods that are understood. TRACE would echo the credential (RFC 9110, section 9.3.8)."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, section 9.2.1)."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What a token of the gateway's own is bound to, beside its subject."""

    id: str
    """The token's own (``jti``)."""
    target: str | None = None
    """None: it is for whatever its subject may do."""
    action: str = ""
    resource: Mapping[str, str] = field(default_factory=dict)
    once: bool = False
    """Whether it carries one call alone."""
    grant: str | None = None
    """The grant that people gave for it, ahead of the call."""


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
    agent: str | None = None
    """The program, where the token tells it from whom it acts for: then ``id`` is theirs."""
    issued_at: float = 0.0
    """When the token was made; 0 where it does not say."""
    binding: Binding | None = None
    """Where it was proved by a token of the gateway's own."""

    @property
    def key(self) -> str:
        """Who it is to an AccessRequest or a Grant.

        The same agent acting for other humans is another: those who ask must not be those who
        approve. So is another agent that acts for the same human.
        """
        return _key(self.issuer, self.id, self.humans, self.agent)


@functools.lru_cache(maxsize=4096)
def _key(issuer: str, subject: str, humans: tuple[str, ...], agent: str | None) -> str:
    """Kept, since a tunnel and each request in it ask for it, and those of one agent are alike."""
    return json.dumps([issuer, subject, sorted(humans), agent])


def shown_names(headers: Headers) -> str:
    """Header fields as they may be shown: their names alone, since any value may be a secret."""
    return ", ".join([name.decode("ascii", "backslashreplace") for name, _ in headers])


class RequestHead(NamedTuple):
    """The head of a request as it was parsed; ``length`` is None where only the end tells it."""

    method: str
    target: str
    headers: Headers
    length: int | None = 0
    expects_continue: bool = False
    websocket: bool = False
    """Whether it opens a WebSocket (RFC 6455, section 4)."""

    def __repr__(self) -> str:
        """Without what may be secret: a credential stands in a field, or in the query."""
        path, asks, _ = self.target.partition("?")
        said = (self.method, f"{path}{asks}", shown_names(self.headers), self.length)
        return f"RequestHead{said!r}"


class ResponseHead(NamedTuple):
    """The head of a response; ``length`` is None where only the end of the body tells it."""

    status: int
    headers: Headers
    length: int | None = 0

    def __repr__(self) -> str:
        return f"ResponseHead{(self.status, shown_names(self.headers), self.length)!r}"


class Risk(enum.Enum):
    """What an operation can do to whom the target belongs to, from the least to the most."""

    READ = "read"
    WRITE = "write"
    PRIVILEGED = "privileged"
    """It gives or takes power: roles, keys, factors, policies, where tokens come from."""
    DESTRUCTIVE = "destructive"
    """What it takes away cannot simply be given back."""


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
    risk: Risk | None = None
    """None: no catalog says."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Those that change what it means, decoded, with the target's defaults for those left out."""
    in_body: tuple[str, ...] = ()
    """Members of the body that are such parameters too, once it has been read."""
    json: bool = False
    """Whether its body is JSON, as the catalog says."""
    by_name: bool = False
    """Whether only a rule that names its action, without a wildcard, may let it pass."""
    opens: tuple[str, ...] | None = None
    """Where it opens a WebSocket, the subprotocols that are offered; None: it opens none."""

    @property
    def changes(self) -> bool:
        """Whether carrying it out may change something at the target."""
        return self.method not in SAFE_METHODS or self.opens is not None

    @property
    def url(self) -> str:
        query = f"?{self.query}" if self.query else ""
        path = "" if self.path == "*" else self.path  # of OPTIONS (RFC 9112, section 3.3)
        return f"https://{self.authority.removesuffix(':443')}{path}{query}"


@dataclass(frozen=True, slots=True)
class NotCanonical:
    """Why a call that has more than one reading is refused: a sentence that holds nothing of it."""

    reason: str


class Effect(enum.Enum):
    """What policy answers; the order is the order in which the answers override each other."""

    PERMIT = "permit"
    REVIEW = "review"
    DENY = "deny"


Facts = Mapping[str, Mapping[str, object]]
"""What is known from outside, by the names of those who gathered it; JSON's types."""

NO_FACTS: Facts = MappingProxyType({})


class Inquiry(NamedTuple):
    """What policy is asked: who wants what, when, and what else is known."""

    operation: Operation
    subject: Subject
    now: float
    body: bytes | None = None
    """The whole body; None while it has not been read."""
    is_json: bool = False
    """Whether the request says of its body that it is JSON."""
    facts: Facts = NO_FACTS


@dataclass(frozen=True, slots=True)
class Obligation:
    """A duty tied to a decision. One that the gateway cannot fulfil denies (XACML 3.0, 7.18)."""

    name: str
    value: object


class Per(enum.Enum):
    """What a budget counts apart from each other."""

    SUBJECT = "subject"
    """Each Subject, by issuer and id, whatever program brings its token and whoever it acts for."""
    AGENT = "agent"
    """Each program: the one that the token names beside the Subject, else the Subject itself."""
    TARGET = "target"
    ALL = "all"
    """Nothing: all calls together."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How many calls a rule lets pass, or sends to people, in any window of so many seconds."""

    rule: str
    """Counted under this name: budgets of one rule that count the same apart share a count."""
    uses: int
    within: float
    per: Per = Per.SUBJECT


class Charge(NamedTuple):
    """What one call takes of one budget: a use of the count that ``key`` names."""

    key: str
    uses: int
    within: float


class Spent(NamedTuple):
    """A budget without room."""

    charge: Charge
    until: float
    """When there is room in it again, unless others take that first."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule's part in a decision."""

    effect: Effect
    reason: str
    obligations: tuple[Obligation, ...] = ()


@dataclass(frozen=True, slots=True)
class Unevaluated:
    """What a condition answers that cannot be told; the reason holds no value of the call."""

    reason: str


@dataclass(frozen=True, slots=True)
class Undecided:
    """What a rule answers that would permit, and lacks what it needs to know: it cannot permit."""

    reason: str


@dataclass(frozen=True, slots=True)
class Observed:
    """What a rule that is only tried out would have answered; no effect: that it could not tell."""

    effect: Effect | None
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Policy's answer for one operation, with the rule that decided and why."""

    effect: Effect
    rule: str
    reason: str
    policy: str
    """The version: a digest over every rule, file and plugin that took part."""
    obligations: tuple[Obligation, ...] = ()
    observed: tuple[tuple[str, Observed], ...] = ()
    """What rules that are only tried out would have answered, by their names."""
    _names: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_names", frozenset([duty.name for duty in self.obligations]))

    def obliged(self, name: str) -> tuple[object, ...]:
        """The values of every obligation of that name."""
        if name not in self._names:
            return ()
        return tuple([duty.value for duty in self.obligations if duty.name == name])


class Denial(enum.Enum):
    """The kinds of refusal, by the word that agents, records and docs use."""

    TOKEN_MISSING = "token-missing"
    TOKEN_REFUSED = "token-refused"
    TOKEN_OUT_OF_SCOPE = "token-out-of-scope"
    IDENTITY_UNAVAILABLE = "identity-unavailable"
    TARGET_UNKNOWN = "target-unknown"
    HOST_MISMATCH = "host-mismatch"
    MALFORMED = "malformed-request"
    HEAD_TOO_LARGE = "head-too-large"
    BODY_TOO_LARGE = "body-too-large"
    OPERATION_UNKNOWN = "operation-unknown"
    POLICY = "denied-by-policy"
    BUDGET_SPENT = "budget-spent"
    NEEDS_APPROVAL = "needs-approval"
    APPROVAL_PENDING = "approval-pending"
    APPROVAL_DENIED = "approval-denied"
    APPROVAL_EXPIRED = "approval-expired"
    APPROVAL_WITHDRAWN = "approval-withdrawn"
    APPROVAL_USED = "approval-used"
    GRANT_REVOKED = "grant-revoked"
    APPROVERS_UNREACHABLE = "approvers-unreachable"
    OVERLOADED = "overloaded"
    TARGET_BUSY = "target-busy"
    UPSTREAM_UNREACHABLE = "upstream-unreachable"
    UPSTREAM_UNTRUSTED = "upstream-untrusted"
    UPSTREAM_MALFORMED = "upstream-malformed"
    RESPONSE_WITHHELD = "response-withheld"
    CREDENTIAL_UNAVAILABLE = "credential-unavailable"
    CREDENTIAL_CHALLENGED = "credential-challenged"
    AGENT_GONE = "agent-gone"
    CUT_SHORT = "cut-short"
    RECORDER_DOWN = "recorder-down"
    STORE_DOWN = "store-down"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Pending:
    """What an agent is told of an AccessRequest that its call waits for."""

    id: str
    status: str
    told_at: float
    expires_at: float
    again: float | None = None
    """Seconds after which the same call may be sent again; None: it need not be."""
    awaited: tuple[str, ...] = ()
    """The groups of people who are asked."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A denial as a value: its kind, a sentence for the agent, and what to do next."""

    denial: Denial
    detail: str
    rule: str | None = None
    advice: str = "Do not repeat this call unchanged."
    pending: Pending | None = None
    manner: str | None = None
    """How it is to look where that is not the target's own manner.

    ``slow-down``, ``accepted``; ``busy``: slow down in the target's own form, if it has one;
    ``carried-out``: the call was, or may have been, and no client is to send it again by itself;
    ``origin``: the agent calls the gateway as if it were the target, not as its proxy."""


@dataclass(frozen=True, slots=True)
class Made:
    """A token that the gateway has made."""

    token: str = field(repr=False)
    expires_at: float


# --- asking humans


@dataclass(frozen=True, slots=True)
class Escalation:
    """Groups whose people may answer as well, so many seconds after people were first asked."""

    after: float
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Quorum:
    """Whose approval is needed: so many different people out of all these groups."""

    groups: tuple[str, ...]
    count: int = 1
    escalations: tuple[Escalation, ...] = ()
    reason: bool = False
    """Whether nobody approves without saying why."""
    denials: int = 1
    """How many must deny for the call to be denied."""
    signs: bool = False
    """Whether a sign beside what is shown (a reaction) is an answer, where the risk allows it."""
    privately: bool = False
    """Whether each person is asked by themselves, not where all of their group see it."""


@dataclass(frozen=True, slots=True)
class Given:
    """What an approval gives: so many calls, for so many seconds."""

    uses: int
    life: float
    alone: bool
    """Whether it is for the call that was shown and no other: else for the scope of it."""


@dataclass(frozen=True, slots=True)
class Less:
    """By how much somebody gives less than policy offers; what is None they give in full."""

    uses: int | None = None
    life: float | None = None
    once: bool = False
    """For the call that was shown alone, once, where a scope was offered."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a decision asks for before a call may go, and what an approval then gives."""

    quorums: tuple[Quorum, ...]
    uses: int = 1
    life: float = 300.0
    ahead: bool = False
    """Whether it is asked for ahead of the call, for a token that names the grant."""
    auto: bool = False
    """Whether policy approves it itself; then there are no quorums."""

    @property
    def is_scope(self) -> bool:
        """Whether an approval is for a scope (subject, target, action, resource), not one call."""
        return self.uses > 1 or self.ahead

    @property
    def given(self) -> Given:
        """What an approval gives where nobody gives less."""
        return Given(self.uses, self.life, alone=not self.is_scope)

    @property
    def needs_reason(self) -> bool:
        """Whether nobody approves without saying why: one rule that wants it is enough."""
        return any(each.reason for each in self.quorums)

    @property
    def denials(self) -> int:
        """How many must deny for the call to be denied: of several rules the fewest."""
        return min((each.denials for each in self.quorums), default=1)

    @property
    def signs(self) -> bool:
        """Whether a sign is an answer: every rule must say so."""
        return bool(self.quorums) and all(each.signs for each in self.quorums)

    @property
    def privately(self) -> bool:
        """Whether people are asked by themselves: one rule that wants it is enough."""
        return any(each.privately for each in self.quorums)


@dataclass(frozen=True, slots=True)
class ResourceName:
    """What a resource is called at its target, for people; or why they are not told."""

    name: str | None = None
    """Untrusted: escape it where it is shown."""
    why: str = ""
    """Of one without a name, in a few words."""
    lookup: str | None = None
    """The look-up that came to this, as it is on record; None: there was none."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What people see of a call: all of it, with secrets masked, as it stands in the record too."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    """The fields that count (`jitgate.core.injection.COUNTING`, and those a target declares)."""
    body: str | None = None
    """The body, masked; None where there is none or where it cannot be masked."""
    length: int = 0
    """Bytes of the body as it will be sent."""
    names: Mapping[str, ResourceName] = field(default_factory=dict)
    """What its resources are called, by the names of their parameters: of those looked up."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A call that policy sends to humans, as it came in one exchange."""

    subject: Subject
    operation: Operation
    fingerprint: str
    """Keyed (HMAC): the plain one would help to guess a body."""
    terms: Terms
    rule: str
    reason: str
    policy: str
    """The version of the policy that said so."""
    session: str
    exchange: str
    shown: Shown


class AccessState(enum.Enum):
    """Where an AccessRequest stands. Every state but the first is an end."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"


class Presence(enum.Enum):
    """Whether the agent is there while its AccessRequest is pending."""

    ATTACHED = "attached"
    DETACHED = "detached"
    RECALLED = "recalled"
    """Gone as well, but told to come back."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an approver said: one of each person counts, the last."""

    approver: str
    approves: bool
    at: float
    channel: str
    reason: str = ""
    less: Less | None = None
    """Of an approval; None: all that policy offers."""
    sign: bool = False
    """Whether it was given by a mere sign, such as a reaction."""


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """The ask for access that a review opens: one for each subject and fingerprint at a time."""

    id: str
    ask: Ask
    """The call, as the exchange that opened it brought it."""
    opened_at: float
    expires_at: float
    state: AccessState = AccessState.PENDING
    presence: Presence = Presence.ATTACHED
    away_until: float | None = None
    """When it is withdrawn unless the agent comes back; None: it lasts until it expires."""
    recalls: int = 0
    """How often the agent was told to come back."""
    answers: tuple[Answer, ...] = ()
    grant: str | None = None
    why: str = ""
    """Why it ended, in a sentence."""
    asked: int = 1
    """How often the agent has sent the call while this was pending."""
    escalated: float = 0.0
    """Seconds after its opening up to which the escalations of its quorums have been taken."""
    revision: int = 0
    """Which change to the store it is from; 0: it is not in one yet."""
    gateway: str = ""
    """Where its agent is attached, or was last; "" where only one gateway uses the store."""


class GrantState(enum.Enum):
    """Where one use of a Grant stands (invariant 3). There is no way back to the first."""

    ACTIVE = "active"
    IN_USE = "in use"
    SPENT = "spent"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    REVOKED = "revoked"
    REVOKED_IN_FLIGHT = "revoked in flight"


@dataclass(frozen=True, slots=True)
class Grant:
    """The permission that enough Answers make. Not OAuth's authorization grant."""

    id: str
    access_request: str
    ask: Ask
    """What it was given for: this call, or the scope of it."""
    approved_by: tuple[str, ...]
    made_at: float
    expires_at: float
    tally: Mapping[GrantState, int]
    """How many of its uses stand where: they are counted, because those not taken are alike."""
    why: str = ""
    """Who revoked it, and why."""
    revision: int = 0
    less: Given | None = None
    """What was given, where that is less than policy offered."""

    @property
    def given(self) -> Given:
        """What it was when it was made."""
        return self.less or self.ask.terms.given

    @property
    def left(self) -> int:
        """How many uses have not been taken."""
        return self.tally.get(GrantState.ACTIVE, 0)

    @property
    def state(self) -> GrantState:
        """Where it stands as a whole: the first of these where any of its uses stands."""
        found = (state for state in _AS_A_WHOLE if self.tally.get(state, 0))
        return next(found, GrantState.SPENT)


_AS_A_WHOLE = (
    GrantState.ACTIVE,
    GrantState.IN_USE,
    GrantState.REVOKED_IN_FLIGHT,
    GrantState.REVOKED,
    GrantState.UNKNOWN,
    GrantState.EXPIRED,
    GrantState.SPENT,
)


@dataclass(frozen=True, slots=True)
class Use:
    """One taking of a Grant, by the exchange that has its ``id``."""

    id: str
    grant: str
    fingerprint: str
    """Of what is sent, which under a scope need not be what was shown."""
    taken_at: float
    state: GrantState = GrantState.IN_USE
    revision: int = 0
    gateway: str = ""
    """Which one carries the exchange out: that one alone can tell what has become of it."""
    status: int | None = None
    """Of the target's answer; None: there is none (yet)."""
    ended_at: float | None = None
    """When it was known what became of it."""


Stored = AccessRequest | Grant | Use
"""What an access store keeps."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What an access store knew of itself and of the recording when it was last written."""

    run: str | None = None
    """The writer's log of the run that wrote it; None: it is new."""
    revision: int = 0
    """The number of its last change."""
    moved: bool = False
    """Whether it is another database, or on another machine, than the one last written."""
    copied: bool = False
    """Whether it is a copy of that, by all that can be seen: it may have forgotten something."""
    doubted: bool = False
    """Whether a start, of any gateway, that did not trust it has not come to its end."""


@dataclass(frozen=True, slots=True)
class Post:
    """Where a channel shows an access request, or is about to, and how far that is up to date.

    A channel may show one request in several slots; in each there is one post of it.
    """

    channel: str
    request: str
    """The id of the access request."""
    slot: str
    """Where it belongs, in the channel's own words: a room, a person."""
    place: str = ""
    """Where in it the post is, in the channel's own words; "": it is not there yet."""
    shown: int = 0
    """Up to which revision of the store the post shows the request and its grant."""
    grant: str | None = None
    """What has come of the request, once that is known to the channel."""
    due: float | None = None
    """When it is to be looked at although nothing has changed, in seconds since 1970."""
    is_over: bool = False
    """Whether the post is as it stays."""
    document: str = ""
    """What else the channel remembers of it, in a form of its own."""
    revision: int = 0
    """Which version of this post it is; 0: it is not kept yet."""


class Changed(NamedTuple):
    """What another gateway has changed in a store that several share."""

    kind: str
    """``request``, ``grant``, or ``once`` for what counts once."""
    id: str
    """Of what; of ``once`` its kind."""


# --- going out


@dataclass(frozen=True, slots=True)
class SecretAt:
    """Where the gateway finds a secret of its own; `jitgate.stores.state.read_secret` reads it."""

    kind: Literal["file", "env", "credential"]
    """A file, an environment variable, or what systemd hands to a service (systemd.exec(5))."""
    name: str
    """The file's path, the variable's name, or the credential's."""

    def __str__(self) -> str:
        return self.name if self.kind == "file" else f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A secret under a name: in a query, in a form, or as a member of a JSON object."""

    name: str
    """Of letters, digits and ``-._~``: written in one way wherever it stands."""
    value: bytes = field(repr=False)
    """ASCII."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret issued for one operation: what carries it and every literal to mask."""

    headers: Headers = field(repr=False)
    secrets: tuple[bytes, ...] = field(repr=False)
    facts: Mapping[str, object] = field(default_factory=dict)
    """What a record may say of it: kind, scopes, expiry, keyed fingerprint; never the secret."""
    query: Parameter | None = None
    """What carries it in the query, added behind what the agent sent."""
    body: Parameter | None = None
    """What carries it in a body that is a form or a JSON object."""


# --- what is hidden


class How(enum.Enum):
    """How what is hidden is shown."""

    REPLACE = "replace"
    """By stars, and what is no text by the emptiest value of its type."""
    LAST4 = "last4"
    """A text by stars and its last four characters, where it is long enough; else as `REPLACE`."""
    HASH = "hash"
    """A text by a keyed digest, the same for equal texts of one session; else as `REPLACE`."""
    DROP = "drop"
    """Not at all: the field is not there. An element of an array is null."""
    DENY = "deny"
    """The whole response is withheld."""


class Hider(NamedTuple):
    """Who hides a value, as records name it, and how."""

    name: str
    how: How = How.REPLACE


class Span(NamedTuple):
    """A part of a text that is hidden, from one character up to another, and what it is."""

    begin: int
    end: int
    what: str


@dataclass(frozen=True, slots=True)
class Hit:
    """One hidden value, for the record."""

    rule: str
    path: str
    """Where it was (RFC 9535, section 2.7, in JSON; else as docs/recording-format.md says)."""
    digest: str
    """Keyed, over its bytes as the target sent them: an auditor with the key can tell its value."""


# --- on record


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes kept with an entry. ``data`` is what was kept of ``length`` bytes in all."""

    data: bytes = field(repr=False)
    length: int
    complete: bool


class Entry(NamedTuple):
    """One element of a recording before it is written; see docs/recording-format.md."""

    type: str
    time: float
    fields: Mapping[str, object]
    bodies: Mapping[str, Body] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Archived:
    """A file of the recording, as an archive keeps it."""

    archive: str
    place: str
    """`IArchive.place`, where it is."""
    bucket: str
    key: str
    version: str
    """Pins the object: a later one of the same key is another version."""
    sha256: str
    """Of its bytes, in hexadecimal."""
    bytes: int
    until: float
    """Until when nobody can delete it, in seconds since the epoch."""


# --- reading the configuration again


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What came of reading the configuration again: it is in force, or there are problems."""

    file: str
    before: str
    """The version of the policy until now."""
    policy: str
    """The one that is in force now."""
    problems: tuple[str, ...] = ()
    """Why nothing was replaced, each a full sentence."""
    notices: tuple[str, ...] = ()

    @property
    def replaced(self) -> bool:
        return not self.problems
