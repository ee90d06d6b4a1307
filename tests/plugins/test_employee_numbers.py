"""The shipped masker: employee numbers, wherever they stand in a value."""

from __future__ import annotations

import pytest

from jitgate import plugins
from jitgate.core.hiding import STARS, Hand
from jitgate.core.json_body import masked as masked_json
from jitgate.core.json_grammar import LONGEST_VIEWED
from jitgate.core.json_masking import JsonMasker
from jitgate.core.json_whole import whole
from jitgate.flow.stopwatch import Meter, Stopwatch
from jitgate.flow.watching import LONGEST, watched_masker
from jitgate.shipped import shipped
from jitgate.testing import provided
from jitgate.testing.maskers import StatedMaskerContract

FILE = shipped("plugins") / "employee_numbers.py"


def masked(value, **options):
    (masker,) = plugins.load(FILE, options).provides
    return masker.mask("any", value)


class TestItsPromises(StatedMaskerContract):
    def make(self):
        (masker,) = provided(FILE)
        return masker

    def others(self):
        return provided(FILE, pattern="P[0-9]+") + provided(FILE, how="last4")

    def found(self):
        return ["E-123456", "(E12345)", "E12345 and E-1234567", "é E-12345678"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("E-123456", STARS),
        ("E12345 and E-1234567", f"{STARS} and {STARS}"),
        ("no number", None),
        ("E-1234", None),
        ("", None),
    ],
)
def test_each_number_in_a_value_is_starred_and_the_rest_left(value, shown):
    assert masked(value) == shown


def test_the_pattern_can_be_another():
    assert masked("P77", pattern="P[0-9]+") == STARS


@pytest.mark.parametrize(
    "options", [{"pattern": "P[0-9]+"}, {"pattern": "P[0-9]+", "sign": "P[0-9]"}]
)
def test_another_pattern_hides_the_same_with_a_sign_and_without(options):
    (masker,) = provided(FILE, **options)
    hand = Hand()
    assert (
        masked_json(b'{"a":"P77 E-123456"}', (masker,), hand)
        == b'{"a":"%b E-123456"}' % STARS.encode()
    )


def test_with_a_sign_bodies_are_masked_at_once():
    (masker,) = provided(FILE)
    assert whole((watched_masker(masker),)).covers


def test_it_hides_in_another_way_where_that_is_asked_for():
    (masker,) = provided(FILE, how="drop")
    assert masked_json(b'{"a":"E-123456"}', (masker,), Hand()) == b'{"a":null}'


def test_no_spelling_of_a_number_gets_through_the_json():
    (masker,) = plugins.load(FILE, {}).provides
    text = JsonMasker([masker])
    body = rb'{"a":"E-123456","b":["x \u0045-123456"],"c":{"E":"E\u002d123456"}}'
    shown = text.feed(body) + text.finish()
    assert b"123456" not in shown


@pytest.mark.parametrize(
    "options",
    [
        {"patern": "x"},
        {"pattern": 7},
        {"pattern": "("},
        {"pattern": "x*"},
        {"how": "loud"},
    ],
)
def test_options_that_it_cannot_use_stop_the_start(options):
    with pytest.raises(plugins.PluginInvalid):
        plugins.load(FILE, options)


def test_a_sign_that_is_no_expression_stops_the_start():
    (masker,) = provided(FILE, sign="(")
    with pytest.raises(plugins.PluginInvalid, match="one of its signs is none"):
        watched_masker(masker)


@pytest.mark.parametrize("value", ["E12345 ", "E-1234 ", "E", "E1234567890"])
def test_no_text_of_an_agent_s_switches_it_off(value):
    (made,) = provided(FILE)
    masker = watched_masker(made, Stopwatch(Meter()))
    for size in (LONGEST, LONGEST_VIEWED):
        for _ in range(5):
            masker.mask("note", value * (size // len(value)))
    assert masker.off is None


def test_okta_s_error_codes_are_none():
    """An agent that cannot read them does not learn what went wrong."""
    (masker,) = provided(FILE)
    assert masker.mask("errorCode", "E0000007") is None
    assert masker.mask("note", "E00000071, E000012") == f"{STARS}, {STARS}"
