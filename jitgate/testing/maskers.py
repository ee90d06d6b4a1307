"""The suite for maskers: pure, quick, and an answer to every field and value."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from jitgate.core.hiding import STARS
from jitgate.core.json_masking import JsonMasker
from jitgate.core.json_search import Search
from jitgate.core.parts import Part, replaced
from jitgate.flow.watching import watched_masker
from jitgate.interfaces import IMasker, IStatedMasker
from jitgate.testing.contract import QUICK, Contract, for_all, quickest
from jitgate.testing.strategies import any_text, json_values


class MaskerContract(Contract):
    """What every `IMasker` promises. What yours hides is yours to test."""

    def make(self) -> IMasker:
        """The masker, made anew at each call."""
        raise NotImplementedError("let make() return what your plugin provides")

    def test_it_provides_its_port(self) -> None:
        assert verifyObject(IMasker, self.make())
        assert isinstance(self.make().looks_at_values, bool)

    @for_all(field=any_text, value=any_text)
    def test_it_answers_of_every_field_and_value(self, field: str, value: str) -> None:
        """Whatever it raises withholds the response."""
        masker, _ = self.pair()
        assert isinstance(masker.hides(field), bool)
        shown = masker.mask(field, value)
        assert shown is None or isinstance(shown, str)
        assert shown is None or masker.looks_at_values

    @for_all(field=any_text, value=any_text)
    def test_the_same_question_has_the_same_answer(self, field: str, value: str) -> None:
        one, other = self.pair()
        answers = one.hides(field), one.mask(field, value)
        assert (one.hides(field), one.mask(field, value)) == answers
        assert (other.hides(field), other.mask(field, value)) == answers

    @for_all(field=any_text, value=any_text)
    def test_it_answers_quickly(self, field: str, value: str) -> None:
        masker, _ = self.pair()
        assert quickest(lambda: (masker.hides(field), masker.mask(field, value * 50))) < QUICK

    @for_all(value=json_values, cut=st.integers(1, 20))
    def test_what_it_leaves_of_json_is_json(self, value: object, cut: int) -> None:
        text, masker = json.dumps(value).encode(), JsonMasker([self.pair()[0]])
        pieces = [text[at : at + cut] for at in range(0, len(text), cut)]
        json.loads(b"".join([*map(masker.feed, pieces), masker.finish()]))


class StatedMaskerContract(MaskerContract):
    """What every `IStatedMasker` promises besides."""

    def make(self) -> IStatedMasker:
        """The masker, made anew at each call."""
        raise NotImplementedError("let make() return what your plugin provides")

    def found(self) -> Sequence[str]:
        """Texts in which it hides something."""
        raise NotImplementedError("let found() return texts in which your masker finds something")

    def test_it_states_what_it_hides(self) -> None:
        assert verifyObject(IStatedMasker, watched_masker(self.make()))

    @for_all(value=any_text)
    def test_it_shows_what_it_finds_as_stars(self, value: str) -> None:
        masker = self.make()
        for text in (value, *self.found(), *(f"{value}{each}{value}" for each in self.found())):
            parts = [Part(begin, end, STARS, what) for begin, end, what in masker.spans(text)]
            assert masker.mask("any", text) == (replaced(text, parts) if parts else None)

    def test_one_of_its_signs_is_in_whatever_it_finds_something_in(self) -> None:
        masker = self.make()
        search = Search([(0, sign) for sign in masker.signs])
        for text in self.found():
            assert masker.spans(text)
            written = json.dumps(text, ensure_ascii=False).encode()
            assert not masker.signs or search.find(written) != []
