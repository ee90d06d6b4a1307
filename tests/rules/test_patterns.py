"""Patterns that are compiled once find what the CEL library's own `matches` finds."""

import pytest
import re2
from cel_expr_python import cel
from hypothesis import example, given
from hypothesis import strategies as st

from jitgate.rules.cel import CelCondition
from jitgate.rules.patterns import QUICK, Pattern, matches
from jitgate.values import Inquiry, Operation, Subject, Unevaluated

TEXT = cel.Type.STRING
THEIRS = cel.NewEnv(variables={"text": TEXT, "pattern": TEXT}).compile("text.matches(pattern)")

ATOMS = r"a b é 日 . [^/] [a-c] \d \w \s \pL \b ^ $ \z \C (?i)A (?s). (?m)^ (?:) [[:alpha:]] \x{e9} \Qa.b\E"
atoms = st.sampled_from(ATOMS.split()) | st.just("")
patterns = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("({}|{})".format, inner, inner),
        st.builds("(?:{}){}".format, inner, st.sampled_from(["*", "+", "?", "{2,3}", "*?"])),
    ),
    max_leaves=8,
)
texts = st.text("abcABC09éÉ日 /.\n_", max_size=12)
lengths = st.sampled_from([0, 0, 0, QUICK, QUICK + 1])


def asked(identifier: str, body: bytes = b"{}") -> Inquiry:
    operation = Operation(
        "okta", "a", {"id": identifier}, "GET", "acme.okta.com:443", "/", json=True
    )
    return Inquiry(
        operation, Subject("https://idp.example", "b", frozenset(), 6e2), 0.0, body, True
    )


@given(texts, patterns, lengths)
@example("a" * 9, "^a+$", QUICK + 1)
@example("\n", "$", 0)
@example("a\n", "a$", QUICK)
def test_what_is_found_is_what_the_library_finds(text, pattern, before):
    text = " " * before + text
    theirs = THEIRS.eval(None, {"text": text, "pattern": pattern})
    if theirs.type() == cel.Type.ERROR:
        with pytest.raises(re2.error):
            matches(text, pattern)
    else:
        assert matches(text, pattern) is theirs.plain_value()


@pytest.mark.parametrize("length", [QUICK - 1, QUICK, QUICK + 1])
def test_long_texts_are_looked_through_to_their_ends(length):
    assert Pattern("b$").is_in("a" * length + "b")
    assert not Pattern("^b").is_in("a" * length + "b")


@pytest.mark.parametrize(
    "text",
    [
        'operation.resource.id.matches("^00u[a-z]+$")',
        'matches(operation.resource.id, "^00u[a-z]+$")',
        'operation.resource.id . matches ("^00u[a-z]+$")',
        'operation.resource.id.matches // matches\n("^00u[a-z]+$")',
        'operation.resource.id != "matches(" && operation.resource.id.matches("^00u[a-z]+$")',
        'operation.resource.id.matches("^00u") && operation.resource.id.matches("u[a-z]+$")',
    ],
)
def test_however_it_is_written_a_condition_finds_its_pattern(text):
    condition = CelCondition(text)
    assert condition.holds(asked("00uabc")) is True
    assert condition.holds(asked("00u1")) is False
    assert condition.holds(asked("x00uabc")) is False


def test_what_is_no_text_has_no_pattern_in_it():
    condition = CelCondition('body.a.matches("1")')
    assert condition.holds(asked("x", b'{"a": "21"}')) is True
    told = condition.holds(asked("x", b'{"a": 1}'))
    assert isinstance(told, Unevaluated)
    assert "of another type" in told.reason


def test_nobody_else_can_call_it():
    with pytest.raises(Exception, match="undeclared reference to 'pattern'"):
        CelCondition('operation.path.pattern("a")')
