import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.scripts import mixes, revealed, scripts


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("jane", ("Latin",)),
        ("42 ._-", ()),
        ("Zoë", ("Latin",)),
        ("Иван", ("Cyrillic",)),
        ("j\u0430ne", ("Latin", "Cyrillic")),
        ("\u03bfkta", ("Greek", "Latin")),
        ("田中 タロウ", ("East Asian",)),
        ("\U0001d41aadmin", ("styled Latin", "Latin")),
        ("\uff41dmin", ("styled Latin", "Latin")),
    ],
)
def test_the_scripts_of_a_text_are_told_by_their_names(text, found):
    assert scripts(text) == found


@pytest.mark.parametrize(
    "text", ["jane", "Иван", "田中 Taro", "한국어 text", "Zoë", "42", "\uac00\u0041"]
)
def test_what_cannot_be_taken_for_other_letters_mixes_nothing(text):
    assert not mixes(text)
    assert revealed(text) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("j\u0430ne@acme.com", r"j\u0430ne@acme.com"),
        ("\u0440\u0430\u0443.com", "\u0440\u0430\u0443.com"),
        ("\u0440\u0430\u0443l and Иван", r"\u0440\u0430\u0443l and Иван"),
        (r"\nИван", r"\nИван"),
        ("\U0001d41admin", r"\U0001d41admin"),
    ],
)
def test_a_word_that_mixes_scripts_shows_which_letters_are_not_what_they_look_like(text, told):
    assert mixes(text) or "\\n" in text
    assert revealed(text) == told


@given(st.text())
def test_only_words_that_mix_are_changed(text):
    assert revealed(text) == text or mixes(text)
    assert not text.isascii() or revealed(text) == text
