"""Rules and maskers of plugins that keep the gateway waiting twice are switched off, and only they."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
from pytest_twisted import ensureDeferred
from support.ports import JSON, Asked, Stand, permit
from twisted.logger import globalLogPublisher
from zope.interface import implementer
from zope.interface.verify import verifyObject

from jitgate.core.hiding import STARS, Hand
from jitgate.core.json_body import GatheredJson, StreamedJson, masked
from jitgate.core.json_masking import JsonMasker
from jitgate.core.masking import Maskers
from jitgate.core.policy import NEEDS_BODY, Policy
from jitgate.core.profiles import MaskingProfile
from jitgate.errors import MaskerOff, MaskingFault, PluginInvalid
from jitgate.flow.gateway import DUTIES
from jitgate.flow.stopwatch import (
    ALLOWED,
    FRESH,
    OTHERS,
    Meter,
    Reading,
    Stopwatch,
    Took,
    own,
)
from jitgate.flow.watching import AGE, LONGEST, switched_off, watched_masker, watched_rule
from jitgate.interfaces import (
    IConcernedRule,
    IInformedRule,
    IMasker,
    IRule,
    IStatedMasker,
    IStatedRule,
)
from jitgate.values import Effect, How, Inquiry, Operation, Span, Undecided, Verdict

START = Reading(wall=100.0, thread=1.0, process=2.0, queued=0.5, waits=3, faults=0, collected=1)
NAN = float("nan")


def after(**more):
    """A reading so much later."""
    return START._replace(**{name: getattr(START, name) + each for name, each in more.items()})


CASES = {
    "it worked": (after(wall=0.008, thread=0.008, process=0.008), Took(0.008)),
    "it slept": (after(wall=0.008, thread=0.001, process=0.001, waits=1), Took(0.008)),
    "another process ran": (
        after(wall=0.009, thread=0.001, process=0.001, queued=0.008),
        Took(0.001),
    ),
    "it slept, and another process ran": (
        after(wall=0.009, thread=0.001, process=0.001, queued=0.002, waits=1),
        Took(0.007),
    ),
    "it was stopped, and never gave way": (
        after(wall=0.9, thread=0.001, process=0.001),
        Took(0.001),
    ),
    "another thread ran": (after(wall=0.009, thread=0.001, process=0.010, waits=1), Took(0.001)),
    "another thread ran and waited itself": (
        after(wall=0.009, thread=0.001, process=0.002, waits=1),
        Took(0.008, sure=False),
    ),
    "another thread ran, and it worked": (
        after(wall=0.016, thread=0.007, process=0.008, waits=1),
        Took(0.007),
    ),
    "memory was read from disk": (
        after(wall=0.009, thread=0.001, process=0.001, waits=1, faults=1),
        Took(0.001),
    ),
    "garbage was collected": (
        after(wall=0.09, thread=0.09, process=0.09, collected=1),
        Took(0.0),
    ),
    "the system does not tell of queues": (
        after(wall=0.009, thread=0.001, process=0.001, waits=1)._replace(queued=NAN),
        Took(0.001),
    ),
}


@pytest.mark.parametrize(("later", "took"), CASES.values(), ids=CASES)
def test_what_counts_is_what_a_call_took_by_its_own_doing(later, took):
    seconds, sure = own(START, later)
    assert (pytest.approx(seconds), sure) == took


class Scripted:
    """Clocks that stand still but for what a test says that calls take."""

    def __init__(self):
        self.at = START
        self.read = 0
        self.stopwatch = Stopwatch(self._read, lambda: self.at.wall)

    def _read(self):
        self.read += 1
        return self.at

    def works(self, seconds):
        at = self.at
        self.at = at._replace(
            wall=at.wall + seconds, thread=at.thread + seconds, process=at.process + seconds
        )

    def waits(self, seconds, others=0.0):
        at = self.at
        self.at = at._replace(
            wall=at.wall + seconds, process=at.process + others, waits=at.waits + 1
        )


@pytest.fixture
def clocks():
    return Scripted()


@pytest.mark.parametrize(("seconds", "slow"), [(ALLOWED - 0.0001, False), (ALLOWED + 0.0001, True)])
def test_what_is_allowed_is_not_slow(clocks, seconds, slow):
    begun = clocks.stopwatch.begun()
    clocks.works(seconds)
    assert (clocks.stopwatch.took(begun) is not None) is slow


def test_quick_calls_in_a_row_share_a_reading_and_what_came_before_a_call_is_not_its_doing(clocks):
    for _ in range(9):
        begun = clocks.stopwatch.begun()
        clocks.works(FRESH / 10)
        assert clocks.stopwatch.took(begun) is None
    assert clocks.read == 1
    begun = clocks.stopwatch.begun()
    clocks.works(ALLOWED - FRESH / 10)
    assert clocks.stopwatch.took(begun) is None
    begun = clocks.stopwatch.begun()
    clocks.works(0.008)
    assert clocks.stopwatch.took(begun).seconds == pytest.approx(0.008)


# --- the clocks themselves, on this machine


METER = Meter()
"""It keeps a file open, as the gateway's one does."""


def took(work):
    """What some work took of its own, and by the wall."""
    stopwatch = Stopwatch(METER)
    begun = stopwatch.begun()
    work()
    wall = time.perf_counter() - begun
    return stopwatch.took(begun), wall


def hindered(seconds):
    """What each of ten calls took that worked for so long and had somebody in the way."""
    found = []
    for _ in range(2_000):
        measured, wall = took(lambda: spin(seconds))
        if wall > ALLOWED:
            found.append(measured)
        if len(found) == 10:
            return found
    raise AssertionError("nobody was in the way")


def spin(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_sleep_counts():
    found = [took(lambda: time.sleep(0.008))[0] for _ in range(5)]
    assert max(each.seconds for each in found if each is not None) > ALLOWED


def test_work_counts():
    found = [took(lambda: spin(0.008))[0] for _ in range(5)]
    assert max(each.seconds for each in found if each is not None) > ALLOWED


_BUSY = "import os\nos.sched_setaffinity(0, {%d})\nwhile True: pass"


@contextmanager
def a_busy_processor():
    """This thread is on one processor, and four processes that never stop are there too."""
    allowed = os.sched_getaffinity(0)
    where = min(allowed)
    busy = [subprocess.Popen([sys.executable, "-c", _BUSY % where]) for _ in range(4)]
    os.sched_setaffinity(0, {where})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
        for each in busy:
            each.kill()
            each.wait()


def test_what_other_processes_take_does_not_count():
    with a_busy_processor():
        found = hindered(0.002)
    assert found == [None] * 10


@contextmanager
def a_busy_thread():
    """Another thread has the interpreter half of the time, a little while at a time."""
    stopped, interval = threading.Event(), sys.getswitchinterval()
    sys.setswitchinterval(0.0005)

    def work():
        while not stopped.is_set():
            pass

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        sys.setswitchinterval(interval)


def test_what_other_threads_take_does_not_count():
    with a_busy_thread():
        found = hindered(0.003)
    assert sum(each is not None and each.sure for each in found) <= 2


# --- rules


@implementer(IRule)
class Slow:
    """Takes what a test says."""

    name, version = "slow", "7"

    def __init__(self, takes, answer=None):
        self.takes, self.answer, self.asked = takes, answer or permit(), 0

    def judge(self, inquiry):
        self.asked += 1
        self.takes()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@implementer(IStatedRule, IInformedRule)
class Stated(Slow):
    """States all that a rule can."""

    facts = frozenset({"ticket"})

    @property
    def verdict(self):
        return self.answer

    def concerns(self, target, action, method, risk):
        return target == "things"

    def judge_concerned(self, inquiry):
        return self.judge(inquiry)


THINGS = Operation("things", "GET", {}, "GET", "api.example:443", "/things")
INQUIRY = Inquiry(THINGS, None, 0.0)


@pytest.fixture
def critical(nothing_unnoticed):
    """What was said as critical; that is meant here."""
    events = []

    def look(event):
        if "was switched off" in str(event.get("why")):
            events.append(event)

    globalLogPublisher.addObserver(look)
    yield events
    globalLogPublisher.removeObserver(look)
    nothing_unnoticed.clear()


@pytest.mark.parametrize("answer", [permit(), KeyError("x")])
def test_a_rule_that_is_slow_twice_denies_from_then_on_and_is_named_once(clocks, critical, answer):
    slow = Slow(lambda: clocks.works(0.007), answer)
    rule = watched_rule(slow, clocks.stopwatch)
    verifyObject(IRule, rule)
    for _ in range(2):
        try:
            assert rule.judge(INQUIRY) is answer
        except KeyError:
            assert isinstance(answer, KeyError)
    denied = rule.judge(INQUIRY)
    assert denied.effect is Effect.DENY
    assert denied.reason.startswith("Rule slow was switched off: it took 7 ms and 7 ms for a call")
    assert "reload" in denied.reason
    assert rule.judge(INQUIRY) == denied
    assert slow.asked == 2
    assert switched_off([rule, Slow(None)]) == [denied.reason]
    assert len(critical) == 1


def test_a_rule_that_is_slow_once_goes_on(clocks):
    slow = Slow(lambda: clocks.works(0.007))
    rule = watched_rule(slow, clocks.stopwatch)
    rule.judge(INQUIRY)
    slow.takes = lambda: clocks.works(0.004)
    for _ in range(100):
        assert rule.judge(INQUIRY).effect is Effect.PERMIT
    assert switched_off([rule]) == []


def test_a_call_that_may_have_waited_for_another_thread_counts_if_the_next_is_slow_too(
    clocks, critical
):
    slow = Slow(None)
    rule = watched_rule(slow, clocks.stopwatch)
    for _ in range(5):
        slow.takes = lambda: clocks.waits(0.009, others=2 * OTHERS)
        rule.judge(INQUIRY)
        slow.takes = lambda: clocks.works(0.001)
        rule.judge(INQUIRY)
    assert rule.off is None
    slow.takes = lambda: clocks.waits(0.009, others=2 * OTHERS)
    rule.judge(INQUIRY)
    rule.judge(INQUIRY)
    assert rule.judge(INQUIRY).effect is Effect.DENY


@pytest.mark.parametrize(("apart", "off"), [(AGE - 1, True), (AGE, False)])
@pytest.mark.parametrize("sure", [True, False])
def test_slow_calls_that_are_far_apart_are_accidents(clocks, request, apart, off, sure):
    if off:
        request.getfixturevalue("critical")
    slow = Slow(None)
    slow.takes = lambda: clocks.works(0.007) if sure else clocks.waits(0.009, others=2 * OTHERS)
    rule = watched_rule(slow, clocks.stopwatch)
    rule.judge(INQUIRY)
    clocks.waits(apart)
    rule.judge(INQUIRY)
    assert (rule.off is not None) is off


def test_each_rule_is_counted_by_itself(clocks):
    one, two = (watched_rule(Slow(lambda: clocks.works(0.007)), clocks.stopwatch) for _ in "12")
    one.judge(INQUIRY)
    two.judge(INQUIRY)
    assert (one.off, two.off) == (None, None)


def test_what_a_rule_states_it_states_through_the_watch(clocks):
    plain, stated = (watched_rule(kind(None), clocks.stopwatch) for kind in (Slow, Stated))
    assert (plain.name, plain.version) == ("slow", "7")
    assert not IStatedRule.providedBy(plain)
    assert not IInformedRule.providedBy(plain)
    verifyObject(IStatedRule, stated)
    verifyObject(IInformedRule, stated)
    assert (stated.verdict, stated.facts) == (permit(), frozenset({"ticket"}))
    assert stated.concerns("things", "GET", "GET", None)
    assert not stated.concerns("others", "GET", "GET", None)


def test_a_rule_that_states_its_verdict_denies_all_the_same_once_it_is_off(clocks, critical):
    rule = Stated(lambda: clocks.works(0.007))
    rule.concerns = lambda *_: True
    policy = Policy((watched_rule(rule, clocks.stopwatch),), "1", DUTIES)
    inquiry = INQUIRY._replace(facts={"ticket": {}})
    effects = [policy.decide(inquiry).effect for _ in range(3)]
    assert effects == [Effect.PERMIT, Effect.PERMIT, Effect.DENY]


class Answers:
    """A rule of each kind, that answers what a test says."""

    def __init__(self, answer, effect=None, target="things"):
        self.name, self.version, self.answer, self.target = "mine", "1", answer, target
        self.verdict = Verdict(effect, "So.")
        self.asked = []

    def judge(self, inquiry):
        self.asked.append(inquiry)
        return self.answer

    judge_concerned = judge

    def concerns(self, target, action, method, risk):
        return target == self.target


@implementer(IInformedRule)
class Informed(Answers):
    facts = frozenset({"freeze", "ticket"})


@implementer(IConcernedRule, IInformedRule)
class InformedOfThings(Informed):
    """States what it is about."""


@implementer(IStatedRule, IInformedRule)
class InformedAndStated(Informed):
    """States what it answers, too."""


DENY, REVIEW, PERMIT = (Verdict(effect, "So.") for effect in (Effect.DENY, Effect.REVIEW, Effect.PERMIT))  # fmt: skip
LACKS = Verdict(Effect.DENY, "Rule mine looks at facts that are not known: ticket.")
CANNOT = Undecided("No ticket.")


@pytest.mark.parametrize("ask", ["judge", "judge_concerned"])
@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (Informed(None), LACKS),
        (Informed(PERMIT), LACKS),
        (Informed(REVIEW), REVIEW),
        (Informed(DENY), DENY),
        (Informed(CANNOT), CANNOT),
        (Informed(NEEDS_BODY), NEEDS_BODY),
        (InformedOfThings(None), LACKS),
        (InformedAndStated(None, Effect.DENY), LACKS),
        (InformedAndStated(None, Effect.REVIEW), LACKS),
        (InformedAndStated(None, Effect.PERMIT), None),
        (InformedAndStated(PERMIT, Effect.PERMIT), PERMIT),
    ],
)
def test_a_rule_that_lacks_facts_does_not_stand_aside_where_it_might_deny(clocks, rule, said, ask):
    watched = watched_rule(rule, clocks.stopwatch)
    lacking = INQUIRY._replace(facts={"freeze": {}})
    assert getattr(watched, ask)(lacking) == said
    informed = INQUIRY._replace(facts={"freeze": {}, "ticket": {}})
    assert getattr(watched, ask)(informed) is rule.answer


def test_what_may_be_prevented_by_facts_that_are_not_known_is_not_permitted_by_another_rule(clocks):
    for answer in (None, PERMIT):
        watched = watched_rule(Informed(answer), clocks.stopwatch)
        policy = Policy((watched, Slow(lambda: None)), "1", DUTIES)
        decision = policy.decide(INQUIRY)
        assert (decision.effect, decision.rule) == (Effect.DENY, "mine")


@pytest.mark.parametrize("kind", [InformedOfThings, InformedAndStated])
def test_what_does_not_concern_a_rule_it_lets_be_whatever_it_lacks(clocks, kind):
    rule = kind(None, Effect.DENY, target="others")
    watched = watched_rule(rule, clocks.stopwatch)
    operation = replace(THINGS, in_body=("groupIds",))
    assert watched.judge(INQUIRY._replace(operation=operation)) is None
    assert rule.asked == []


@implementer(IRule)
class Plain(Answers):
    """States nothing."""


@implementer(IConcernedRule)
class OfThings(Answers):
    """States what it is about."""


@implementer(IStatedRule)
class AndStated(Answers):
    """States what it answers, too."""


@pytest.mark.parametrize("ask", ["judge", "judge_concerned"])
@pytest.mark.parametrize("kind", [Plain, OfThings])
def test_a_rule_is_not_asked_before_the_call_has_all_of_its_parameters(clocks, kind, ask):
    rule = kind(None)
    judge = getattr(watched_rule(rule, clocks.stopwatch), ask)
    early = INQUIRY._replace(operation=replace(THINGS, in_body=("groupIds",)))
    assert judge(early) is NEEDS_BODY
    assert rule.asked == []
    for body in (b"{}", b" " * (LONGEST + 1)):
        assert judge(early._replace(body=body)) is None
    assert judge(INQUIRY) is None
    assert len(rule.asked) == 3


def test_a_rule_that_states_its_verdict_asks_for_the_body_itself(clocks):
    watched = watched_rule(AndStated(None, Effect.DENY), clocks.stopwatch)
    assert watched.judge(INQUIRY._replace(operation=replace(THINGS, in_body=("a",)))) is None


@pytest.mark.parametrize("facts", ["ticket", ["ticket"], frozenset({1})])
def test_a_rule_whose_facts_are_no_names_does_not_load(facts):
    rule = Stated(None)
    rule.facts = facts
    with pytest.raises(PluginInvalid, match="rule slow"):
        watched_rule(rule)


@implementer(IRule)
class Reads(Slow):
    """Denies what its answer says, once it has the body; keeps what it was asked."""

    def judge(self, inquiry):
        self.inquiry = inquiry
        return NEEDS_BODY if inquiry.body is None else self.answer


def test_a_rule_is_handed_no_body_that_takes_long_to_read_and_denies_if_it_must_see_it(clocks):
    reads = Reads(None)
    rule = watched_rule(reads, clocks.stopwatch)
    longest = INQUIRY._replace(body=b"x" * LONGEST, is_json=True)
    assert rule.judge(longest) == permit()
    assert reads.inquiry is longest
    denied = rule.judge(longest._replace(body=longest.body + b"x"))
    assert denied.effect is Effect.DENY
    assert (
        denied.reason
        == f"Rule slow must see the body, and is handed none of more than {LONGEST} bytes."
    )
    assert (reads.inquiry.body, reads.inquiry.is_json) == (None, False)
    assert rule.judge(INQUIRY) is NEEDS_BODY
    assert rule.off is None


def test_a_rule_that_need_not_see_the_body_answers_of_one_of_any_length(clocks):
    rule = watched_rule(Slow(lambda: None), clocks.stopwatch)
    assert rule.judge(INQUIRY._replace(body=b"x" * LONGEST * 2)) == permit()


# --- maskers


@implementer(IMasker)
class SlowMasker:
    """Takes what a test says, and hides what is called secret."""

    name, version, looks_at_values = "numbers", "1", True

    def __init__(self, takes):
        self.takes = takes

    def hides(self, field):
        return field == "secret"

    def mask(self, field, value):
        self.takes()


def test_a_masker_that_is_slow_twice_lets_nothing_pass_and_is_named(clocks, critical):
    masker = watched_masker(SlowMasker(lambda: clocks.works(0.007)), clocks.stopwatch)
    verifyObject(IMasker, masker)
    maskers = Maskers([masker])
    for _ in range(2):
        assert maskers.shown("name", "Ada", str) is None
    for ask in (
        lambda: maskers.shown("name", "Ada", str),
        lambda: maskers.hider("another"),
        masker.check,
    ):
        with pytest.raises(MaskerOff, match="Masker numbers was switched off"):
            ask()
    assert switched_off([masker]) == [masker.off]
    assert len(critical) == 1


@implementer(IMasker)
class Looks(SlowMasker):
    """Leaves all as it is, and keeps how long it was."""

    def __init__(self):
        self.lengths = []

    def hides(self, field):
        self.lengths.append(len(field))
        return False

    def mask(self, field, value):
        self.lengths.append(len(value))


@pytest.mark.parametrize("openly", [True, False])
def test_a_text_that_takes_long_to_look_at_is_hidden_whole_and_not_looked_at(clocks, openly):
    looks = Looks()
    masker = JsonMasker([watched_masker(looks, clocks.stopwatch)], Hand(openly=openly))
    longest, longer = "é" * LONGEST, "é" * (LONGEST + 1)
    text = {"a": longest, "b": longer, longest: 1, longer: "Ada", "c": [longer, {"d": 7}]}
    shown = masker.feed(json.dumps(text, ensure_ascii=False).encode()) + masker.finish()
    hidden = "*" * 16
    assert json.loads(shown) == {
        "a": longest, "b": hidden, longest: 1, longer: hidden, "c": [hidden, {"d": 7}]
    }  # fmt: skip
    assert masker.counts == {"numbers": 3}
    assert max(looks.lengths) == LONGEST


def test_a_masker_that_is_off_hides_nothing_itself_of_what_is_too_long(clocks, critical):
    masker = watched_masker(SlowMasker(lambda: clocks.works(0.007)), clocks.stopwatch)
    for _ in range(2):
        masker.mask("name", "Ada")
    for ask in (lambda: masker.mask("name", "x" * 10**5), lambda: masker.hides("x" * 10**5)):
        with pytest.raises(MaskerOff):
            ask()


def test_what_a_masker_says_in_its_own_faults_is_not_told(clocks):
    class Chatty(SlowMasker):
        def hides(self, field):
            raise MaskingFault("hunter2")

    maskers = Maskers([watched_masker(Chatty(None), clocks.stopwatch)])
    with pytest.raises(MaskingFault, match="numbers") as caught:
        maskers.hider("name")
    assert "hunter2" not in str(caught.value)


@implementer(IStatedMasker)
class States(SlowMasker):
    """States that it hides digits, and finds what a test says."""

    how, names, paths, signs = How.REPLACE, (), (), (b"[0-9]",)

    def __init__(self, found=((0, 1),), takes=lambda: None):
        super().__init__(takes)
        self.found = found

    def hides(self, field):
        return False

    def spans(self, value):
        self.takes()
        return [Span(begin, end, "digit") for begin, end in self.found]


def test_a_masker_that_states_what_it_hides_is_shown_nothing_else(clocks):
    looked = []
    masker = watched_masker(States(takes=lambda: looked.append(1)), clocks.stopwatch)
    verifyObject(IStatedMasker, masker)
    for body, shown in (
        (b'{"a":"b"}', b'{"a":"b"}'),
        (b'{"a":"7"}', b'{"a":"%b"}' % STARS.encode()),
    ):
        assert masked(body, (masker,), Hand()) == shown
    assert len(looked) == 1


def test_what_it_would_take_long_to_look_at_is_hidden_whole(clocks):
    masker = watched_masker(States(), clocks.stopwatch)
    shown = masked(b'["%b","%b"]' % (b"7" * LONGEST, b"7" * (LONGEST + 1)), (masker,), Hand())
    assert json.loads(shown) == [STARS + "7" * (LONGEST - 1), STARS]


def test_one_that_is_slow_twice_lets_nothing_pass_either(clocks, critical):
    masker = watched_masker(States(takes=lambda: clocks.works(0.007)), clocks.stopwatch)
    for _ in range(2):
        masker.spans("7")
    with pytest.raises(MaskerOff):
        masker.spans("7")


@pytest.mark.parametrize(
    "found",
    [
        [(0, 4)],
        [(2, 1)],
        [(1, 2), (0, 1)],
        [(0, 2), (1, 3)],
        [(-1, 1)],
        [(1, 1)],
        [(0, 2.0)],
        [(0, True)],
    ],
)
def test_what_is_not_in_a_value_is_a_fault(clocks, found):
    maskers = Maskers([watched_masker(States(found), clocks.stopwatch)])
    with pytest.raises(MaskingFault, match="numbers"):
        maskers.shown("a", "777", str)


@pytest.mark.parametrize(
    "states",
    [
        {"how": "loud"},
        {"names": [7]},
        {"names": "password"},
        {"names": b"password"},
        {"names": None},
        {"signs": ["7"]},
        {"signs": [b"("]},
        {"signs": b"7"},
        {"signs": [b"^7"]},
        {"signs": [b"7", b"(?:7|8$)"]},
        {"signs": [rb"\A7"]},
        {"signs": [rb"7\z"]},
        {"signs": [rb"[[:alpha:]^]\b7"]},
        {"signs": [rb"7\B"]},
        {"signs": [rb"\\\b7"]},
        {"paths": ["$"]},
    ],
)
def test_what_states_itself_wrongly_does_not_load(states):
    masker = States()
    vars(masker).update(states)
    with pytest.raises(PluginInvalid, match="masker numbers"):
        watched_masker(masker)


@pytest.mark.parametrize(
    "sign",
    [rb"\^7\$", rb"[$^]7", rb"[^$]7", rb"[]^]7", rb"\\b7", rb"\Q^\b$\E7", rb"[[:digit:]$\]^]"],
)
def test_what_looks_like_an_anchor_and_is_none_may_be_in_a_sign(sign):
    masker = States()
    masker.signs = [sign]
    assert watched_masker(masker).signs == (sign,)


@pytest.mark.parametrize("kind", [iter, list, set, lambda stated: map(str, stated)])
def test_whatever_names_it_states_are_those_that_are_looked_for(clocks, kind):
    masker = States()
    masker.names, masker.hides = kind(["password"]), lambda field: field == "password"
    watched = watched_masker(masker, clocks.stopwatch)
    assert watched.names == ("password",)
    for body in (b'{"password":"hush"}', b'{"p\\u0061ssword":"hush"}'):
        assert b"hush" not in masked(body, (watched,), Hand())


def test_one_that_hides_a_field_that_it_does_not_state_is_a_fault(clocks):
    masker = States()
    masker.names, masker.hides = ["pass*"], lambda field: field.lower().startswith("p")
    maskers = Maskers([watched_masker(masker, clocks.stopwatch)])
    assert maskers.hider("a") is None
    assert maskers.hider("PassWord").name == "numbers"
    with pytest.raises(MaskingFault, match="numbers"):
        maskers.hider("pin")


def test_a_masker_that_does_not_say_whether_it_looks_at_values_does_not_load():
    masker = SlowMasker(None)
    masker.looks_at_values = "yes"
    with pytest.raises(PluginInvalid, match="masker numbers"):
        watched_masker(masker)


@ensureDeferred
async def test_nothing_is_sent_whose_answer_a_masker_that_is_off_would_withhold(clocks, critical):
    class SlowWithAnswers(SlowMasker):
        def mask(self, field, value):
            if value in {"1", "application/json"}:  # it is shown the Content-Type as well
                self.takes()

    masker = watched_masker(SlowWithAnswers(lambda: clocks.works(0.007)), clocks.stopwatch)
    site = Stand(
        verdict=permit(mask="numbers"),
        profiles={"numbers": MaskingProfile("numbers", (masker,))},
    )
    site.pieces = (b'{"a":', b'"1"}')
    site.answer = site.answer._replace(length=9)
    assert site.decider.switched_off() == []
    assert (await site.serve()).head.status == 200
    assert len(site.sent) == 1
    told = await site.serve(Asked("POST", "/things/7", b"{}", JSON))
    assert told.head.status == 502
    problem = json.loads(told.data)
    assert problem["type"].endswith("/response-withheld")
    assert problem["detail"].startswith("Masker numbers was switched off")
    assert len(site.sent) == 1
    assert "Masker numbers was switched off" in site.entries("outcome")[1]["why"]
    assert site.decider.switched_off() == [masker.off]


@ensureDeferred
async def test_a_rule_that_is_off_is_named_to_the_agent_in_the_record_and_to_health(
    clocks, critical
):
    rule = watched_rule(Slow(lambda: clocks.works(0.007)), clocks.stopwatch)
    site = Stand(rules=(rule,))
    assert [(await site.serve()).head.status for _ in range(3)] == [200, 200, 403]
    entry = site.entries("decision")[-1]
    assert (entry["effect"], entry["rule"]) == ("deny", "slow")
    assert entry["reason"] == rule.off
    assert site.decider.switched_off() == [rule.off]


def test_the_verdict_of_the_second_slow_call_still_counts(clocks, critical):
    """It took too long, and is right all the same."""
    rule = watched_rule(
        Slow(lambda: clocks.works(0.007), Verdict(Effect.DENY, "No.")), clocks.stopwatch
    )
    assert [rule.judge(INQUIRY).reason for _ in range(2)] == ["No.", "No."]


@pytest.mark.parametrize("sign", ["", "7"])
@pytest.mark.parametrize("before", ["", "\\u0041", "[", "x"])
@pytest.mark.parametrize("size", [LONGEST - 10, LONGEST + 10])
def test_what_is_too_long_is_hidden_alike_however_it_came(clocks, sign, before, size):
    masker = watched_masker(States(), clocks.stopwatch)
    text = before + "y" * size + sign
    whole = b'{"a":"%b","b":{"%b":"q"}}' % (text.encode(), b"n" * size)
    body = b"[%b,%b]" % (whole, whole)
    told = set()
    for step in (len(body), 1000, LONGEST):
        for kind in (GatheredJson, StreamedJson, JsonMasker):
            hand = Hand()
            transformer = kind((masker,), hand)
            cut = [body[at : at + step] for at in range(0, len(body), step)]
            out = b"".join([*map(transformer.feed, cut), transformer.finish()])
            told.add((out, tuple(hand.counts.items())))
    [(out, _)] = told
    assert (STARS.encode() in out) == bool(sign or before in ("[", "\\u0041"))
    assert b"n" * size + b'":"q"' in out
