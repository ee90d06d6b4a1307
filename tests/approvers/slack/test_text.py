import html
import re

import pytest
from hypothesis import given
from support.slack_hostile import TRICKS, texts
from support.slack_html import block, mrkdwn

from jitgate.approvers.slack.blocks import lines, rich
from jitgate.approvers.slack.text import (
    body_text,
    boxed,
    date,
    foreign,
    is_long,
    mixed_words,
    one_line,
    unformatted,
)

WHOLE = 1 << 20
TAG = re.compile(r"</?(\w+)")


def shown(*parts):
    return block(rich(*parts))


def seen(rendered):
    """What a person reads of HTML."""
    return html.unescape(re.sub("<[^>]*>", "", rendered))


@given(texts)
def test_a_value_is_one_line_of_which_everything_is_seen(value):
    line = one_line(value)
    assert line.isprintable()
    assert "  " not in line
    assert html.unescape(line) == line or not re.search("&(amp|lt|gt);", line)
    assert line.isascii() or not value.isascii()


@given(texts)
def test_a_value_is_shown_in_a_box_as_it_is_and_nothing_of_it_is_obeyed(value):
    rendered = shown(lines(foreign(value, WHOLE)))
    inside = re.search("<code>(.*?)</code>", rendered, re.DOTALL)
    assert html.unescape(inside[1]) == one_line(value)
    assert set(TAG.findall(rendered)) <= {"div", "code", "b"}
    assert "ZQX" not in re.sub("<code>.*?</code>", "", rendered)


@given(texts)
def test_a_body_is_shown_in_a_box_as_it_is_and_nothing_of_it_is_obeyed(body):
    rendered = shown(boxed(body_text(body)))
    assert set(TAG.findall(rendered)) == {"div", "pre"}
    assert seen(rendered) == ("\n".join(body_text(body)) or " ")


@given(texts)
def test_nothing_in_a_fallback_text_is_formatted_a_link_a_mention_or_an_emoji(value):
    rendered = mrkdwn(f"Ours: {unformatted(value, WHOLE)} at the end")
    assert "<" not in rendered
    assert "ZQX" in rendered


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("plain words", "plain words"),
        ("jane@acme.com", "jane@acme.com"),
        ("agent:it-7", "agent:it-7"),
        ("a < b & c", "a &lt; b &amp; c"),
        ("<!channel>", "&lt;!channel&gt;"),
        ("@channel #it", r"\x40channel \x23it"),
        ("*bold*", r"\x2abold\x2a"),
        (":tada:", r"\x3atada:"),
        ("https://evil.example", r"https\x3a//evil.example"),
        ("&lt;", r"\x26lt;"),
    ],
)
def test_a_fallback_text_is_escaped_where_slack_has_an_escape_and_shown_as_ours_elsewhere(
    value, told
):
    assert unformatted(value, WHOLE) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
        ("a\u3164b\U000e0041", r"a\u3164b\U000e0041"),
        ("two\nlines\r", r"two\nlines\r"),
        ("\u2028Risk  READ", r"\u2028Risk \x20READ"),
        ("Z\u0335\u0334\u0336\u0337", "Z\u0335\u0334\\u0336\\u0337"),
        ("\u0301a", r"\u0301a"),
        ("&lt;b&gt; &copy;", r"\x26lt;b\x26gt; &copy;"),
        ("Zoë 田中", "Zoë 田中"),
        ("j\u0430ne@acme.com", r"j\u0430ne@acme.com"),
        ("Иван", "Иван"),
    ],
)
def test_what_is_not_seen_as_what_it_is_is_an_escape(value, told):
    assert one_line(value) == told


def test_a_value_that_is_cut_says_how_much_of_it_is_hidden():
    assert (
        seen(shown(lines(foreign("abcdef" * 1000, 4)))) == "abcd … 5,996 more characters are hidden"
    )
    assert is_long("abcde", 4)
    assert not is_long("abcd", 4)


def test_what_is_cut_is_what_is_shown_and_not_what_was_written():
    assert is_long("\u202e", 5)
    assert not is_long("\u202e", 6)


def test_letters_that_look_like_others_are_flagged():
    assert "⚠ mixes Latin and Cyrillic letters" in seen(shown(lines(foreign("j\u0430ne", 100))))
    assert "⚠" not in seen(shown(lines(foreign("Иван 田中 Zoë"[5:], 100))))
    assert mixed_words('{"a": "j\u0430ne"}')
    assert not mixed_words('{"a": "\\nИван и jane"}')


def test_an_empty_value_says_so():
    assert seen(shown(lines(foreign("", 100)))) == "(empty)"


def test_a_date_is_the_readers_own_and_has_a_text_where_it_cannot_be():
    assert date(0.9) == {
        "type": "date",
        "timestamp": 0,
        "format": "{ago} ({date_short_pretty} at {time})",
        "fallback": "1970-01-01 00:00:00 UTC",
    }


@pytest.mark.parametrize("trick", TRICKS)
def test_the_renderer_would_show_what_a_trick_makes_of_slacks_markup(trick):
    """Else nothing would be proved by what it does not show."""
    forging = any(
        mark in trick for mark in ("<", "https", "www", "mailto", "*", "```", ":w", "@ch")
    )
    assert (mrkdwn(trick) != html.escape(html.unescape(trick))) == forging
