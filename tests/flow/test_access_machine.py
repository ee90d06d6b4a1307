"""Requests, answers, time, hang-ups, revocations, and a crash at any await: driven by Hypothesis.

Everything outside takes as long as the machine likes: each wait of a port is a gate that a rule
opens, before and after its work. A crash leaves every gate shut for good, and begins another process
over what the store and the record hold.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.ports import JSON, Asked, Stand, agent, review
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from jitgate.core.access import NotCounted
from jitgate.core.answers import is_self
from jitgate.core.waiting import Patience
from jitgate.interfaces import IAccessStore
from jitgate.service import TakenUp
from jitgate.stores.access_memory import MemoryAccess
from jitgate.stores.memory import MemoryEvidence, MemoryRecords
from jitgate.values import AccessState, GrantState, RequestHead

GRAVEYARD: list[object] = []
"""Processes that have crashed. To collect one would run what its `finally` clauses say."""

AGENTS = [agent(expires_at=1e9), agent(id="bot-8", expires_at=1e9, humans=("alice@acme.com",))]
PEOPLE = ["alice@acme.com", "bob@acme.com", "mallory@acme.com"]


class Gates:
    """What waits for something outside. While ``open``, nothing waits."""

    def __init__(self) -> None:
        self.open = False
        self.waiting: list[Deferred[None]] = []

    async def wait(self, what: str) -> None:
        if not self.open:
            gate: Deferred[None] = Deferred()
            self.waiting.append(gate)
            await gate

    def let(self, number: int) -> None:
        self.waiting.pop(number % len(self.waiting)).callback(None)


@implementer(IAccessStore)
class SlowStore:
    """A store whose every answer takes its time, before its work and after it."""

    def __init__(self, store: MemoryAccess, gates: Gates) -> None:
        self._store = store
        self._gates = gates

    def __getattr__(self, name: str) -> Any:
        work = getattr(self._store, name)

        async def slow(*args: Any) -> Any:
            await self._gates.wait(name)
            result = await work(*args)
            await self._gates.wait(f"{name} done")
            return result

        return slow


class Watched(list[tuple[RequestHead, bytes]]):
    """What has left: nothing may, unless the record shows at that moment what it was spent under."""

    def __init__(self, machine: GatewayUnderFire) -> None:
        super().__init__()
        self._machine = machine

    def append(self, sent: tuple[RequestHead, bytes]) -> None:
        super().append(sent)
        try:
            self._machine.left(sent)
        except (AssertionError, StopIteration) as broken:  # the gateway would make a denial of it
            self._machine.broken.append(f"{broken}")


class GatewayUnderFire(RuleBasedStateMachine):
    """One store and one record, and one process after the other over them."""

    @initialize(
        uses=st.integers(1, 2), life=st.sampled_from([20.0, 300.0]), quorum=st.integers(1, 2)
    )
    def begin(self, uses: int, life: float, quorum: int) -> None:
        self.verdict = review((("leads",), quorum), uses=uses, life=life)
        self.kept, self.records = MemoryAccess(), MemoryRecords()
        self.evidence = MemoryEvidence(self.records)
        self.now, self.runs = 0.0, 0
        self.acknowledged: list[tuple[str, str, bool]] = []
        self.sent: Counter[str] = Counter()
        self.broken: list[str] = []
        self.paid: set[str] = set()
        self.ids = {"x": 0, "a": 0, "g": 0}
        self.boot()

    def boot(self) -> None:
        self.gates = Gates()
        self.gates.open = True
        clock = Clock()
        clock.advance(self.now)
        self.stand = Stand(
            verdict=self.verdict,
            store=SlowStore(self.kept, self.gates),
            records=self.records,
            clock=clock,
            pause=self.gates.wait,
            patience=Patience(hold=10, linger=15, expire=60),
            ids=self.ids,
        )
        self.stand.sent = Watched(self)
        self.runs += 1
        run = f"run-{self.runs}"
        stand = self.stand
        taken_up = TakenUp(
            stand.ledger,
            stand.access,
            stand.decider,
            stand.revocations,
            self.evidence,
            run=run,
            in_thread=_at_once,
        )
        self.evidence.begin(run)
        self.gates.open = False
        self.starting = Deferred.fromCoroutine(taken_up.start())
        self.calls: list[tuple[Any, Deferred[None]]] = []
        self.answering: list[Deferred[Any]] = []

    # --- what can happen

    @precondition(lambda self: not self.starting.called and self.gates.waiting)
    @rule(number=st.integers(0, 50))
    def go_on_starting(self, number: int) -> None:
        self.gates.let(number)

    @precondition(lambda self: self.starting.called and len(self.calls) < 6)
    @rule(who=st.sampled_from(AGENTS), what=st.sampled_from(["/things/1", "/things/2"]))
    def an_agent_calls(self, who: Any, what: str) -> None:
        call = Asked("POST", what, b"{}", JSON)
        self.calls.append(self.stand.asked(call, who))

    @precondition(lambda self: self.gates.waiting)
    @rule(number=st.integers(0, 50))
    def something_outside_is_done(self, number: int) -> None:
        self.gates.let(number)

    @precondition(lambda self: self.gates.waiting)
    @rule()
    def everything_outside_is_done(self) -> None:
        """As far as it goes by itself."""
        for _ in range(400):
            if not self.gates.waiting:
                break
            self.gates.let(0)

    @precondition(lambda self: self.starting.called and len(self.answering) < 6)
    @rule(
        who=st.sampled_from(PEOPLE),
        approves=st.booleans(),
        newest=st.booleans(),
        n=st.integers(0, 9),
    )
    def somebody_answers(self, who: str, approves: bool, newest: bool, n: int) -> None:
        last = self.ids["a"]
        key = f"a-{last if newest else 1 + n % max(1, last)}"
        answer = Deferred.fromCoroutine(self.stand.says(who, approves=approves, key=key))
        answer.addCallback(self.answered, who, approves)
        self.answering.append(answer)

    def answered(self, result: Any, who: str, approves: bool) -> None:
        if not isinstance(result, NotCounted):
            if who == "mallory@acme.com" or is_self(who, result.ask.subject):
                self.broken.append(f"{who} was counted")
            self.acknowledged.append((result.id, who, approves))

    @precondition(lambda self: self.calls)
    @rule(number=st.integers(0, 9))
    def an_agent_hangs_up(self, number: int) -> None:
        told, _ = self.calls[number % len(self.calls)]
        if not told.gone:
            told.hang_up()

    @precondition(lambda self: self.starting.called and self.ids["g"])
    @rule(number=st.integers(0, 9))
    def a_grant_is_revoked(self, number: int) -> None:
        key = f"g-{1 + number % self.ids['g']}"
        self.answering.append(Deferred.fromCoroutine(self.stand.access.revoke(key, "bob", "")))

    @rule(seconds=st.sampled_from([0.5, 1.0, 2.0, 9.0, 16.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.stand.clock.advance(seconds)

    @precondition(lambda self: self.starting.called and len(self.calls) < 6)
    @rule(
        who=st.sampled_from(AGENTS),
        what=st.sampled_from(["/things/1", "/things/2"]),
        far=st.data(),
        dice=st.integers(1, 3),
    )
    def a_call_goes_the_usual_way_so_far(self, who: Any, what: str, far: Any, dice: int) -> None:
        """Asked, and approved at once by Alice and Bob; then it gets to any of the waits that
        follow, or to its end."""
        self.an_agent_calls(who, what)
        self.everything_outside_is_done()
        for approver in ("alice@acme.com", "bob@acme.com"):
            self.somebody_answers(approver, approves=True, newest=True, n=0)
        for _ in range(far.draw(st.integers(0, 60))):
            if self.gates.waiting:
                self.gates.let(0)
        self.the_gateway_crashes(dice)

    @rule(dice=st.integers(1, 4))
    def the_gateway_crashes(self, dice: int) -> None:
        if dice > 1:
            return  # or nothing would ever get far
        GRAVEYARD.append((self.stand, self.gates, self.calls, self.answering, self.starting))
        self.boot()

    # --- what must hold

    def left(self, sent: tuple[RequestHead, bytes]) -> None:
        """Called as a request leaves: its exchange is the one that was put on record last for it."""
        spent = [entry.fields for entry in self.records.entries if entry.type == "grant.spent"]
        unpaid = [fields for fields in spent if fields["use"] not in self.paid]
        assert unpaid, "a request left under no grant that was spent for it"
        fields = next(each for each in unpaid if self.is_for(each, sent[0].target))
        self.paid.add(str(fields["use"]))
        self.sent[str(fields["grant"])] += 1
        grant = self.grant(str(fields["grant"]))
        assert self.sent[grant.id] <= grant.ask.terms.uses, "it was used too often"
        assert grant.approved_by, "nobody approved it"
        for who in grant.approved_by:
            assert who in {"alice@acme.com", "bob@acme.com"}
            assert not is_self(who, grant.ask.subject)

    def is_for(self, fields: Any, target: str) -> bool:
        return self.grant(str(fields["grant"])).ask.operation.path == target

    def grant(self, key: str) -> Any:
        return next(
            value for _, value in self.kept._kept.values() if getattr(value, "id", "") == key
        )

    @invariant()
    def nothing_left_that_must_not(self) -> None:
        assert self.broken == []

    @invariant()
    def no_acknowledged_answer_is_lost(self) -> None:
        kept = {value.id: value for _, value in self.kept._kept.values()}
        for key, who, approves in self.acknowledged:
            request = kept[key]
            last = [each for each in self.acknowledged if each[:2] == (key, who)][-1]
            if (key, who, approves) == last and request.state is not AccessState.PENDING:
                continue
            assert any(each.approver == who for each in request.answers)

    @invariant()
    def one_request_is_pending_for_each_call(self) -> None:
        pending = Counter(
            (value.ask.subject.key, value.ask.fingerprint)
            for _, value in self.kept._kept.values()
            if getattr(value, "state", None) is AccessState.PENDING
        )
        assert all(count == 1 for count in pending.values())

    @invariant()
    def uses_are_never_gained(self) -> None:
        for _, value in self.kept._kept.values():
            if hasattr(value, "tally"):
                assert sum(value.tally.values()) == value.ask.terms.uses
                gone = value.tally.get(GrantState.ACTIVE, 0) + self.sent[value.id]
                assert gone <= value.ask.terms.uses, "a use was sent and is still there to be taken"

    def teardown(self) -> None:
        if hasattr(self, "stand"):
            GRAVEYARD.append((self.stand, self.gates, self.calls, self.answering, self.starting))


async def _at_once(work: Any, *args: Any) -> object:
    return work(*args)


TestGatewayUnderFire = GatewayUnderFire.TestCase
TestGatewayUnderFire.settings = settings(stateful_step_count=50)
