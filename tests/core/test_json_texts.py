"""JSON texts one after the other: each masked as it would be alone, all between them kept."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.masked import Marks, hand
from support.masking import FOUND, VALUE, cut, cuts, hiding, whole

from jitgate.core.json_masking import JsonMasker
from jitgate.core.json_texts import LINES, RECORDS, JsonTexts
from jitgate.core.json_whole import whole as together
from jitgate.core.masking import Maskers
from jitgate.errors import MaskingFault
from jitgate.maskers.names import NameMasker
from jitgate.testing.strategies import json_values
from jitgate.values import Hit, How

STARS = b"*" * 16


def alone(text):
    return whole(JsonMasker(hiding().asked.maskers), [text])


@given(
    st.lists(json_values.map(json.dumps) | st.sampled_from(["", " ", "\r", "\t\r"]), max_size=8),
    st.booleans(),
    cuts,
)
def test_lines_are_masked_each_by_itself(values, ended, places):
    lines = [each.encode() for each in [*values, json.dumps({"secret": VALUE, "x": FOUND})]]
    data = b"\n".join(lines) + (b"\n" if ended else b"")
    shown = whole(JsonTexts(hiding(), LINES), cut(data, places))
    each = [alone(line) if line.strip() else line for line in lines]
    assert shown == b"\n".join(each) + (b"\n" if ended else b"")
    assert VALUE.encode() not in shown
    assert FOUND.encode() not in shown


@given(st.lists(json_values, max_size=6), st.sampled_from([b"\n", b"\r\n", b"", b"\n\n"]), cuts)
def test_records_are_masked_each_by_itself(values, end, places):
    texts = [json.dumps(each, indent=1).encode() for each in [*values, {"secret": VALUE}]]
    data = b"".join(RECORDS + text + end for text in texts) + RECORDS + RECORDS
    shown = whole(JsonTexts(hiding(), RECORDS), cut(data, places))
    assert shown == b"".join(RECORDS + alone(text) + end for text in texts) + RECORDS + RECORDS


LINE = st.sampled_from(
    [
        *('{"id":1}', '{"secret":"hush"}', '{"a":[{"secret":{"b":[1]}},2],"secret":3}', "", " \t"),
        *("[1", "2]", "1,2", '"secret"', ': "a"', '"a', "7", "\x0b", '{"a":"secret"}', "{} {}"),
        *('{"n":"a 777"}', '{"t":"{\\"secret\\":1}"}', '{"s\\u0065cret":1}', "[" * 101 + "]" * 101),
        *('{"secret":1,"secret":2}\r', '{"a":1}\r', '"\xe9 a hush"', "777", "[777]", "7" * 5000),
    ]
)
"""Lines of which some are JSON only together, and some are left to be read step by step."""


@given(st.lists(LINE, max_size=8), st.sampled_from(How), cuts, st.booleans())
def test_lines_are_masked_together_as_they_are_step_by_step(lines, how, places, ended):
    data = ("\n".join(lines) + "\n" * ended).encode()
    told = []
    for transformer in (JsonTexts, StepByStep):
        maskers = Maskers((NameMasker("n", ["secret"], how), Marks(how)), hand())
        try:
            shown = whole(transformer(maskers, LINES), cut(data, places))
        except MaskingFault:
            shown = None
        told.append((shown, shown and list(maskers.hand.hits), shown and maskers.hand.counts))
    assert told[0] == told[1]


class StepByStep(JsonTexts):
    """Masks no line at once."""

    def _lines(self, data):
        return b"".join([self._line(each) for each in data.splitlines(keepends=True)])

    def _line(self, data):
        passed = b"".join([self._within(data[at : at + 1]) for at in range(len(data) - 1)])
        return passed + self._one_by_one(data[-1:])


@pytest.mark.parametrize(
    ("lines", "is_told"),
    [
        (b'{"secret":"hush"}\n\n{"id":777}\r\n', True),
        (b"[1\n2]\n", False),
        (b'{"s\\u0065cret":1}\n', False),
    ],
)
def test_lines_are_masked_at_once_where_that_can_be_told(lines, is_told):
    maskers = (NameMasker("n", ["secret"]), Marks())
    assert (together(maskers).masked_lines(lines, hand(), 1) is not None) is is_told


@pytest.mark.parametrize("mark", [LINES, RECORDS])
@pytest.mark.parametrize("other", [b'{"n":1}', b'{"n\\u0061":1}'])
def test_no_text_is_kept_for_what_was_hidden_in_it(mark, other):
    maskers = Maskers((NameMasker("n", ["secret"]),), hand())
    masker = JsonTexts(maskers, mark)
    masker.feed(mark)
    for number in range(5):
        masker.feed(b'{"secret":"x"}' + mark + other + mark)
        assert len(maskers.hand._hits) == number + 1
        assert all(isinstance(each, Hit) for each in maskers.hand._hits)


def test_a_line_goes_as_soon_as_it_is_understood():
    masker = JsonTexts(hiding(), LINES)
    assert masker.feed(b'{"secret":"a"}\n{"b":') == b'{"secret":"' + STARS + b'"}\n{"b":'


def test_it_is_told_in_which_text_a_value_was():
    maskers = hiding()
    whole(JsonTexts(maskers, LINES), [b'1\n\n{"a":{"secret":2}}\n'])
    whole(JsonTexts(maskers, RECORDS), [b'\x1e1\n\x1e{"secret":2}\n'])
    assert [hit.path for hit in maskers.hand.hits] == [
        "text 3 $['a']['secret']",
        "text 2 $['secret']",
    ]


@pytest.mark.parametrize(
    "data",
    [b"{}{}", b"{}\n{", b'{"a":\n1}', b"x", b"{}\nplain", b"\x1e{}", b'"a\n"', b"\xff\n"],
)
def test_a_line_that_is_no_json_is_withheld(data):
    with pytest.raises(MaskingFault):
        whole(JsonTexts(hiding(), LINES), [data])


@pytest.mark.parametrize(
    "data",
    [b"{}", b"x\x1e{}", b"\x1e{", b"\x1e{}{}", b'\x1e{"a":\x1e1}', b"\x1e1 2\n", b"{}\n\x1e{}"],
)
def test_what_is_no_sequence_is_withheld(data):
    with pytest.raises(MaskingFault):
        whole(JsonTexts(hiding(), RECORDS), [data])


def test_white_space_before_the_first_record_is_kept():
    assert whole(JsonTexts(hiding(), RECORDS), [b"\n\x1e", b"1\n"]) == b"\n\x1e1\n"
