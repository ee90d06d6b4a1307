"""The rule that operators write: every test that is written must pass, and nothing more is meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from jitgate.interfaces import IRule
from jitgate.rules.match import Criteria, MatchRule
from jitgate.values import Effect, Operation, Subject, Verdict

VERDICT = Verdict(Effect.PERMIT, "They may.")
SUBJECT = Subject("https://idp.example", "bot-7", frozenset({"it-agents", "hr"}), 1000.0)


def operation(action="listUsers", method="GET", path="/api/v1/users", target="okta"):
    return Operation(target, action, {}, method, "a.example:443", path)


def applies(criteria, operation=operation(), subject=SUBJECT):  # noqa: B008 (a frozen value)
    answer = MatchRule("a-rule", criteria, VERDICT).judge(operation, subject, 0.0, None)
    assert answer in (None, VERDICT)
    return answer is not None


def test_it_provides_the_port():
    assert verifyObject(IRule, MatchRule("a-rule", Criteria(), VERDICT))


def test_a_rule_that_tests_nothing_applies_to_everything():
    assert applies(Criteria())


@pytest.mark.parametrize("test", ["targets", "actions", "groups", "methods", "paths"])
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


def test_the_version_tells_everything_apart_that_its_answers_depend_on():
    versions = {
        MatchRule("a-rule", criteria, verdict).version
        for criteria in (Criteria(), Criteria(targets=()), Criteria(groups=()))
        for verdict in (VERDICT, Verdict(Effect.DENY, "They may."), Verdict(Effect.PERMIT, "x"))
    }
    assert len(versions) == 9
