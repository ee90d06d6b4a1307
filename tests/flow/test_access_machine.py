"""Requests, answers, time, hang-ups, revocations, and a crash at any await: driven by Hypothesis.

Everything outside takes as long as the machine likes: each wait of a port is a gate that a rule
opens, before and after its work. A crash leaves every gate shut for good, and begins another process
over what the store and the record hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.ports import JSON, Asked, Stand, agent
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from jitgate.app.taken_up import TakenUp
from jitgate.approvers.groups import MemoryGroups
from jitgate.approvers.people import ListedPeople
from jitgate.core import answers
from jitgate.core.access import NotCounted
from jitgate.core.answers import is_self
from jitgate.core.catalog import CatalogRow
from jitgate.core.fatigue import Fatigue
from jitgate.core.waiting import Patience
from jitgate.errors import PeopleUnknown
from jitgate.flow.elsewhere import Elsewhere
from jitgate.flow.opening import Limits
from jitgate.interfaces import IAccessStore, IGroups
from jitgate.stores.access_memory import MemoryAccess
from jitgate.stores.budgets_memory import MemoryBudgets
from jitgate.stores.memory import MemoryEvidence, MemoryRecords
from jitgate.values import (
    AccessState,
    Effect,
    Escalation,
    GrantState,
    Less,
    Obligation,
    Quorum,
    RequestHead,
    Risk,
    Verdict,
)

GRAVEYARD: list[object] = []
"""Processes that have crashed. To collect one would run what its `finally` clauses say."""

AGENTS = [agent(expires_at=1e9), agent(id="bot-8", expires_at=1e9, humans=("alice@acme.com",))]
ALICE, BOB = "alice@acme.com", "bob@acme.com"
PEOPLE = [ALICE, BOB, "carol@acme.com", "mallory@acme.com"]
SECURITY = frozenset({BOB, "carol@acme.com"})
COOL_DOWN = 45.0
LATER = (Escalation(12.0, ("security",)),)
QUORUMS = [
    (Quorum(("leads",)),),
    (Quorum(("leads",), 2),),
    (Quorum(("leads",), 2, denials=2),),
    (Quorum(("leads",), 1, LATER),),
    (Quorum(("leads",), 2, LATER),),
    (Quorum(("leads",), reason=True), Quorum(("security",))),
    (Quorum(("leads",), 2, signs=True),),
    (Quorum(("leads",), signs=True), Quorum(("security",), signs=True)),
]
MEMBERS = [(ALICE, BOB), (ALICE, BOB), (ALICE,), (BOB, "carol@acme.com"), ()]
"""Who may be in the group leads, which is kept elsewhere."""
LESS = [None, None, None, Less(uses=1), Less(life=19.0), Less(once=True)]


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

    def __init__(self, store: Any, gates: Gates) -> None:
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


@implementer(IGroups)
class SlowGroups:
    """Groups whose members take their time to be told: they are those between the two gates."""

    name, deadline = "slow", 3.0

    def __init__(self, groups: MemoryGroups, gates: Gates) -> None:
        self._groups = groups
        self._gates = gates

    def misnamed(self, group: str) -> str | None:
        return None

    async def members(self, group: str) -> Sequence[str]:
        await self._gates.wait("members")
        members = await self._groups.members(group)
        await self._gates.wait("members told")
        return members


class _Time:
    """The clock of all processes."""

    def __init__(self, machine: GatewayUnderFire) -> None:
        self._machine = machine

    def seconds(self) -> float:
        return self._machine.now


@dataclass
class Said:
    """That somebody began to answer, or to take their answer back: when, and when it was over."""

    key: str
    who: str
    is_answer: bool
    begun: int
    ended: int | None = None
    """When nothing could come of it any more."""
    counted: bool = False

    def is_over_by(self, other: Said) -> bool:
        return self.ended is not None and self.ended < other.begun

    def is_like(self, key: str, who: str, *, is_answer: bool) -> bool:
        return (self.key, self.who, self.is_answer) == (key, who, is_answer)


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
        uses=st.integers(1, 2),
        life=st.sampled_from([20.0, 300.0]),
        quorums=st.sampled_from(QUORUMS),
        risk=st.sampled_from([Risk.WRITE, Risk.WRITE, Risk.DESTRUCTIVE]),
    )
    def begin(self, uses: int, life: float, quorums: tuple[Quorum, ...], risk: Risk) -> None:
        duties = [Obligation("approvers", each) for each in quorums]
        self.verdict = Verdict(
            Effect.REVIEW, "Look at it.", (*duties, Obligation("grant", (uses, life)))
        )
        self.rows = (CatalogRow("POST", "/things/{id}", "changeThing", risk=risk),)
        self.takes_signs = risk is Risk.WRITE and all(each.signs for each in quorums)
        self.said: list[Said] = []
        self.moments = 0
        self.directory, self.counts = ListedPeople(), MemoryBudgets(_Time(self))
        self.directory_changes = 0
        self.groups, self.group_changes = MemoryGroups({"S1": MEMBERS[0]}), 0
        self.ever = {*MEMBERS[0]}
        self.denied: list[tuple[str, str, float, int]] = []
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
            rows=self.rows,
            store=SlowStore(self.kept, self.gates),
            records=self.records,
            clock=clock,
            pause=self.gates.wait,
            patience=Patience(hold=10, linger=15, expire=60),
            ids=self.ids,
            directory=self.directory,
            people={
                "leads": Elsewhere(SlowGroups(self.groups, self.gates), "S1"),
                "security": SECURITY,
            },
            asked_before=SlowStore(self.counts, self.gates),
            limits=Limits(fatigue=Fatigue(cool_down=COOL_DOWN, denials=1000)),
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
        self.starting.addCallback(lambda _: Deferred.fromCoroutine(stand.members.start()))
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
        less=st.sampled_from(LESS),
        reason=st.sampled_from(["", "OPS-7"]),
        sign=st.sampled_from([False, False, True]),
    )
    def somebody_answers(
        self,
        who: str,
        approves: bool,
        newest: bool,
        n: int,
        less: Less | None,
        reason: str,
        sign: bool,
    ) -> None:
        key = self.key(n, newest=newest)
        if sign:
            less, reason = None, ""
        said = self.says(key, who, is_answer=True)
        given = self.stand.access.answer(
            key, who, approves=approves, reason=reason, channel="memory", less=less, sign=sign
        )
        gone = None if self.is_active(who) else self.directory_changes
        answer = Deferred.fromCoroutine(given)
        answer.addBoth(self.over, said)
        if sign and not self.takes_signs:
            answer.addCallback(self.counts_no_sign, who)
        answer.addCallback(self.answered, who, approves, gone, self.group_changes)
        self.answering.append(answer)

    @precondition(lambda self: self.starting.called and len(self.answering) < 6)
    @rule(who=st.sampled_from(PEOPLE[:3]), newest=st.booleans(), n=st.integers(0, 9))
    def somebody_takes_it_back(self, who: str, newest: bool, n: int) -> None:
        key = self.key(n, newest=newest)
        said = self.says(key, who, is_answer=False)
        taking = Deferred.fromCoroutine(self.stand.access.take_back(key, who, "memory"))
        taking.addBoth(self.over, said)
        taking.addCallback(self.taken_back, who)
        self.answering.append(taking)

    def key(self, n: int, *, newest: bool) -> str:
        last = self.ids["a"]
        return f"a-{last if newest else 1 + n % max(1, last)}"

    def says(self, key: str, who: str, *, is_answer: bool) -> Said:
        self.moments += 1
        self.said.append(Said(key, who, is_answer, self.moments))
        return self.said[-1]

    def over(self, result: Any, said: Said) -> Any:
        self.moments += 1
        said.ended = self.moments
        said.counted = not isinstance(result, NotCounted | Failure)
        return result

    def counts_no_sign(self, result: Any, who: str) -> Any:
        if not isinstance(result, NotCounted):
            self.broken.append(f"a mere sign of {who} was counted")
        return result

    def taken_back(self, result: Any, who: str) -> None:
        if isinstance(result, NotCounted):
            return
        if result.state is not AccessState.PENDING:
            self.broken.append("an answer was taken back that had decided")
        if who in {each.approver for each in result.answers}:
            self.broken.append(f"{who} took it back, and it is there")

    def is_active(self, who: str) -> bool:
        return who not in self.directory._inactive

    def answered(
        self, result: Any, who: str, approves: bool, gone: int | None, groups: int
    ) -> None:
        """``gone``: they were deactivated when they answered, and since which change. ``groups``:
        the number of the last change of members by then."""
        if isinstance(result, NotCounted):
            return
        if groups == self.group_changes:
            now = {"leads": {*self.groups.groups["S1"]}, "security": SECURITY}
            counted = [each.approver for each in result.answers]
            asked = [each for groups in self.places(result, self.now) for each in groups]
            strangers = set(counted).difference(*(now[group] for group in asked))
            if strangers:
                self.broken.append(f"{strangers} were counted, who are members of nothing asked")
            if result.state is AccessState.APPROVED and not self.can_seat(
                self.places(result, self.now), answers.approvers(result), now
            ):
                self.broken.append("too few members approved it")
        if who == "mallory@acme.com" or is_self(who, result.ask.subject):
            self.broken.append(f"{who} was counted")
        if gone is not None and gone == self.directory_changes:
            self.broken.append(f"{who} was counted, who is deactivated")
        self.acknowledged.append((result.id, who, approves))
        if result.state is AccessState.DENIED:
            ask = result.ask
            self.denied.append((ask.subject.key, ask.fingerprint, self.now, self.ids["a"]))

    @rule(gone=st.sets(st.sampled_from(PEOPLE[:3]), max_size=1))
    def the_directory_changes(self, gone: set[str]) -> None:
        self.directory.deactivate(*gone)
        self.directory_changes += 1

    @rule(members=st.sampled_from(MEMBERS), is_down=st.integers(0, 3))
    def a_group_changes(self, members: tuple[str, ...], is_down: int) -> None:
        self.groups.groups["S1"] = members
        self.groups.failure = PeopleUnknown("It is down.") if is_down == 3 else None
        self.group_changes += 1
        self.ever |= {*members}

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
            self.somebody_answers(
                approver, approves=True, newest=True, n=0, less=None, reason="OPS-7", sign=False
            )
        for _ in range(far.draw(st.integers(0, 60))):
            if self.gates.waiting:
                self.gates.let(0)
        self.the_gateway_crashes(dice)

    @precondition(
        lambda self: self.starting.called and len(self.calls) < 6 and len(self.answering) < 4
    )
    @rule(
        who=st.sampled_from(AGENTS),
        approver=st.sampled_from([ALICE, BOB]),
        steps=st.tuples(st.integers(0, 20), st.integers(0, 20)),
        dice=st.integers(1, 6),
    )
    def an_answer_comes_and_goes(
        self, who: Any, approver: str, steps: tuple[int, int], dice: int
    ) -> None:
        """And each of the two is as far on its way as may be."""
        self.an_agent_calls(who, "/things/1")
        self.everything_outside_is_done()
        sign = self.takes_signs or dice > 2
        self.somebody_answers(
            approver, approves=True, newest=True, n=0, less=None, reason="OPS-7", sign=sign
        )
        if dice % 2:  # and somebody else answers at the same moment
            self.everything_outside_is_done()
            self.somebody_answers(
                BOB if approver == ALICE else ALICE,
                approves=True,
                newest=True,
                n=0,
                less=None,
                reason="OPS-7",
                sign=self.takes_signs,
            )
        self.let(steps[0])
        self.somebody_takes_it_back(approver, newest=True, n=0)
        self.let(steps[1])
        self.the_gateway_crashes(dice)

    def let(self, steps: int) -> None:
        for _ in range(steps):
            if self.gates.waiting:
                self.gates.let(0)

    @rule(dice=st.integers(1, 4))
    def the_gateway_crashes(self, dice: int) -> None:
        if dice > 1:
            return  # or nothing would ever get far
        self.moments += 1
        for each in self.said:
            each.ended = self.moments if each.ended is None else each.ended
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
        assert self.sent[grant.id] <= grant.given.uses, "it was used too often"
        assert self.is_enough(grant), "too few approved it, or one of them for two"
        for who in grant.approved_by:
            assert not is_self(who, grant.ask.subject)
        self.check_given(grant, str(fields["fingerprint"]))

    def is_enough(self, grant: Any) -> bool:
        """As they were asked by then, of those who were ever members."""
        places = self.places(self.request(grant.access_request), grant.made_at)
        people = {"leads": self.ever, "security": SECURITY}
        return self.can_seat(places, grant.approved_by, people)

    def places(self, request: Any, by: float) -> list[list[str]]:
        """The groups that are asked by a time, for each approval that it takes."""
        age = by - request.opened_at
        return [
            [
                *quorum.groups,
                *(g for step in quorum.escalations if step.after <= age for g in step.groups),
            ]
            for quorum in request.ask.terms.quorums
            for _ in range(quorum.count)
        ]

    def can_seat(
        self, places: list[list[str]], people: Iterable[str], groups: Mapping[str, AbstractSet[str]]
    ) -> bool:
        """By trying every way to seat those who approved."""

        def fits(left: list[list[str]], free: frozenset[str]) -> bool:
            if not left:
                return True
            one = {who for who in free if any(who in groups[g] for g in left[0])}
            return any(fits(left[1:], free - {who}) for who in one)

        return fits(places, frozenset(people))

    def check_given(self, grant: Any, sent: str) -> None:
        """No more was given than policy offers, and than anybody gave."""
        terms, request = grant.ask.terms, self.request(grant.access_request)
        assert grant.given.uses <= terms.uses
        assert grant.expires_at - grant.made_at <= terms.life + 1e-6
        for answer in request.answers:
            assert answer.reason or not answer.approves or not terms.needs_reason
            less = answer.less or Less()
            assert less.uses is None or grant.given.uses <= less.uses
            assert less.life is None or grant.given.life <= less.life
            if less.once:
                assert (grant.given.uses, sent) == (1, grant.ask.fingerprint)

    def is_for(self, fields: Any, target: str) -> bool:
        return self.grant(str(fields["grant"])).ask.operation.path == target

    def grant(self, key: str) -> Any:
        return next(
            value for _, value in self.kept._kept.values() if getattr(value, "id", "") == key
        )

    request = grant

    @invariant()
    def nothing_left_that_must_not(self) -> None:
        assert self.broken == []

    def may_be_taken_back(self, key: str, who: str) -> bool:
        """Whether each answer of theirs may have been taken back since it was begun."""
        given = [e for e in self.said if e.is_like(key, who, is_answer=True) and e.counted]
        taken = [e for e in self.said if e.is_like(key, who, is_answer=False)]
        return not any(all(back.is_over_by(one) for back in taken) for one in given)

    @invariant()
    def what_was_taken_back_counts_no_more(self) -> None:
        kept = {value.id: value for _, value in self.kept._kept.values()}
        for back in self.said:
            if back.is_answer or not back.counted:
                continue
            given = [e for e in self.said if e.is_like(back.key, back.who, is_answer=True)]
            if all(one.is_over_by(back) for one in given):
                assert back.who not in {each.approver for each in kept[back.key].answers}

    @invariant()
    def no_acknowledged_answer_is_lost(self) -> None:
        kept = {value.id: value for _, value in self.kept._kept.values()}
        for key, who, approves in self.acknowledged:
            request = kept[key]
            if self.may_be_taken_back(key, who):
                continue
            last = [each for each in self.acknowledged if each[:2] == (key, who)][-1]
            if (key, who, approves) == last and request.state is not AccessState.PENDING:
                continue
            changes = self.directory_changes + self.group_changes
            if changes and who not in {e.approver for e in request.answers}:
                continue  # they were deactivated since, or have left the group
            assert any(each.approver == who for each in request.answers)

    @invariant()
    def what_was_denied_cools_down(self) -> None:
        for _, value in self.kept._kept.values():
            for key, fingerprint, at, newest in self.denied:
                if not hasattr(value, "opened_at") or int(value.id.split("-")[1]) <= newest:
                    continue
                if (value.ask.subject.key, value.ask.fingerprint) == (key, fingerprint):
                    assert value.opened_at >= at + COOL_DOWN, "asked for again too soon"

    @invariant()
    def nobody_more_is_asked_before_the_time(self) -> None:
        for _, value in self.kept._kept.values():
            assert getattr(value, "escalated", 0.0) <= self.now

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
                assert sum(value.tally.values()) == value.given.uses
                gone = value.tally.get(GrantState.ACTIVE, 0) + self.sent[value.id]
                assert gone <= value.given.uses, "a use was sent and is still there to be taken"

    def teardown(self) -> None:
        if hasattr(self, "stand"):
            GRAVEYARD.append((self.stand, self.gates, self.calls, self.answering, self.starting))


async def _at_once(work: Any, *args: Any) -> object:
    return work(*args)


TestGatewayUnderFire = GatewayUnderFire.TestCase
TestGatewayUnderFire.settings = settings(stateful_step_count=50)
