"""The rule that operators write: every test that is written must pass, and nothing more is meant."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from jitgate.core.operation import PathTemplate
from jitgate.core.policy import Policy
from jitgate.errors import RuleFault
from jitgate.interfaces import IExplainedRule, IRule, IStatedRule
from jitgate.rules.match import Criteria, MatchRule
from jitgate.values import Effect, Inquiry, Obligation, Operation, Risk, Subject, Verdict

VERDICT = Verdict(Effect.PERMIT, "They may.")
SUBJECT = Subject("https://idp.example", "bot-7", frozenset({"it-agents", "hr"}), 1000.0)


def operation(action="listUsers", method="GET", path="/api/v1/users", target="okta"):
    return Operation(target, action, {}, method, "a.example:443", path)


def applies(criteria, operation=operation(), subject=SUBJECT):  # noqa: B008 (a frozen value)
    answer = MatchRule("a-rule", criteria, VERDICT).judge(Inquiry(operation, subject, 0.0))
    assert answer in (None, VERDICT)
    return answer is not None


def test_it_provides_the_port():
    assert verifyObject(IRule, MatchRule("a-rule", Criteria(), VERDICT))
    assert verifyObject(IStatedRule, MatchRule("a-rule", Criteria(), VERDICT))
    assert verifyObject(IExplainedRule, MatchRule("a-rule", Criteria(), VERDICT))


def test_a_rule_that_tests_nothing_applies_to_everything():
    assert applies(Criteria())


@pytest.mark.parametrize(
    "test",
    ["targets", "actions", "groups", "methods", "paths", "issuers", "subjects", "agents"],
)
def test_an_empty_list_matches_nothing(test):
    assert not applies(Criteria(**{test: ()}))


@pytest.mark.parametrize(
    "criteria",
    [
        Criteria(targets=("entra", "okta")),
        Criteria(actions=("getUser", "list*")),
        Criteria(groups=("hr",)),
        Criteria(methods=("POST", "GET")),
        Criteria(paths=("/x", "/api/{version}/users")),
    ],
)
def test_one_of_each_list_is_enough(criteria):
    assert applies(criteria)


@pytest.mark.parametrize(
    ("criteria", "effect", "met"),
    [
        (Criteria(), Effect.PERMIT, False),
        (Criteria(actions=("*",), groups=("hr",)), Effect.PERMIT, False),
        (Criteria(actions=("oauthToke?", "oauth*")), Effect.REVIEW, False),
        (Criteria(actions=("x", "oauthToken")), Effect.PERMIT, True),
        (Criteria(actions=("oauthToken",)), Effect.REVIEW, True),
        (Criteria(actions=("oauth*",)), Effect.DENY, True),
        (Criteria(), Effect.DENY, True),
    ],
)
def test_what_passes_by_name_alone_is_met_by_its_name_or_by_what_denies(criteria, effect, met):
    token = replace(operation("oauthToken", "POST"), by_name=True)
    rule = MatchRule("a-rule", criteria, Verdict(effect, "So it is."))
    assert (rule.judge(Inquiry(token, SUBJECT, 0.0)) is not None) is met


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize(("method", "met"), [("GET", True), ("HEAD", None), ("POST", False)])
def test_what_denies_or_reviews_a_get_does_so_with_its_head(effect, method, met):
    rule = MatchRule("a-rule", Criteria(methods=("GET",)), Verdict(effect, "So it is."))
    inquiry = Inquiry(operation(method, method), SUBJECT, 0.0)
    expected = effect is not Effect.PERMIT if met is None else met
    assert (rule.judge(inquiry) is not None) is expected
    assert rule.concerns("okta", method, method, None) is expected
    assert (rule.why_not(inquiry) is None) is expected


def test_what_denies_a_head_says_nothing_of_its_get():
    rule = MatchRule("a-rule", Criteria(methods=("HEAD",)), Verdict(Effect.DENY, "So it is."))
    assert rule.judge(Inquiry(operation(), SUBJECT, 0.0)) is None


WHOLE = {
    "targets": ("okta",),
    "actions": ("list*",),
    "groups": ("hr",),
    "methods": ("GET",),
    "paths": ("/api/v1/users",),
}
OTHER = {
    "targets": ("entra",),
    "actions": ("get*",),
    "groups": ("it",),
    "methods": ("POST",),
    "paths": ("/api/v1/groups",),
}


@pytest.mark.parametrize("failing", WHOLE)
def test_every_test_that_is_written_must_pass(failing):
    assert applies(Criteria(**WHOLE))
    assert not applies(Criteria(**{**WHOLE, failing: OTHER[failing]}))


@pytest.mark.parametrize(
    ("glob", "action", "matches"),
    [
        ("list*", "listUsers", True),
        ("list*", "list", True),
        ("list*", "ListUsers", False),
        ("list*", "xlistUsers", False),
        ("*User", "getUser", True),
        ("*User", "getUsers", False),
        ("*", "", True),
        ("get*User", "getAppUser", True),
        ("list.sers", "listUsers", False),
        ("list[U]sers", "listUsers", False),
        ("list?sers", "listUsers", True),
        ("listUsers|.*", "deleteUser", False),
        ("listUsers", "listUsers\n", False),
        ("a*b", "a\nb", True),
        ("", "listUsers", False),
    ],
)
def test_only_star_and_question_mark_are_special_and_the_whole_name_must_match(
    glob, action, matches
):
    assert applies(Criteria(actions=(glob,)), operation(action)) is matches


@given(st.text(max_size=10), st.text(max_size=10))
def test_a_name_without_a_star_matches_itself_alone(name, other):
    plain = name.replace("*", "")
    assert applies(Criteria(actions=(plain,)), operation(plain))
    assert applies(Criteria(actions=(plain,)), operation(other)) is (other == plain)


def test_many_stars_do_not_make_a_name_slow():
    assert not applies(Criteria(actions=("*a" * 12 + "b",)), operation("a" * 40))


@pytest.mark.parametrize(
    ("path", "matches"),
    [
        ("/v1/things/7", True),
        ("/v1/things/", False),
        ("/v1/things/7/", False),
        ("/v1/things/7/more", False),
        ("/V1/things/7", False),
        ("/v1/things/%2E%2E", True),
    ],
)
def test_a_parameter_is_one_segment(path, matches):
    assert applies(Criteria(paths=("/v1/things/{id}",)), operation(path=path)) is matches


@pytest.mark.parametrize("path", ["/a/../b", "a", "/a//b", "/{a}/{a}", "/%zz"])
def test_a_template_that_no_call_could_match_stops_the_start(path):
    with pytest.raises(ValueError, match="template|parameter"):
        MatchRule("a-rule", Criteria(paths=(path,)), VERDICT)


class Unstated:
    """Answers as another rule does, and states nothing beforehand."""

    def __init__(self, rule):
        self.name, self.version, self.judge = rule.name, rule.version, rule.judge


class Bodily(MatchRule):
    """A rule of somebody's own that answers what it likes."""

    def judge(self, inquiry):
        return DENIES


DENIES = Verdict(Effect.DENY, "They may not.", (Obligation("mask", "all"),))
some = st.none() | st.sampled_from([("a",), ("a", "b"), ("*",), ("a*",), ()])
criteria = st.builds(
    Criteria,
    targets=some,
    actions=some,
    groups=st.none() | st.sampled_from([("hr",), ("it",)]),
    methods=st.sampled_from([None, ("GET",), ("POST", "GET")]),
    paths=st.sampled_from([None, ("/a",), ("/{x}",), ("/b", "/{x}/y")]),
)
verdicts = st.builds(
    Verdict,
    st.sampled_from(Effect),
    st.sampled_from(["One.", "Two."]),
    st.sampled_from([(), (Obligation("mask", "p"),), (Obligation("grant", (2, 3.0)),)]),
)
unsound = st.sampled_from(
    [
        Verdict(Effect.PERMIT, "x" * 9000),
        Verdict(Effect.PERMIT, "", (Obligation("mask", []),)),
        Verdict(Effect.PERMIT, "", (Obligation("wipe", 1),)),
        "no verdict",
    ]
)
operations = st.builds(
    operation,
    action=st.sampled_from(["a", "b", "ab"]),
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT"]),
    path=st.sampled_from(["/a", "/b", "/b/y"]),
    target=st.sampled_from(["a", "b", "c"]),
)


def decided(rules, operation):
    try:
        policy = Policy(rules, "v1", frozenset({"mask", "grant"}))
        return policy.decide(Inquiry(operation, SUBJECT, 0.0, b""))
    except RuleFault as fault:
        return str(fault)


@given(
    st.lists(st.tuples(st.sampled_from("pqr"), criteria, verdicts | unsound), max_size=6),
    st.lists(operations, min_size=1, max_size=3),
)
def test_what_is_stated_beforehand_changes_no_decision(made, asked):
    rules = tuple(MatchRule(*each) for each in made)
    for each in asked:
        assert decided(rules, each) == decided(tuple(map(Unstated, rules)), each)


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize("risk", [None, *Risk])
def test_a_rule_for_some_risks_permits_nothing_whose_risk_nobody_knows(effect, risk):
    rule = MatchRule("a-rule", Criteria(risk=(Risk.READ, Risk.WRITE)), Verdict(effect, "So."))
    answer = rule.judge(Inquiry(replace(operation(), risk=risk), SUBJECT, 0.0))
    meets = effect is not Effect.PERMIT if risk is None else risk in {Risk.READ, Risk.WRITE}
    assert (answer is not None) is meets


@given(criteria, operations)
def test_a_rule_that_an_operation_does_not_concern_answers_nothing(criteria, operation):
    rule = MatchRule("a-rule", criteria, VERDICT)
    if not rule.concerns(operation.target, operation.action, operation.method, operation.risk):
        assert rule.judge(Inquiry(operation, SUBJECT, 0.0)) is None


@given(criteria, operations)
def test_what_an_operation_concerns_is_answered_alike_without_testing_it_again(criteria, operation):
    rule = MatchRule("a-rule", criteria, VERDICT)
    if rule.concerns(operation.target, operation.action, operation.method, operation.risk):
        asked = Inquiry(operation, SUBJECT, 0.0)
        assert rule.judge_concerned(asked) == rule.judge(asked)


segments = st.sampled_from(["a", "b", "{x}", "{y}", "a.b", "*", "", "%C3%A9"])


@given(
    st.lists(st.lists(segments, min_size=1, max_size=3, unique=True), max_size=3),
    st.lists(st.sampled_from(["a", "b", "axb", "a.b", "*", "", "%C3%A9", "x\n"]), max_size=4),
)
def test_paths_fit_where_one_of_their_templates_does(templates, parts):
    path = "/" + "/".join(parts)
    try:
        made = [PathTemplate("/" + "/".join(each)) for each in templates]
    except ValueError:
        return
    fits = any(each.matches(path) for each in made)
    assert applies(Criteria(paths=tuple(each.text for each in made)), operation(path=path)) is fits


def test_a_policy_remembers_whom_to_ask_for_this_target_action_and_method():
    policy = Policy(
        (
            MatchRule("reads", Criteria(targets=("okta",), methods=("GET",)), VERDICT),
            MatchRule("lists", Criteria(targets=("okta",), actions=("list*",)), DENIES),
        ),
        "v1",
        frozenset({"mask"}),
    )
    for _ in range(2):
        for call, effect in [
            (operation(), Effect.DENY),
            (operation(action="getUser"), Effect.PERMIT),
            (operation(action="getUser", method="POST"), Effect.DENY),
            (operation(action="getUser", target="entra"), Effect.DENY),
        ]:
            assert policy.decide(Inquiry(call, SUBJECT, 0.0)).effect is effect


def test_a_rule_of_ones_own_is_asked_whatever_it_inherits():
    rules = (
        MatchRule("permits", Criteria(), VERDICT),
        Bodily("denies", Criteria(targets=("entra",)), VERDICT),
    )
    decision = decided(rules, operation())
    assert (decision.effect, decision.rule) == (Effect.DENY, "denies")


def test_the_version_tells_everything_apart_that_its_answers_depend_on():
    versions = {
        MatchRule("a-rule", criteria, verdict).version
        for criteria in (Criteria(), Criteria(targets=()), Criteria(groups=()))
        for verdict in (VERDICT, Verdict(Effect.DENY, "They may."), Verdict(Effect.PERMIT, "x"))
    }
    assert len(versions) == 9


DELEGATED = replace(SUBJECT, id="alice@acme.example", agent="client-7")


@pytest.mark.parametrize(
    ("criteria", "subject", "answer"),
    [
        (Criteria(issuers=("https://idp.example",)), SUBJECT, True),
        (Criteria(issuers=("https://idp.example/",)), SUBJECT, False),
        (Criteria(issuers=("https://idp.*",)), SUBJECT, False),
        (Criteria(subjects=("bot-*",)), SUBJECT, True),
        (Criteria(subjects=("bot-8", "bot-7")), SUBJECT, True),
        (Criteria(subjects=("bot",)), SUBJECT, False),
        (Criteria(subjects=("client-7",)), DELEGATED, False),
        (Criteria(agents=("client-*",)), DELEGATED, True),
        (Criteria(agents=("alice@*",)), DELEGATED, False),
        (Criteria(agents=("bot-7",)), SUBJECT, True),
        (Criteria(agents=("client-7",), subjects=("alice@*",)), DELEGATED, True),
        (Criteria(agents=("client-7",), subjects=("bob@*",)), DELEGATED, False),
    ],
)
def test_who_calls_and_for_whom_are_told_apart(criteria, subject, answer):
    assert applies(criteria, subject=subject) is answer


# --- why it does not apply

everything = st.builds(
    Criteria,
    targets=some,
    actions=some,
    groups=st.none() | st.sampled_from([("hr",), ("it",)]),
    methods=st.sampled_from([None, ("GET",), ("POST", "GET")]),
    paths=st.sampled_from([None, ("/a",), ("/{x}",), ("/b", "/{x}/y")]),
    issuers=st.sampled_from([None, ("https://idp.example",), ("https://other.example",)]),
    subjects=st.sampled_from([None, ("bot-*",), ("alice@*",)]),
    agents=st.sampled_from([None, ("bot-7",), ("client-*",)]),
    risk=st.sampled_from([None, (Risk.READ,), (Risk.READ, Risk.WRITE), ()]),
)


@given(
    everything,
    verdicts,
    operations,
    st.none() | st.sampled_from(Risk),
    st.sampled_from([SUBJECT, DELEGATED]),
)
def test_it_says_why_not_exactly_where_it_does_not_apply(criteria, verdict, asked, risk, subject):
    rule = MatchRule("a-rule", criteria, verdict)
    inquiry = Inquiry(replace(asked, risk=risk), subject, 0.0)
    assert (rule.why_not(inquiry) is None) is (rule.judge(inquiry) is not None)


@pytest.mark.parametrize(
    ("criteria", "said"),
    [
        (Criteria(actions=("get*", "x")), "actions: listUsers is none of get*, x"),
        (Criteria(actions=("x",), targets=("a",)), "targets: okta is none of a"),
        (Criteria(groups=()), "groups: hr, it-agents is none of nothing"),
        (Criteria(risk=(Risk.READ,)), "risk: an unknown risk is none of read"),
        (Criteria(paths=("/x/{y}",)), "paths: /api/v1/users is none of /x/{y}"),
    ],
)
def test_the_first_test_that_fails_is_named_with_what_it_looked_at(criteria, said):
    rule = MatchRule("a-rule", criteria, VERDICT)
    assert rule.why_not(Inquiry(operation(), SUBJECT, 0.0)) == said
