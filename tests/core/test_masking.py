"""Several maskers asked as one, and transformers in a row."""

import pytest
from zope.interface import implementer

from jitgate.core.hiding import Hand
from jitgate.core.json_body import masked
from jitgate.core.json_masking import JsonMasker
from jitgate.core.json_search import search
from jitgate.core.literals import LiteralMasker
from jitgate.core.masking import (
    LONGEST_ANSWER,
    REMEMBERED_FIELDS,
    REMEMBERED_SETS,
    Chain,
    Maskers,
    Shown,
)
from jitgate.core.profiles import SENSITIVE, MarkedFields
from jitgate.errors import MaskingFault
from jitgate.interfaces import IMasker
from jitgate.maskers.detectors import DetectorMasker
from jitgate.maskers.names import NameMasker
from jitgate.values import Hider


@implementer(IMasker)
class Scripted:
    """Answers as told, and notes what it was asked."""

    version = "1"
    looks_at_values = True

    def __init__(self, name, hides=False, shows=None):
        self.name = name
        self.hidden = hides
        self.shows = shows
        self.asked = []

    def hides(self, field):
        self.asked.append(field)
        if isinstance(self.hidden, Exception):
            raise self.hidden
        return self.hidden

    def mask(self, field, value):
        return self.shows and value.replace(*self.shows)


def test_a_field_is_asked_about_once_and_its_answer_kept():
    masker = Scripted("m", hides=True)
    maskers = Maskers([masker])
    assert [maskers.hider(field) for field in ("a", "a", "b")] == [Hider("m")] * 3
    assert masker.asked == ["a", "b"]


def test_more_fields_than_are_remembered_are_asked_about_again_and_answered_right():
    maskers = Maskers([NameMasker("names", ["f7*"])])
    fields = [f"f{number}" for number in range(REMEMBERED_FIELDS + 100)] + ["f7" + "x" * 1000]
    for _ in range(2):
        for field in fields:
            assert (maskers.hider(field) is not None) is field.startswith("f7")
            assert len(maskers.asked.hiders) <= REMEMBERED_FIELDS


def test_what_a_masker_said_is_remembered_for_the_next_text_and_for_these_maskers_alone():
    one, other = Scripted("one", hides=True), Scripted("other")
    assert [Maskers(each).hider("a") for each in ([one], [one], [other], [other, one])] == [
        Hider("one"),
        Hider("one"),
        None,
        Hider("one"),
    ]
    assert (one.asked, other.asked) == (["a", "a"], ["a", "a"])


def test_what_is_looked_for_is_compiled_once_however_many_profiles_are_used_in_turn():
    def turn():
        for profile in range(3):
            mine = (NameMasker("n", [f"once{profile}"]), DetectorMasker("d", ["jwt"]))
            for marked in range(REMEMBERED_SETS // 2):
                maskers = (MarkedFields(frozenset({f"once{marked}"})), *mine)
                masked(b'{"once1":"x"}', maskers, Hand())

    turn()
    compiled = search.cache_info().misses
    turn()
    assert search.cache_info().misses == compiled
    signs = {
        Maskers([*each, DetectorMasker("e", ["jwt"])]).asked.signs for each in ([], [SENSITIVE])
    }
    assert len(signs) == 1


def test_what_one_text_hid_is_not_counted_for_the_next():
    masker = Scripted("one", hides=True)
    Maskers([masker]).hand.hid("one", str, b"")
    assert Maskers([masker]).counts == {}


@pytest.mark.parametrize("answer", [RuntimeError("oops"), None, 1, "yes", ""])
def test_a_masker_that_does_not_say_yes_or_no_is_a_fault_that_names_it(answer):
    with pytest.raises(MaskingFault, match="'odd'") as caught:
        Maskers([Scripted("fine"), Scripted("odd", hides=answer)]).hider("a")
    assert caught.value.__cause__ is (answer if isinstance(answer, Exception) else None)


def test_two_maskers_that_hide_parts_of_one_value_both_do():
    maskers = Maskers([Scripted("m", shows=("a", "*")), Scripted("n", shows=("b", "#"))])
    assert maskers.shown("field", "abc", str) == Shown("*#c", (), ("m", "n"))
    assert JsonMasker(maskers.asked.maskers, maskers.hand).parts('"abc"') != []
    assert maskers.counts == {"m": 1, "n": 1}


def test_a_value_that_every_masker_leaves_is_left():
    maskers = Maskers([Scripted("m"), NameMasker("n", ["x"])])
    assert maskers.shown("field", "abc", str) is None
    assert maskers.counts == {}


def test_values_are_looked_at_only_if_a_masker_does():
    assert Maskers([NameMasker("n", ["x"]), Scripted("m")]).look_at_values
    assert not Maskers([NameMasker("n", ["x"])]).look_at_values


def test_a_chain_passes_the_rest_of_each_transformer_through_those_behind_it():
    chain = Chain([LiteralMasker([b"abX"]), LiteralMasker([b"bc"])])
    assert chain.feed(b"..ab") == b".."
    assert chain.feed(b"c") == b"a**"
    assert chain.feed(b"--ab") == b"--"
    assert chain.finish() == b"ab"


def test_what_a_transformer_had_held_to_the_end_is_still_masked_by_those_behind_it():
    chain = Chain([LiteralMasker([b"abX"]), LiteralMasker([b"ab"]), LiteralMasker([b"**Y"])])
    assert chain.feed(b"-ab") == b"-"
    assert chain.finish() == b"**"


def test_a_chain_of_none_changes_nothing():
    chain = Chain([])
    assert chain.feed(b"abc") + chain.finish() == b"abc"


def test_a_chain_masks_fields_and_literals_of_one_text():
    literals = LiteralMasker([b"t0k3n"])
    chain = Chain([JsonMasker([NameMasker("n", ["password"])]), literals])
    text = b'{"password":"t0k3n","echo":"Bearer t0k3n!"}'
    out = b"".join([chain.feed(text[i : i + 1]) for i in range(len(text))] + [chain.finish()])
    assert out == b'{"password":"****************","echo":"Bearer *****!"}'
    assert literals.count == 1


def test_a_fault_in_a_chain_comes_through():
    chain = Chain([JsonMasker([]), LiteralMasker([b"x"])])
    chain.feed(b"[1")
    with pytest.raises(MaskingFault):
        chain.finish()


class Long(Scripted):
    """Shows as much as it is told."""

    def mask(self, field, value):
        return "x" * self.shows


def test_an_answer_without_end_is_a_fault():
    shown = Maskers([Long("long", shows=LONGEST_ANSWER)]).shown("a", "b", str)
    assert len(shown.text) == LONGEST_ANSWER
    with pytest.raises(MaskingFault, match="long"):
        Maskers([Long("long", shows=LONGEST_ANSWER + 1)]).shown("a", "b", str)


def test_an_answer_is_its_characters_whatever_else_it_says_of_itself():
    class Two(str):
        __slots__ = ()

        def __str__(self):
            return "hush"

    class Says(Scripted):
        def mask(self, field, value):
            return Two("shown")

    assert Maskers([Says("says")]).shown("a", "b", lambda text: f"{text}").text == "shown"
