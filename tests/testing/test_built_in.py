"""What ships keeps the promises that are asked of a site's own plugins."""

from __future__ import annotations

import functools

import pytest

from jitgate.catalogs.okta import load_okta
from jitgate.core.catalog import PathCatalog
from jitgate.maskers.names import NameMasker
from jitgate.rules.match import Criteria, MatchRule
from jitgate.testing.catalogs import CatalogContract
from jitgate.testing.maskers import MaskerContract
from jitgate.testing.rules import RuleContract
from jitgate.values import Effect, Obligation, Risk, Verdict


def rule(effect, **criteria):
    return MatchRule("mine", Criteria(**criteria), Verdict(effect, "A test"))


class TestMatchRule(RuleContract):
    def make(self):
        return rule(Effect.PERMIT, targets=("okta", "things"), actions=("*User",))

    def others(self):
        criteria = [{"actions": ("*Users",)}, {"risk": (Risk.READ,)}, {"groups": ("admins",)}]
        return [rule(Effect.DENY), *(rule(Effect.PERMIT, **each) for each in criteria)]


class TestMatchRuleForEverything(RuleContract):
    def make(self):
        verdict = Verdict(Effect.REVIEW, "A test", (Obligation("approvers", (("it",), 1)),))
        return MatchRule("mine", Criteria(), verdict)


class TestNameMasker(MaskerContract):
    def make(self):
        return NameMasker("mine", ["*secret*", "password", "a?"])

    def others(self):
        return [NameMasker("mine", ["*secret*"]), NameMasker("mine", ["password", "*secret*"])]


class Named:
    """A catalog that ships has no name, since it is no plugin; a plugin's has one."""

    name, version = "built in", "1"


@functools.cache
def okta():
    return load_okta("okta")


class TestOkta(CatalogContract):
    def make(self):
        made = okta()
        for attribute in ("name", "version"):
            if not hasattr(made, attribute):
                setattr(made, attribute, "built-in")
        return made

    def calls(self):
        return [("GET", "/api/v1/users"), ("POST", "/api/v1/users/00u1/lifecycle/deactivate")]


class TestPaths(CatalogContract):
    def make(self):
        return type("Mine", (PathCatalog, Named), {})("things")

    def calls(self):
        return [("GET", "/"), ("DELETE", "/things/1")]


# --- and what breaks one is found


class Broken(MatchRule):
    """A rule that does what a test tells it to."""

    def __init__(self, judge):
        super().__init__("mine", Criteria(), Verdict(Effect.PERMIT, "A test"))
        self.judge = judge


def raises(inquiry):
    raise KeyError("x")


def changes(inquiry, seen=[]):  # noqa: B006 - that is what is wrong with it
    seen.append(inquiry)
    return Verdict(Effect.DENY, f"{len(seen)}")


def spins(inquiry):
    for _ in range(400_000):
        pass


@pytest.mark.parametrize(
    ("judge", "found_by"),
    [
        (raises, "test_it_answers_every_question_with_an_answer"),
        (lambda inquiry: "deny", "test_it_answers_every_question_with_an_answer"),
        (lambda inquiry: Verdict(Effect.PERMIT, []), "test_it_answers_every_question_with_an_answer"),
        (
            lambda inquiry: Verdict(Effect.PERMIT, "x", (Obligation("dance", 1),)),
            "test_it_answers_every_question_with_an_answer",
        ),
        (changes, "test_the_same_question_has_the_same_answer"),
        (spins, "test_it_answers_quickly"),
    ],
)  # fmt: skip
def test_a_rule_that_breaks_a_promise_is_found(judge, found_by):
    class Suite(RuleContract):
        def make(self):
            return Broken(judge)

    with pytest.raises(BaseException) as raised:
        getattr(Suite(), found_by)()
    assert not isinstance(raised.value, KeyboardInterrupt)


def test_a_version_that_says_nothing_of_the_options_is_found():
    class Suite(RuleContract):
        def make(self):
            return rule(Effect.PERMIT)

        def others(self):
            return [rule(Effect.PERMIT)]

    with pytest.raises(AssertionError):
        Suite().test_its_version_tells_its_options_apart()


class Leaky(NameMasker):
    looks_at_values = True

    def mask(self, field, value):
        return value.encode() if value else None


def test_a_masker_that_breaks_a_promise_is_found():
    class Suite(MaskerContract):
        def make(self):
            return Leaky("mine", ["a"])

    with pytest.raises(BaseException):  # noqa: B017 - whatever it is
        Suite().test_it_answers_of_every_field_and_value()
