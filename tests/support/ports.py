"""Providers of the gateway's ports for tests of the flow: each does as little as its port allows.

They can be told to fail at a point, so that a table can make every stage of the story fail.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from jitgate.approvers.memory import MemoryChannel
from jitgate.approvers.people import ListedPeople
from jitgate.core import limits as bounds
from jitgate.core.access import NotCounted
from jitgate.core.catalog import Catalog, CatalogRow, OperationTrie, PathCatalog
from jitgate.core.policy import Policy, version_of
from jitgate.core.profiles import MaskingProfile
from jitgate.core.tally import Tally
from jitgate.core.waiting import Patience
from jitgate.flow.access import Access
from jitgate.flow.accounts import Accounts
from jitgate.flow.admission import Knock, Target, Tunnel, TurnedAway
from jitgate.flow.bodies import HeldBodies
from jitgate.flow.budgets import Budgets
from jitgate.flow.deciding import Decider
from jitgate.flow.gateway import DUTIES, Gateway
from jitgate.flow.grants import Grants
from jitgate.flow.knocked import Knocked
from jitgate.flow.ledger import Ledger
from jitgate.flow.load import Load
from jitgate.flow.looking_up import Means
from jitgate.flow.masking_room import MaskingRoom
from jitgate.flow.members import Groups, Members
from jitgate.flow.opening import Limits
from jitgate.flow.outgoing import Ready, at_once
from jitgate.flow.rates import Pace
from jitgate.flow.recorder import Recorder
from jitgate.flow.resource_names import ResourceNames
from jitgate.flow.revoking import Revocations
from jitgate.flow.sending import Sender
from jitgate.flow.telling import Telling
from jitgate.interfaces import (
    IAccessStore,
    IBudgets,
    ICatalog,
    IFacts,
    IIdentityVerifier,
    ILendingSource,
    IRequest,
    IResponse,
    IRule,
    IUpstream,
    IUpstreamConnection,
)
from jitgate.proxy.refusals import rendered
from jitgate.stores.access_memory import MemoryAccess
from jitgate.stores.budgets_memory import MemoryBudgets
from jitgate.stores.memory import MemoryRecords
from jitgate.stores.once_memory import MemoryOnce
from jitgate.values import (
    AccessRequest,
    Credential,
    Denial,
    Effect,
    Headers,
    Inquiry,
    NotCanonical,
    Obligation,
    Operation,
    Parameter,
    Refusal,
    RequestHead,
    ResponseHead,
    Subject,
    Verdict,
)

AUTHORITY = "api.example:443"
SECRET = b"upstream-credential-0001"
JSON: Headers = ((b"Content-Type", b"application/json"),)


def agent(**changes: object) -> Subject:
    """An agent whose token is good for the next 1,000 seconds of a test's clock."""
    facts: dict[str, object] = {
        "issuer": "https://idp.example",
        "id": "bot-7",
        "groups": frozenset({"it-agents"}),
        "expires_at": 1000.0,
    }
    return Subject(**(facts | changes))  # type: ignore[arg-type]


@implementer(IRequest)
class Asked:
    """A request as an agent would send it."""

    def __init__(
        self,
        method: str = "GET",
        target: str = "/things",
        body: bytes = b"",
        headers: Headers = (),
        hosts: tuple[str, ...] = (AUTHORITY,),
        *,
        announced: bool = True,
    ) -> None:
        self.head = RequestHead(method, target, headers, len(body) if announced else None)
        self.hosts = hosts
        self.fault = None
        self.body = body

    async def read(self) -> bytes:
        data, self.body = self.body, b""
        return data


@implementer(IResponse)
class Told:
    """What the agent got, and when what it got was whole."""

    def __init__(self) -> None:
        self.started = False
        self.head: ResponseHead | None = None
        self.data = b""
        self.trailers: Headers = ()
        self.takes_trailers = True
        self.ended = False
        self.truncated = False
        self.gone = False
        self.seen: list[str] = []
        self._on_gone: Callable[[], None] | None = None

    def on_gone(self, call: Callable[[], None] | None, *, first: bool = False) -> None:
        self._on_gone = call
        if call is not None and self.gone:
            call()

    def hang_up(self) -> None:
        """The agent goes away."""
        self.gone = True
        if self._on_gone is not None:
            self._on_gone()

    def render(self, refusal: Refusal, exchange: str, manner: str) -> tuple[ResponseHead, bytes]:
        return rendered(refusal, exchange, manner)

    async def start(self, head: ResponseHead, first: bytes = b"") -> None:
        self.started, self.head = True, head
        self.seen.append("start")
        if first:
            await self.write(first)

    async def write(self, data: bytes) -> None:
        self.data += data
        self.seen.append("write")

    async def finish(self, trailers: Headers = ()) -> None:
        self.ended, self.trailers = True, trailers
        self.seen.append("finish")

    def truncate(self) -> None:
        self.truncated = True


@dataclass
class Stand:
    """A gateway over ports that can be made to fail: ``fail[stage]`` is what that stage raises."""

    answer: ResponseHead = field(default_factory=lambda: ResponseHead(200, JSON, 15))
    pieces: tuple[bytes, ...] = (b'{"name":', b'"Ada"} ')
    verdict: Verdict = field(default_factory=lambda: Verdict(Effect.PERMIT, "They may."))
    reads: Verdict | None = None
    """What the rule says of what changes nothing, where that is something else."""
    subject: Subject | Refusal = field(default_factory=agent)
    profiles: dict[str, MaskingProfile] = field(default_factory=dict)
    sources: tuple[IFacts, ...] = ()
    rules: tuple[IRule, ...] = ()
    """Beside the one that gives ``verdict``."""
    secrets: frozenset[str] = frozenset()
    in_query: str | None = None
    """The parameter that the credential is in, in place of a header field."""
    in_body: str | None = None
    rows: tuple[CatalogRow, ...] = ()
    """What the catalog knows; without any, every path but one."""
    fail: dict[str, Exception] = field(default_factory=dict)
    store: IAccessStore = field(default_factory=MemoryAccess)
    records: MemoryRecords = field(default_factory=MemoryRecords)
    clock: Clock = field(default_factory=Clock)
    ids: dict[str, int] = field(
        default_factory=lambda: {"x": 0, "a": 0, "g": 0, "t": 0, "e": 0, "n": 0}
    )
    pause: Callable[[str], Awaitable[None]] | None = None
    """Awaited before and after whatever takes time outside."""
    called: str = ""
    """What it is called, where several share ``store`` and ``shared_once``."""
    shared_once: MemoryOnce | None = None
    patience: Patience = field(default_factory=Patience)
    limits: Limits = field(default_factory=Limits)
    bounds: bounds.Limits = bounds.LIMITS
    ready: Ready = at_once
    room: MaskingRoom = field(default_factory=MaskingRoom)
    resends: bool = False
    directory: ListedPeople = field(default_factory=ListedPeople)
    asked_before: IBudgets | None = None
    """How often people were asked; the gateway keeps it with the budgets."""
    people: Groups = field(
        default_factory=lambda: {
            "leads": frozenset({"alice@acme.com", "bob@acme.com"}),
            "security": frozenset({"carol@acme.com", "bob@acme.com"}),
        }
    )

    def __post_init__(self) -> None:
        self.log: list[str] = []
        self.sent: list[tuple[RequestHead, bytes]] = []
        self.waiting: list[Deferred[None]] = []
        self.slow_disk = False
        self.credential_adds: Headers = ()
        self.once_more = b"hunter2.second"
        """A secret of what is sent once more, in place of the first one's."""
        self.lent: list[float] = []
        """What is out at present: for how long each may be reused."""
        self.granted: list[bool] = []
        """For each that was asked for, whether people had given leave for its call."""
        self.challenge: str | None = None
        self.answer_when: Deferred[None] | None = None
        self.rest_when: Deferred[None] | None = None
        """What everything behind the body's first piece waits for."""
        self.always_kept = False
        self.read_so_far = 0
        self.fresh_asked: list[bool] = []
        self.recorder = Recorder(self.records, clock=self.clock, in_thread=self._in_thread)
        self.channel = MemoryChannel()
        self.budgets = MemoryBudgets(self.clock)
        self.pace = Pace(self.clock, lambda: 0.5)
        before = self.asked_before
        self.counts: IBudgets = MemoryBudgets(self.clock) if before is None else before
        self.build()
        self.starting = Deferred.fromCoroutine(self.start())

    def build(self) -> None:
        """Put the flow together over the ports, as the gateway does at its start."""
        clock, site_key, new_id = self.clock, b"k" * 32, partial(self.new_id, "x")
        self.ledger = Ledger(self.store, self.recorder, clock, self.called)
        telling = Telling([self.channel])
        self.grants = grants = Grants(self.ledger, clock, telling)
        self.names = ResourceNames(Means(self.recorder, self.pace, clock, site_key), self.new_id)
        self.members = Members(self.people, clock, lambda: 0.5)
        self.access = Access(
            self.ledger,
            grants,
            telling=telling,
            names=self.names,
            members=self.members,
            active=[self.directory],
            counts=self.counts,
            patience=self.patience,
            limits=self.limits,
            clock=clock,
            new_id=self.new_id,
        )
        self.once = MemoryOnce(clock) if self.shared_once is None else self.shared_once
        self.revocations = Revocations(self.once, self.access, self.recorder, clock)
        self.tally = Tally()
        accounts = Accounts(
            self.recorder,
            clock=clock,
            new_id=new_id,
            site_key=site_key,
            turn=no_others,
            tally=self.tally,
        )
        bodies = HeldBodies()
        self.decider = Decider(
            policy=self.policy(),
            profiles=self.profiles,
            access=self.access,
            bodies=bodies,
            accounts=accounts,
            budgets=Budgets(self.budgets, clock),
            clock=clock,
            site_key=site_key,
            sources=self.sources,
            ready=self.ready,
        )
        targets = {
            AUTHORITY: Target(
                name="things",
                manner="problem",
                catalog=_Catalog(self),
                credentials=_Credentials(self),
                upstream=_Upstream(self),
                resends=self.resends,
                query_name=self.in_query,
                body_name=self.in_body,
            )
        }
        self.names.adopt(targets, self.policy(), self.profiles)
        self.knocked = Knocked(self.recorder, self.clock)
        self.gateway = Gateway(
            targets=targets,
            identity=_Identity(self),
            decider=self.decider,
            sender=Sender(
                grants,
                self.decider,
                accounts,
                self.revocations,
                self.clock,
                pace=self.pace,
                turn=no_others,
                room=self.room,
                limits=self.bounds,
            ),
            accounts=accounts,
            bodies=bodies,
            load=Load(clock, self.bounds),
            revocations=self.revocations,
            knocked=self.knocked,
            recorder=self.recorder,
            clock=clock,
            new_id=new_id,
        )

    def policy(self) -> Policy:
        """The one rule's policy; its version changes with the verdict."""
        rules = (_Rule(self), *self.rules)
        return Policy(rules, version_of(rules, [repr(self.verdict)]), DUTIES)

    def new_id(self, kind: str) -> str:
        """x-1, x-2, a-1, ..."""
        self.ids[kind] += 1
        return f"{kind}-{self.ids[kind]}"

    async def start(self) -> None:
        """Start the recorder and take up what is pending."""
        await self.recorder.start()
        await self.store.open()
        await self.store.mark("run-1", 0)
        await self.revocations.recover()

    async def says(
        self, approver: str = "alice@acme.com", *, approves: bool = True, key: str = "a-1"
    ) -> AccessRequest | NotCounted:
        """Somebody's answer."""
        return await self.access.answer(
            key, approver, approves=approves, reason="", channel="memory"
        )

    def asked(
        self, request: Asked | None = None, subject: Subject | None = None
    ) -> tuple[Told, Deferred[None]]:
        """An exchange that has begun, and may be held."""
        told, subject = Told(), subject or agent()
        proved_by = self.gateway._identity
        tunnel = Tunnel(AUTHORITY, "problem", "s-1", subject, token="t", proved_by=proved_by)
        serving = self.gateway.serve(tunnel, request or Asked("POST", body=b"{}"), told)
        return told, Deferred.fromCoroutine(serving)

    async def _in_thread(self, work, *args):  # type: ignore[no-untyped-def]
        if self.slow_disk and args:
            gate: Deferred[None] = Deferred()
            self.waiting.append(gate)
            await gate
        if args:
            self.log.append(f"fsync {' '.join(entry.type for entry in args[0])}")
        await self.paused("record")
        result = work(*args)
        await self.paused("recorded")
        return result

    async def paused(self, what: str) -> None:
        """Take the time that a test wants it to take."""
        if self.pause is not None:
            await self.pause(what)

    def reach(self, stage: str) -> None:
        """Note that a stage was reached, and fail there if that is wanted."""
        self.log.append(stage)
        if stage in self.fail:
            raise self.fail[stage]

    async def tunnel(self, token: str | None = "t") -> Tunnel | TurnedAway:
        """Knock with a token."""
        return await self.gateway.admit(Knock(AUTHORITY, token))

    async def serve(self, request: Asked | None = None) -> Told:
        """One exchange, from CONNECT to its end."""
        told = Told()
        tunnel = await self.tunnel()
        assert isinstance(tunnel, Tunnel)
        await self.gateway.serve(tunnel, request or Asked(), told)
        return told

    def entries(self, kind: str) -> list[dict[str, object]]:
        """The fields of every durable entry of a type."""
        return [dict(entry.fields) for entry in self.records.entries if entry.type == kind]


class _Port:
    def __init__(self, stand: Stand) -> None:
        self.stand = stand


@implementer(IIdentityVerifier)
class _Identity(_Port):
    async def verify(self, token: str, *, again: bool = False) -> Subject | Refusal:
        self.stand.reach("identity")
        return self.stand.subject


@implementer(ICatalog)
class _Catalog(_Port):
    actions = frozenset({"GET", "POST"})

    def samples(self, authority: str) -> Iterable[Operation]:
        return Catalog("things", OperationTrie(self.stand.rows)).samples(authority)

    def named(self, authority: str, action: str, resource: Mapping[str, str]) -> Operation | None:
        if self.stand.rows:
            rows = OperationTrie(self.stand.rows)
            return Catalog("things", rows).named(authority, action, resource)
        return PathCatalog("things").named(authority, action, resource)

    def operation(
        self, authority: str, method: str, path: str, query: str
    ) -> Operation | NotCanonical | None:
        self.stand.reach("catalog")
        if path == "/unknown":
            return None
        if self.stand.rows:
            return Catalog("things", OperationTrie(self.stand.rows)).operation(
                authority, method, path, query
            )
        plain = PathCatalog("things").operation(authority, method, path, query)
        assert plain is not None
        return Operation(
            plain.target,
            plain.action,
            plain.resource,
            method,
            authority,
            path,
            query,
            secrets=self.stand.secrets,
        )


@implementer(IRule)
class _Rule(_Port):
    name = "the-rule"
    version = "1"

    def judge(self, inquiry: Inquiry) -> Verdict | None:
        self.stand.reach("rule")
        if self.stand.reads is not None and not inquiry.operation.changes:
            return self.stand.reads
        return self.stand.verdict


@implementer(ILendingSource)
class _Credentials(_Port):
    async def lend(
        self, operation: Operation, *, reuse: float, granted: bool = False
    ) -> Credential:
        self.stand.granted.append(granted)
        self.stand.reach("credential")
        await self.stand.paused("credential")
        self.stand.lent.append(reuse)
        query, body = [
            None if name is None else Parameter(name, SECRET)
            for name in (self.stand.in_query, self.stand.in_body)
        ]
        fields = self.stand.credential_adds
        if query is None and body is None:
            fields = ((b"Authorization", b"Bearer " + SECRET), *fields)
        return Credential(fields, (SECRET,), {"kind": "test"}, query, body)

    def again(self, credential: Credential) -> Credential:
        fields = (*credential.headers, (b"X-Once-More", self.stand.once_more))
        return replace(credential, headers=fields, secrets=(self.stand.once_more,))

    def heard(self, credential: Credential, answer: ResponseHead) -> str | None:
        self.stand.log.append("heard")
        return self.stand.challenge

    def returned(self, credential: Credential) -> None:
        self.stand.log.append("returned")
        self.stand.lent.pop()


@implementer(IUpstream)
class _Upstream(_Port):
    async def connect(self, *, fresh: bool) -> _Connection:
        self.stand.reach("connect")
        self.stand.fresh_asked.append(fresh)
        await self.stand.paused("connect")
        return _Connection(self.stand, fresh and not self.stand.always_kept)

    async def stop(self) -> None: ...


@implementer(IUpstreamConnection)
class _Connection(_Port):
    def __init__(self, stand: Stand, fresh: bool) -> None:
        super().__init__(stand)
        self.fresh = fresh
        self._left = list(stand.pieces)

    async def send(self, head: RequestHead, body: IRequest) -> ResponseHead:
        data = b""
        while piece := await body.read():
            data += piece
            self.stand.read_so_far = len(data)
        self.stand.sent.append((head, data))
        self.stand.reach("send")
        await self.stand.paused("answer")
        if self.stand.answer_when is not None:
            await self.stand.answer_when
        return self.stand.answer

    async def read(self) -> bytes:
        first = len(self._left) == len(self.stand.pieces)
        self.stand.reach("read" if first else "read more")
        if not first and self.stand.rest_when is not None:
            await self.stand.rest_when
        return self._left.pop(0) if self._left else b""

    def trailers(self) -> Headers:
        return ()

    def release(self) -> None:
        self.stand.log.append("release")

    def abort(self) -> None:
        self.stand.log.append("abort")


async def no_others() -> None:
    """A turn that nobody takes: these clocks do not go on by themselves."""


def permit(**duties: object) -> Verdict:
    """A verdict that permits, with obligations."""
    return Verdict(Effect.PERMIT, "They may.", tuple(Obligation(*each) for each in duties.items()))


def review(*quorums: tuple[tuple[str, ...], int], uses: int = 1, life: float = 300.0) -> Verdict:
    """A verdict that sends a call to people: to one of the leads, if nothing else is said."""
    duties = [Obligation("approvers", each) for each in quorums or ((("leads",), 1),)]
    return Verdict(Effect.REVIEW, "Look at it.", (*duties, Obligation("grant", (uses, life))))


REFUSED = Refusal(Denial.TOKEN_REFUSED, "The token has expired.")
