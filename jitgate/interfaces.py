"""The ports, in the order in which a request meets them: promises, no logic.

All that may wait is ``async``. Providers are checked with `zope.interface.verify.verifyObject`
when the gateway is put together. A provider raises only `jitgate.errors`; anything else that
escapes one is a fault all the same, and faults deny.

Long, because it is one list: whoever writes a provider finds here all that jitgate asks of one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from zope.interface import Attribute, Interface

from jitgate.values import (
    AccessRequest,
    Archived,
    Binding,
    Changed,
    Charge,
    Credential,
    Entry,
    Grant,
    Headers,
    Inquiry,
    Made,
    Mark,
    NotCanonical,
    Observed,
    Operation,
    Post,
    Refusal,
    RequestHead,
    ResponseHead,
    Risk,
    Span,
    Spent,
    Stored,
    Subject,
    Undecided,
    Unevaluated,
    Use,
    Verdict,
)

# mypy-zope reads the methods of an Interface without ``self``.
# ruff: noqa: N805


class INamed(Interface):
    """What all that a plugin provides is beside its port, whether that asks for it or not."""

    name = Attribute("What the configuration and the record call it; once in each port.")
    version = Attribute("A digest of all that it does depends on (its file, its options).")


class IProtocolListener(Interface):
    """Where agents come in. It authenticates nobody and decides nothing: it asks the gateway."""

    async def start() -> None:
        """Begin to accept; returns once the port is bound, raises `StateUnusable` if it is not."""

    async def stop() -> None:
        """Accept nothing more, end what is open, return when all of it has ended."""


class IListenerSource(Interface):
    """Makes a listener, once there is a gateway for it to ask: so a plugin provides one."""

    def listener(gateway: Any) -> IProtocolListener:
        """A listener that asks this `jitgate.flow.gateway.Gateway`. Starts and binds nothing.

        It asks ``admit`` for every agent that comes, ``serve`` for every request of one that was
        admitted, and tells ``left`` when that one has gone.
        """


class IIdentityVerifier(Interface):
    """Turns a token into a Subject. It says who the agent is, never what it may do."""

    async def verify(token: str, *, again: bool = False) -> Subject | Refusal:
        """The Subject that ``token`` proves, or the refusal that says why it proves none.

        A token that counts once is used up by this. ``again``: it was proved before for the very
        tunnel that asks; all else is checked anew. Raises `IdentityUnavailable` where the issuer's
        keys cannot be had, `StoreDown` where nobody can tell whether it was used.
        """


class IOnce(Interface):
    """Remembers what counts once. It does not say what is good otherwise."""

    async def take(kind: str, key: str, until: float) -> bool:
        """True for the first who takes the key of that kind; durable when this returns.

        What was taken is dropped after ``until``, in seconds since 1970, and not before: the caller
        refuses it by then for its age. Raises `StoreDown` where it cannot tell.
        """

    async def kept(kind: str) -> Sequence[str]:
        """Every key of that kind that was taken and not dropped. Raises `StoreDown`."""


class IBudgets(Interface):
    """Counts calls in sliding windows. It does not say what is counted, or why.

    A use that was taken at ``t`` counts in a window of ``within`` seconds until ``t + within``, and
    then no longer; one from the future, where the clock was set back, counts.
    """

    async def take(charges: Sequence[Charge]) -> Spent | None:
        """Take a use of every count that is charged, if all have room: durable when this returns.

        Charges of one key take one use of it, and each of them must have room. None: taken. Else
        nothing is taken, and it is the charge for which there is no room the longest. Two that
        come at once never take the same room. Raises `StoreDown` where it cannot tell; then it may
        or may not have been taken, and counts as taken.
        """

    async def look(charges: Sequence[Charge]) -> Spent | None:
        """What `take` would return now. It takes nothing. Raises `StoreDown`."""


class ITokenSource(Interface):
    """Makes tokens of the gateway's own. It decides nothing."""

    def mint(subject: Subject, *, life: float, binding: Binding) -> Made:
        """A token that proves the subject, for ``life`` seconds at most, bound to that.

        It never outlives the token that the subject was proved by.
        """

    def jwks() -> Mapping[str, object]:
        """The public keys that such tokens are checked with, as a JWK Set (RFC 7517)."""


class IRequest(Interface):
    """The request's bytes on their way in: a stream port."""

    head = Attribute("The `RequestHead` as parsed; as far as it was read if there is a ``fault``.")
    hosts = Attribute("Every ``host:port`` that the agent named for this request (Host, SNI).")
    fault = Attribute("The `PeerFault` for which it is refused before policy is asked, or None.")

    async def read() -> bytes:
        """The next piece of the body, b"" at its end. Reads from the agent no faster than asked.

        Raises `MalformedRequest`, `BodyTooLarge` or `AgentGone`.
        """


class IResponse(Interface):
    """The response's bytes on their way out to the agent: a stream port."""

    started = Attribute("Whether any byte of the final response has been released.")
    gone = Attribute("Whether the agent is known to have hung up.")
    takes_trailers = Attribute("Whether trailers reach the agent behind a body without a length.")

    def on_gone(call: Callable[[], None] | None, *, first: bool = False) -> None:
        """Call back once the agent has hung up, at once if it has; None takes that back.

        ``first``: see to it whatever else the agent has sent ahead, which then is not served.
        """

    def render(refusal: Refusal, exchange: str, manner: str) -> tuple[ResponseHead, bytes]:
        """The refusal in the shape (``manner``) that the target's clients take. Sends nothing."""

    async def start(head: ResponseHead, first: bytes = b"") -> None:
        """Release the head, and the ``first`` bytes of the body with it. Raises `AgentGone`."""

    async def write(data: bytes) -> None:
        """Release a piece of the body; waits while the agent is slow. Raises `AgentGone`."""

    async def finish(trailers: Headers = ()) -> None:
        """Release what tells the agent that the body is whole. Raises `AgentGone`."""

    def truncate() -> None:
        """End the connection so that the agent can tell that the body is not whole."""


class ICatalog(Interface):
    """Knows what calls mean. Pure; says nothing of whether they may be made."""

    actions = Attribute("The names of every action that it knows.")

    def samples(authority: str) -> Iterable[Operation]:
        """One made-up operation of each kind that it knows: what an agent may read to plan by.

        Parameters stand as ``{name}``. None where kinds cannot be told apart without a call.
        """

    def operation(
        authority: str, method: str, path: str, query: str
    ) -> Operation | NotCanonical | None:
        """The operation that this canonical call is, or None if it is none that is known.

        `NotCanonical` where a parameter that changes what it means has more than one reading. Such
        members of its body are not in it yet: `core.parameters.completed` fills them in.
        """

    def named(authority: str, action: str, resource: Mapping[str, str]) -> Operation | None:
        """The operation of that name on that resource, without a query; None if there is none."""


class IRule(Interface):
    """One statement of policy. Pure and synchronous: same arguments, same answer."""

    name = Attribute("Unique; stands in records and denials.")
    version = Attribute("A digest of all that its answers depend on (its file, its options).")

    def judge(inquiry: Inquiry) -> Verdict | Undecided | Observed | object | None:
        """Its `Verdict`, None if it does not apply, or `core.policy.NEEDS_BODY`.

        A rule that could still match but must see the body answers NEEDS_BODY while it has not
        been read. One that lacks facts answers `Undecided` if all it could do is permit, else it
        denies. `Observed` counts for nothing but the record. A rule that raises denies.

        A plugin's is asked again without a body that has more than 32 KiB
        (`flow.watching.LONGEST`): NEEDS_BODY denies that call. It is not asked at all before
        the parameters that stand in the body are known, and where it lacks facts, None and a
        permit of it are a denial: unless it `concerns` no such operation, or is an
        `IStatedRule`.
        """


class IConcernedRule(IRule):
    """A rule that states beforehand of which operations it may be asked.

    What it states never changes. It need not be asked of any other operation.
    """

    def concerns(target: str, action: str, method: str, risk: Risk | None) -> bool:
        """Whether there is an operation of these four for which it does not answer None."""

    def judge_concerned(inquiry: Inquiry) -> Verdict | Undecided | Observed | object | None:
        """What `judge` answers of an operation that it `concerns`, which is not tested again."""


class IStatedRule(IConcernedRule):
    """A rule that states beforehand what it answers as well, which never changes either.

    It answers NEEDS_BODY itself where it reads parameters that stand in the body
    (`Operation.in_body`). Where it lacks facts, its None counts only if its verdict permits.
    """

    verdict = Attribute("The only `Verdict` that it answers, unless it cannot tell.")


class IInformedRule(IRule):
    """A rule that looks at facts."""

    facts = Attribute("The names of the `IFacts` that it looks at: a frozenset.")


class IExplainedRule(IRule):
    """A rule that can tell, to whoever tries policy, why it does not apply."""

    def why_not(inquiry: Inquiry) -> str | None:
        """The first of its tests that an inquiry fails, for people; None if it passes them all."""


class ICondition(Interface):
    """What must be so of a call beyond what rules list. Pure and synchronous; no effect of its own.

    Checked when it is made: what it reads is known from then on.
    """

    text = Attribute("As it was written: all that its answers depend on.")
    facts = Attribute("The names of the facts that it reads: a frozenset.")

    def needs_body(operation: Operation) -> bool:
        """Whether it cannot be told of such an operation before its body has been read."""

    def holds(inquiry: Inquiry) -> bool | Unevaluated:
        """Whether it is so, or why nobody can tell. Only True itself is yes."""


class IFacts(Interface):
    """Knows something from outside that rules look at: a ticket, who is on call (a PIP).

    It decides nothing. What it does not know in time, rules that need it cannot permit by.
    """

    name = Attribute("Unique; rules look at what it knows by this name.")
    version = Attribute("A digest of all that its answers depend on, but for the outside.")
    deadline = Attribute("Seconds that a call waits for it at most: above 0, 10 at most.")
    max_age = Attribute("Seconds for which what it told counts for the same ``key``; 0: once.")

    def key(operation: Operation, subject: Subject) -> Hashable:
        """What its answer depends on of a call: calls of one key share an answer."""

    async def gather(operation: Operation, subject: Subject) -> Mapping[str, object]:
        """What is known of this call, in JSON's types. Whatever it raises, nothing is known.

        Cancelled when it is late, or when nobody waits for it any more. Of what it raises only the
        message of a `FactsUnknown` is logged: others' can hold what they were given.
        """


class IApproverChannel(Interface):
    """A way to the people who answer. It does not say whose answer counts, and decides nothing."""

    name = Attribute("What the configuration calls it; stands in records.")

    async def tell(request: AccessRequest) -> None:
        """Show the request as it is now: new, changed, or ended. Raises `ApproversUnreachable`."""


class IGrantChannel(IApproverChannel):
    """A way to people that shows them, too, what becomes of what they gave."""

    async def tell_grant(grant: Grant, use: Use | None) -> None:
        """Show a grant as it is now: a use of it has ended, or what was left of it is gone.

        Nothing waits for it, and nothing depends on it. Raises `ApproversUnreachable`.
        """


class IPeople(Interface):
    """Knows who is still somebody at an identity provider. Whose answer counts it does not say."""

    name = Attribute("What the configuration calls it.")
    deadline = Attribute("Seconds that an answer waits for it at most: above 0, 10 at most.")

    async def is_active(person: str) -> bool:
        """Whether a person, as `jitgate.core.answers.person` spells them, is not deactivated there.

        It keeps out, and lets nobody in: several are asked, and one no is enough. Raises
        `PeopleUnknown` where it cannot tell; whatever it raises, the answer does not count.
        """


class IGroups(Interface):
    """Knows who is in groups that are kept elsewhere. Which groups are asked it does not say."""

    name = Attribute("What the configuration calls it.")
    deadline = Attribute("Seconds that an answer waits for it at most: above 0, 10 at most.")

    def misnamed(group: str) -> str | None:
        """Why no group is called so there, for people; None where one may be. Asks nobody.

        So the configuration is refused at its start that could only be found wrong later.
        """

    async def members(group: str) -> Sequence[str] | AbstractSet[str]:
        """Everybody who is in the group now, as `jitgate.core.answers.person` spells them.

        Each is a verified e-mail address, or an issuer and an id; who has neither is left out.
        Asked at each answer, and beside that every minute, to show who could give one. All members
        or none: raises `PeopleUnknown` where it cannot tell all of them, or knows no such group.
        Whatever it raises, the answer does not count. Cancelled when it is late.
        """


class IAccessStore(Interface):
    """Keeps AccessRequests, Grants and Uses over restarts. It decides nothing.

    What it returns is as it was committed. Every method raises `StoreDown` where it cannot tell.
    """

    async def open() -> Mark:
        """Take up what was kept; returns the mark of the run that last wrote it.

        Raises `StateUnusable` where it is damaged, another's, or of a newer version.
        """

    async def mark(run: str, revision: int) -> None:
        """Note which run writes from now on; the next change has a number beyond ``revision``."""

    async def close() -> None:
        """Give everything back."""

    async def commit(values: Sequence[Stored]) -> int | None:
        """Keep all the values or none; durable (fsync returned) when this returns.

        Each takes the place of the one with its id and its ``revision`` (0: of nothing). Returns
        the revision that all of them have from now on. None, and nothing is changed, where one of
        them is no longer what is kept, or where a second AccessRequest would be pending for one
        subject and fingerprint.
        """

    async def request(key: str) -> AccessRequest | None:
        """The AccessRequest of that id, whatever became of it."""

    async def pending(subject: str, fingerprint: str) -> AccessRequest | None:
        """The one that is pending for a subject (its key) and a fingerprint."""

    async def requests() -> Sequence[AccessRequest]:
        """Every one that is pending all the while, the earliest first.

        A commit waits for a part of it at most: what changes meanwhile is as it was, or as it is.
        """

    async def grant(key: str) -> Grant | None:
        """The Grant of that id, whatever became of it."""

    async def grants(subject: str | None = None) -> Sequence[Grant]:
        """Every one with a use left or in use, of one subject (its key) or of all, in order."""

    async def use(key: str) -> Use | None:
        """The Use of that id, whatever became of it."""

    async def uses() -> Sequence[Use]:
        """Every Use that is in use."""

    async def uses_of(grant: str) -> Sequence[Use]:
        """Every Use of a Grant that is kept, whatever became of it, the earliest first."""

    async def forget(before: float) -> None:
        """Drop what ended and was opened or made before then; the record has it.

        A Use stays as long as its Grant is live: it must not be taken again after a restart.
        """


class IPosts(Interface):
    """Remembers where channels show access requests, over restarts, for all who share the store.

    It decides nothing. Every method raises `StoreDown` where it cannot tell.
    """

    async def keep(post: Post) -> Post | None:
        """Keep a post in the place of the one with its channel, request, slot and ``revision``.

        Durable when this returns, with the revision that it has from now on. None, and nothing is
        changed, where another version is kept; with revision 0, where any is. So of several who
        would show a request in a slot, one does.
        """

    async def of(channel: str, request: str) -> Sequence[Post]:
        """Every post of an access request, by slot."""

    async def at(channel: str, place: str) -> Post | None:
        """The post that is at a place."""

    async def behind(channel: str, by: float) -> Sequence[str]:
        """The ids of access requests that the channel has something to show of by then.

        Those that are pending and have no post; of posts that are not over, those whose request or
        grant has changed since, and those that are due.
        """

    async def forget() -> None:
        """Drop the posts of access requests that the access store has forgotten."""


class INews(Interface):
    """Hears what other gateways change in a store that several share. It decides nothing."""

    async def start(heard: Callable[[Sequence[Changed] | None], None]) -> None:
        """Begin to hear; what is changed after this returns is heard of. Raises `StoreDown`.

        ``heard`` is called with what another gateway has changed, once that is durable. With None
        where something may have been missed: then everything is to be looked at. Must not raise.
        """

    async def stop() -> None:
        """Hear of nothing more."""


class IEvidence(Interface):
    """Reads back what the recording shows of what a store should know. Blocking."""

    def since(run: str) -> Sequence[Entry] | None:
        """The entries that tell of it, of that run's log and of later ones.

        They are about access requests, grants, revoked subjects, and runs that took the store up.
        None where there is no such log, or one lacks a part. Of an entry, ``fields`` holds what its
        writer gave. Raises `StateUnusable` where the recording cannot be read.
        """


class ICredentialSource(Interface):
    """Issues what a target needs to accept a call. It does not decide whether the call may be."""

    async def issue(operation: Operation) -> Credential:
        """A credential for exactly this operation.

        Raises `CredentialUnavailable`, or `CredentialRefused` where there will never be one.
        """


class ILendingSource(Interface):
    """A source that follows what it issues, and takes it back: what the gateway itself asks.

    `jitgate.credentials.kept.Kept` makes one of any `ICredentialSource`.
    """

    async def lend(operation: Operation, *, reuse: float, granted: bool = False) -> Credential:
        """A credential for exactly this operation; it may have served others for so many seconds.

        With ``reuse`` 0 it has served none, and will serve none. ``granted``: people gave leave for
        this call, which its sending uses up; what the target may object to is found out before, and
        where there is room for few, it goes first. For each that is lent, `returned` is called,
        once. Raises what `ICredentialSource.issue` raises, and `CredentialBusy` where whoever
        issues it takes no more for now; then nothing is lent.
        """

    def again(credential: Credential) -> Credential:
        """What the same call has when it is sent once more: nothing in it is good once only.

        It has the secrets of its own to hide. It is not lent: ``credential`` is what goes back.
        """

    def heard(credential: Credential, answer: ResponseHead) -> str | None:
        """Learn from the head of the target's answer.

        Returns a sentence where the target did not carry the call out for the credential's sake,
        and may if the call is sent anew. Must not raise.
        """

    def returned(credential: Credential) -> None:
        """The call is over, or never went out: nothing more is sent with it. Must not raise."""


class ILastingSource(ILendingSource):
    """A lending source that has something to end: what it lent before, connections, timers.

    One whose place another has taken is ended at a stop if it is there still: what it waits for
    itself must hold it.
    """

    def retire() -> None:
        """Another takes its place: what is lent from now on, it lends once. Must not raise."""

    async def stop() -> None:
        """End all that it holds, within seconds. Nothing is lent from now on."""


class IUpstream(Interface):
    """The way to one target."""

    async def connect(*, fresh: bool) -> IUpstreamConnection:
        """A connection whose peer's address and certificate were checked before this returns.

        ``fresh`` asks for one that has carried nothing before. Raises `UpstreamUnreachable`,
        `UpstreamUntrusted`, `AddressRefused`.
        """

    async def stop() -> None:
        """End every connection."""


class IUpstreamConnection(Interface):
    """One exchange with the target. Nothing is ever sent twice by it."""

    fresh = Attribute("Whether it had carried nothing before this exchange.")

    async def send(head: RequestHead, body: IRequest) -> ResponseHead:
        """Send the request and return the head of the final response. Body and response overlap.

        Raises `UpstreamUnreachable` or `UpstreamMalformed`, and whatever ``body.read`` raises.
        """

    async def read() -> bytes:
        """The next piece of the response's body, b"" at its end; reads no faster than asked."""

    def trailers() -> Headers:
        """The trailers, once `read` has returned b""."""

    def release() -> None:
        """Give the connection back after its exchange: kept if whole and clean, else closed."""

    def abort() -> None:
        """End it at once; whoever waits for more of the exchange gets `UpstreamUnreachable`."""


class ISwitchedConnection(IUpstreamConnection):
    """One whose request may open a WebSocket; after a 101 it carries bytes both ways.

    `read` then brings what the target says, and b"" when it has ended the connection.
    """

    async def write(data: bytes) -> None:
        """Send bytes behind a 101; waits while the target is slow. Raises `UpstreamUnreachable`."""


class IMasker(Interface):
    """Says what the agent must not see. Pure and synchronous, one value at a time.

    A plugin's is not shown what has more than 32 Ki characters (`flow.watching.LONGEST`): such a
    value is hidden whole, and so is that of a field whose name is as long.
    """

    name = Attribute("Stands in records.")
    version = Attribute("A digest of all that its answers depend on.")
    looks_at_values = Attribute("False if `mask` never answers, so that it need not be asked.")

    def hides(field: str) -> bool:
        """Whether the whole value of a field of that name is hidden, whatever its type."""

    def mask(field: str, value: str) -> str | None:
        """What to show in place of a scalar ``value``, or None to leave it as it is.

        It has 1 Mi characters at most.
        """


class IStatedMasker(IMasker):
    """A masker that states beforehand what it hides, so that all of it can be looked for at once.

    What it states never changes. `mask` shows what `spans` finds as stars; who calls either decides
    how it is shown.
    """

    how = Attribute("`jitgate.values.How` what it hides is shown.")
    names = Attribute("Globs (`jitgate.core.globs`): it hides only fields that one of them fits.")
    paths = Attribute("The `jitgate.core.paths.Path` of each value that it hides for where it is.")
    signs = Attribute(
        "RE2 expressions over bytes of JSON. One of them fits within each text or number of which "
        "it hides anything, as it is written, unless an escape that begins with \\u is in it. They "
        "have no anchors (^, $, \\b): what stands around a text in a body is not in the text."
    )

    def spans(value: str) -> Sequence[Span]:
        """What of a text, or of a number as it is written, it hides: in order, none in another.

        None of them is empty.

        true, false and null are neither.
        """


class IKnownSecrets(IStatedMasker):
    """A masker that knows the secrets that it hides, so that they are found in no value as well."""

    literals = Attribute("They, as `jitgate.core.literals.Literals`.")
    rule = Attribute("Stands in records for what hides them.")


class IRecordStore(Interface):
    """Keeps entries, in order, for good. Blocking: it is called in a thread, one call at a time."""

    def open() -> None:
        """Take up the log, after whatever happened before; raises `StateUnusable`, `OSError`."""

    def append(entries: Sequence[Entry]) -> None:
        """Keep the entries. They are durable (fsync returned) when this returns.

        Raises `OSError` if any may not be; then none counts, and `recover` must come before more.
        """

    def recover() -> None:
        """Make it possible to append again after a failed `append`; raises `OSError` if not yet."""

    def checkpoint() -> None:
        """Sign the state of everything kept so far; durable when this returns."""

    def close() -> None:
        """Close the log, seal and sign it."""


class IKeeper(Interface):
    """Keeps checkpoints of the recording out of this machine's reach."""

    name = Attribute("What the configuration calls it.")
    every = Attribute("Seconds from one checkpoint to the next that it is given, at least.")

    async def keep(note: bytes) -> None:
        """Keep a checkpoint, a signed note (C2SP): it is kept when this returns.

        It may come more than once. Raises `CheckpointNotKept`.
        """

    async def stop() -> None:
        """Let go of whatever is open."""


class IArchive(Interface):
    """A store of objects that nobody can change, or delete before their time. It may block."""

    name = Attribute("What the configuration calls it; stands in the record.")
    place = Attribute("Which store it is, and where in it: another place is another archive.")

    def check() -> None:
        """Find out whether it locks. Raises `ArchiveUnlocked`, `ArchiveDown`."""

    def put(path: str, key: str, until: float) -> Archived:
        """Keep a file's bytes, locked until then (seconds since the epoch).

        What is there already, and locked for as long, is not sent again. Raises `ArchiveUnlocked`
        if it is kept and not locked, `ArchiveDown` where it is not known to be kept.
        """

    def has(kept: Archived) -> bool:
        """Whether what `put` returned is still there, locked or not. Raises `ArchiveDown`."""
