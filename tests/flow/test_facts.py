"""What is known from outside is gathered before policy is asked, in time, or it is not known."""

from __future__ import annotations

import json

import pytest
from pytest_twisted import ensureDeferred
from support.ports import JSON, Asked, Stand, agent, permit, review
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from zope.interface import implementer
from zope.interface.verify import verifyObject

from jitgate.core.policy import NEEDS_FACTS, Policy, version_of
from jitgate.errors import FactsUnknown
from jitgate.flow.facts import KEPT, LONGEST_DEADLINE, OLDEST, TOLD_EVERY, Knowledge, stated_wrongly
from jitgate.flow.gateway import DUTIES
from jitgate.interfaces import IFacts, IInformedRule
from jitgate.values import AccessState, Effect, Operation, Verdict

OPERATION = Operation("things", "POST", {}, "POST", "api.example:443", "/things/7")


@implementer(IFacts)
class Tickets:
    """A ticket system that answers when a test lets it."""

    name = "ticket"
    version = "1"

    def __init__(self, told=None, *, deadline=2.0, max_age=0.0):
        self.told = told
        self.deadline, self.max_age = deadline, max_age
        self.asked: list[Deferred] = []
        self.stopped = 0

    def key(self, operation, subject):
        return operation.path

    async def gather(self, operation, subject):
        if self.told is not None:
            self.asked.append(None)
            return self.told
        answer = Deferred(lambda _: self._stop())
        self.asked.append(answer)
        return await answer

    def _stop(self):
        self.stopped += 1


class Calls:
    """Calls that ask what is known, and what they were told."""

    def __init__(self, *sources):
        self.clock = Clock()
        self.knowledge = Knowledge(sources, self.clock)

    def ask(self, *names, path="/things/7"):
        operation = Operation("things", "POST", {}, "POST", "api.example:443", path)
        gathering = self.knowledge.gathered(names or ("ticket",), operation, agent())
        return Deferred.fromCoroutine(gathering)

    def told(self, *names, path="/things/7"):
        """What a call learns at once."""
        return result(self.ask(*names, path=path))


def result(asked):
    found = []
    asked.addCallback(found.append)
    assert found, "it is still being asked"
    return found[0]


@pytest.fixture
def logged():
    events = []
    globalLogPublisher.addObserver(events.append)
    yield lambda: [each for each in events if "are not known" in (each.get("log_format") or "")]
    globalLogPublisher.removeObserver(events.append)


def test_the_source_here_is_one():
    verifyObject(IFacts, Tickets())


def test_what_is_told_is_known_with_its_age_counted_from_the_question():
    tickets = Tickets()
    calls = Calls(tickets)
    asked = calls.ask()
    calls.clock.advance(1.5)
    tickets.asked[0].callback({"open": True})
    known = result(asked)
    assert known.facts == {"ticket": {"open": True}}
    assert known.described(calls.clock.seconds())["ticket"]["seconds"] == 1.5


def test_all_are_asked_at_once_and_each_has_its_own_time():
    quick, slow = Tickets(deadline=1.0), Tickets(deadline=3.0)
    slow.name = "on-call"
    calls = Calls(quick, slow)
    asked = calls.ask("ticket", "on-call")
    assert (len(quick.asked), len(slow.asked)) == (1, 1)
    calls.clock.advance(1.0)
    assert (quick.stopped, slow.stopped) == (1, 0)
    slow.asked[0].callback({"who": "alice"})
    known = result(asked)
    assert dict(known.facts) == {"on-call": {"who": "alice"}}
    assert known.missing == {"ticket": "late"}


def test_what_comes_late_is_not_known_then_nor_to_the_next(logged):
    class Stubborn(Tickets):
        async def gather(self, operation, subject):
            try:
                return await super().gather(operation, subject)
            except CancelledError:
                return await super().gather(operation, subject)

    tickets = Stubborn(max_age=60.0)
    calls = Calls(tickets)
    asked = calls.ask()
    calls.clock.advance(2.0)
    assert result(asked).missing == {"ticket": "late"}
    tickets.asked[1].callback({"open": True})
    again = calls.ask()
    tickets.asked[2].callback({"open": False})
    assert result(again).facts["ticket"] == {"open": False}
    assert len(logged()) == 1


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda: 1 / 0, "ZeroDivisionError"),
        (list, "It is no mapping."),
        (lambda: {"open": object()}, "It holds what is no JSON."),
        (lambda: (_ for _ in ()).throw(FactsUnknown("It said 503.")), "It said 503."),
    ],
)
def test_what_raises_or_tells_nonsense_is_not_known_and_logged_once_in_a_while(how, said, logged):
    class Broken(Tickets):
        async def gather(self, operation, subject):
            return how()

    calls = Calls(Broken())
    for _ in range(5):
        assert calls.told().missing == {"ticket": "failed"}
    (event,) = logged()
    assert said in event["what"]
    calls.clock.advance(TOLD_EVERY)
    calls.told()
    assert [each["more"] for each in logged()] == [0, 4]


def test_what_others_say_in_their_exceptions_is_not_logged(logged):
    class Broken(Tickets):
        async def gather(self, operation, subject):
            raise ValueError("hunter2")

    Calls(Broken()).told()
    assert "hunter2" not in str(logged())


def test_a_key_that_raises_or_is_none_means_that_nothing_is_known():
    class Keyless(Tickets):
        def key(self, operation, subject):
            return [] if operation.path == "/" else 1 / 0

    calls = Calls(Keyless({"open": True}))
    assert calls.told().missing == calls.told(path="/").missing == {"ticket": "failed"}


def test_a_source_that_is_not_there_tells_nothing():
    assert Calls().told("ticket").missing == {"ticket": "unknown"}


def test_an_answer_counts_for_its_key_until_it_is_too_old():
    tickets = Tickets({"open": True}, max_age=60.0)
    calls = Calls(tickets)
    calls.told()
    calls.clock.advance(59.9)
    assert calls.told().since == {"ticket": 0.0}
    assert len(tickets.asked) == 1
    calls.told(path="/things/8")
    assert len(tickets.asked) == 2
    calls.clock.advance(0.1)
    calls.told()
    assert len(tickets.asked) == 3


def test_an_answer_is_as_old_as_its_question():
    tickets = Tickets(deadline=10.0, max_age=5.0)
    calls = Calls(tickets)
    asked = calls.ask()
    calls.clock.advance(4.0)
    tickets.asked[0].callback({"open": True})
    result(asked)
    calls.clock.advance(1.0)
    calls.ask()
    assert len(tickets.asked) == 2


def test_where_the_clock_was_set_back_no_answer_lasts_longer():
    tickets = Tickets({"open": True}, max_age=60.0)
    calls = Calls(tickets)
    calls.clock.advance(1000.0)
    calls.told()
    calls.clock.rightNow = 10.0
    calls.told()
    assert len(tickets.asked) == 2


def test_of_age_0_each_answer_counts_once():
    tickets = Tickets(max_age=0)
    calls = Calls(tickets)
    calls.ask()
    calls.ask()
    assert len(tickets.asked) == 2


def test_calls_of_one_key_share_a_question_and_those_who_leave_do_not_end_it():
    tickets = Tickets(max_age=60.0)
    calls = Calls(tickets)
    first, second = calls.ask(), calls.ask()
    first.addErrback(lambda failure: None)
    first.cancel()
    assert (len(tickets.asked), tickets.stopped) == (1, 0)
    tickets.asked[0].callback({"open": True})
    assert result(second).facts["ticket"] == {"open": True}


def test_the_last_who_leaves_ends_it_and_nothing_is_left_behind():
    tickets, other = Tickets(max_age=60.0), Tickets(max_age=60.0)
    other.name = "on-call"
    calls = Calls(tickets, other)
    asked = calls.ask("ticket", "on-call")
    asked.addErrback(lambda failure: None)
    asked.cancel()
    assert (tickets.stopped, other.stopped) == (1, 1)
    assert calls.clock.getDelayedCalls() == []
    calls.ask()
    assert len(tickets.asked) == 2


def test_a_question_too_old_is_not_joined():
    tickets = Tickets(deadline=10.0, max_age=1.0)
    calls = Calls(tickets)
    first = calls.ask()
    calls.clock.advance(1.0)
    second = calls.ask()
    assert len(tickets.asked) == 2
    tickets.asked[1].callback({"open": True})
    tickets.asked[0].callback({"open": False})
    assert (result(first).since, result(second).since) == ({"ticket": 0.0}, {"ticket": 1.0})


def test_no_more_answers_are_kept_than_so_many():
    tickets = Tickets({"open": True}, max_age=60.0)
    calls = Calls(tickets)
    for number in range(KEPT + 1):
        calls.told(path=f"/{number}")
    calls.told(path=f"/{KEPT}")
    assert len(tickets.asked) == KEPT + 1
    calls.told(path="/0")
    assert len(tickets.asked) == KEPT + 2


def test_no_rule_changes_what_another_sees():
    calls = Calls(Tickets({"people": ["alice"]}, max_age=60.0))
    known = calls.told().facts
    for change in (
        lambda: known["ticket"].update(open=True),
        lambda: known["ticket"]["people"].append("mallory"),
        lambda: known.update(more={}),
    ):
        with pytest.raises(AttributeError):
            change()
    assert calls.told().facts == {"ticket": {"people": ("alice",)}}


@pytest.mark.parametrize(
    ("deadline", "max_age", "right"),
    [
        (2.0, 0, True),
        (LONGEST_DEADLINE, OLDEST, True),
        (0, 0, False),
        (LONGEST_DEADLINE + 1, 0, False),
        (float("nan"), 0, False),
        ("2s", 0, False),
        (True, 0, False),
        (2.0, -1, False),
        (2.0, OLDEST + 1, False),
        (2.0, None, False),
    ],
)
def test_a_source_states_seconds_within_bounds(deadline, max_age, right):
    assert (stated_wrongly(Tickets(deadline=deadline, max_age=max_age)) is None) is right


# --- in the story of a call


@implementer(IInformedRule)
class OnlyWithATicket:
    """Gives its verdict while the ticket is open, and denies while it is not."""

    name = "only-with-a-ticket"
    version = "1"
    facts = frozenset({"ticket"})

    def __init__(self, verdict=None):
        self.verdict = verdict or permit()
        self.saw = []

    def judge(self, inquiry):
        self.saw.append(inquiry.facts)
        if "ticket" not in inquiry.facts:
            return self.verdict  # whatever it thinks: it may not permit
        opened = inquiry.facts["ticket"].get("open") is True
        return self.verdict if opened else Verdict(Effect.DENY, "The ticket is closed.")


def stand(tickets, verdict=None):
    return Stand(verdict=None, rules=(OnlyWithATicket(verdict),), sources=(tickets,))


def post():
    return Asked("POST", "/things/7", b'{"n": 1}', JSON)


def problem(told):
    return json.loads(told.data)


@ensureDeferred
async def test_what_is_known_permits_and_stands_in_the_record():
    site = stand(Tickets({"open": True, "token": "t-1"}))
    told = await site.serve(post())
    assert told.head.status == 200
    (entry,) = site.entries("decision")
    assert entry["facts"] == {"ticket": {"seconds": 0.0, "known": {"open": True, "token": "***"}}}


@ensureDeferred
async def test_what_is_known_denies():
    site = stand(Tickets({"open": False}))
    told = await site.serve(post())
    assert (told.head.status, problem(told)["detail"]) == (403, "The ticket is closed.")
    assert site.sent == []


@pytest.mark.parametrize("how", ["late", "failed"])
def test_what_is_not_known_permits_nothing_and_the_record_says_why(how):
    tickets = Tickets()
    site = stand(tickets)
    told, serving = site.asked(post())
    assert not serving.called
    if how == "late":
        site.clock.advance(2.0)
    else:
        tickets.asked[0].errback(ValueError())
    assert serving.called
    assert told.head.status == 403
    assert "It looks at facts that are not known: ticket." in problem(told)["detail"]
    assert site.sent == []
    assert site.entries("decision")[0]["facts"] == {"ticket": {"missing": how}}


@ensureDeferred
async def test_without_rules_that_look_at_them_nothing_is_gathered():
    tickets = Tickets()
    site = Stand(sources=(tickets,))
    assert (await site.serve(post())).head.status == 200
    assert tickets.asked == []
    assert "facts" not in site.entries("decision")[0]


def test_facts_are_gathered_anew_once_people_have_answered():
    tickets = Tickets({"open": True})
    site = stand(tickets, review())
    told, serving = site.asked(post())
    assert not serving.called
    asked = len(tickets.asked)
    site.clock.advance(30.0)
    Deferred.fromCoroutine(site.says())
    assert serving.called
    assert told.head.status == 200
    assert len(tickets.asked) == asked + 1
    first, second = site.entries("decision")
    assert first["facts"]["ticket"]["known"] == second["facts"]["ticket"]["known"]


@pytest.mark.parametrize("told_now", [{"open": False}, []])
def test_what_people_gave_leave_for_does_not_go_where_the_facts_have_changed(told_now):
    tickets = Tickets({"open": True})
    site = stand(tickets, review())
    told, serving = site.asked(post())
    tickets.told = told_now
    site.rules[0].verdict = permit() if told_now == [] else review()
    Deferred.fromCoroutine(site.says())
    assert serving.called
    assert told.head.status == 403
    assert site.sent == []


def test_a_call_that_is_cut_short_leaves_what_others_wait_for():
    tickets = Tickets(max_age=60.0)
    site = stand(tickets)
    first, serving = site.asked(post(), agent(id="bot-7"))
    second, others = site.asked(post(), agent(id="bot-8"))
    site.gateway.cut("It was revoked.", lambda subject: subject.id == "bot-7")
    assert serving.called
    assert (first.head.status, tickets.stopped) == (502, 0)
    tickets.asked[0].callback({"open": True})
    assert others.called
    assert second.head.status == 200


def test_where_policy_was_replaced_meanwhile_the_call_is_decided_anew():
    tickets, others = Tickets(), Tickets({"who": "alice"})
    others.name = "on-call"
    site = stand(tickets)
    told, serving = site.asked(post())
    rule = OnlyWithATicket()
    rule.facts = frozenset({"on-call"})
    rule.judge = lambda inquiry: permit() if inquiry.facts["on-call"] else None
    site.decider.adopt(Policy((rule,), version_of((rule,), ["2"]), DUTIES), {}, (others,))
    tickets.asked[0].callback({"open": False})
    assert serving.called
    assert told.head.status == 200
    assert list(site.entries("decision")[0]["facts"]) == ["on-call"]


@ensureDeferred
async def test_a_reload_does_not_end_what_only_the_call_itself_can_decide():
    site = stand(Tickets({"open": True}), review())
    _, serving = site.asked(post())
    await site.decider.reconsider()
    assert not serving.called
    (request,) = await site.store.requests()
    assert request.state is AccessState.PENDING
    await site.says()
    await serving


@ensureDeferred
async def test_nothing_is_foretold_and_a_token_is_decided_on_by_facts():
    tickets = Tickets({"open": True})
    site = stand(tickets)
    assert site.decider.foreseen(OPERATION, agent()) is NEEDS_FACTS
    assert (await site.decider.ahead(OPERATION, agent())).effect is Effect.PERMIT
    tickets.told = {"open": False}
    assert (await site.decider.ahead(OPERATION, agent())).effect is Effect.DENY
    tickets.told = []
    assert (await site.decider.ahead(OPERATION, agent())).effect is Effect.DENY
