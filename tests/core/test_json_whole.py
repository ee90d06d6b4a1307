"""Whole texts masked where something was found, against the same texts read step by step."""

import json
import re
from collections import Counter

import pytest
from core.test_json_hiding import Numbers, Paths, hand, paths, values, written
from hypothesis import given, settings
from hypothesis import strategies as st

from jitgate.core import json_grammar
from jitgate.core.hiding import NOTED
from jitgate.core.json_masking import JsonMasker
from jitgate.core.json_search import APART
from jitgate.core.json_validity import is_json
from jitgate.core.json_whole import Whole
from jitgate.errors import MaskingFault
from jitgate.maskers.detectors import DetectorMasker
from jitgate.maskers.names import NameMasker
from jitgate.values import How, Span


def told(held):
    """What was hidden, in order."""
    return [(each.path, each.rule, each.digest) for each in held.hits]


def stepped(data, maskers):
    """What it is masked to step by step, or None where it is not."""
    held = hand()
    masker = JsonMasker(maskers, held)
    try:
        out = masker.feed(data) + masker.finish()
    except MaskingFault as fault:
        return f"{fault}", None, None
    return out, told(held), dict(held.counts)


def whole(data, maskers):
    held = hand()
    try:
        out = Whole(tuple(maskers)).masked(data, held)
    except MaskingFault as fault:
        return f"{fault}", None, None
    return (out, told(held), dict(held.counts)) if out is not None else None


def agree(data, *maskers):
    """Whether it was masked in one go; it must be as it is step by step."""
    done = whole(data, maskers)
    if done is None:
        return False
    assert done == stepped(data, maskers)
    return True


hows = st.sampled_from([How.REPLACE, How.LAST4, How.HASH, How.DROP, How.DENY])
NAMES = ["secret", "a*", "?b", "*T", "it's"]


def test_any_value_is_masked_as_it_is_step_by_step():
    went = Counter()

    @settings(max_examples=600, deadline=None)
    @given(
        values,
        st.lists(st.tuples(st.sampled_from(NAMES), hows), max_size=2),
        hows,
        paths,
        st.booleans(),
        st.booleans(),
        st.randoms(use_true_random=False),
    )
    def check(value, named, how, led, looks, ensure, random):
        maskers = [NameMasker(f"n{at}", [name], how) for at, (name, how) in enumerate(named)]
        if led and random.random() < 0.2:
            maskers.append(Paths(*led))
        if looks:
            maskers.append(Numbers(how))
        text = written(value, lambda: random.choice(["", "", " ", "\n\t"]))
        if ensure:
            text = json.dumps(text)[1:-1].replace('\\"', '"').replace("\\\\", "\\")
        went[agree(text.encode(), *maskers)] += 1

    check()
    assert went[True] > 3 * went[False], went


PIECES = [
    *('{"a":', '"b"', "12345", "true", "null", "{}", "[]", "[", "]", "{", "}", ",", ":", " ", "\n"),
    *('"', "\\", '\\"', "\\\\", "\\u0061", "\\u00e9", "secret", '"secret"', '"secret":', "x123"),
    *('"{\\"secret\\":1}"', '"[1]"', '"\\n[123]"', '":123"', '"a,":', '"]"', '"[["', "-0.5e3", "é"),
    *("4111111111111111", '"4111 1111 1111 1111"', "1" * 20, '"x4111111111111111"'),
    *('"eyJhbGciOiJub25lIn0.e30."', '"\\"secret\\""', '"secret\\n":', '"\\u0073ecret":', "1", ""),
]


def test_what_is_hardly_json_is_masked_as_it_is_step_by_step():
    went = Counter()

    @settings(max_examples=1500, deadline=None)
    @given(st.lists(st.sampled_from(PIECES), max_size=14), st.booleans(), hows)
    def check(pieces, looks, how):
        maskers = [NameMasker("n", ["secret", "b*"], how)]
        if looks:
            maskers += [Numbers(), DetectorMasker("d", ["jwt", "payment-card"])]
        text = "".join(pieces)
        for each in (text, f"[{text}]", f'{{"a":{text}}}', f'["{text}"]'):
            went[agree(each.encode(), *maskers)] += 1

    check()
    assert went[True] > 100, went


@pytest.mark.parametrize(
    "text",
    [
        '{"a,":4111,"secret":":","b":[": 4111"]}',
        '{":":123,"x":"\\\\","y":"\\"123","z":123}',
        '{"secret":"a\\\\","b":"secret","secret" : {"secret":["]"]}}',
        '["secret", {"secret":-1.5e3}, "secret:", "\\"secret\\":1"]',
        '{"x":{"secret":1,"secret":2,"y":3,"secret":4},"secret":[]}',
        '{"SECRET":1,"\u017fecret":2,"x":3}',
        '{"sec\\u0072et":"HuSh","x":3}',
        '{"x":"{\\"secret\\":\\"\\\\u0031\\"}","y":"123"}',
        '{"x":"\\ud83d\\ude00 123 \\u0031\\u0032\\u0033","secret":"\\ud83d\\ude00"}',
        "123",
        '"123"',
        '"{\\"secret\\":1}"',
        ' { "secret" : null } ',
    ],
)
@pytest.mark.parametrize("how", [How.REPLACE, How.LAST4, How.DROP])
def test_a_pitfall_is_masked_as_it_is_step_by_step(text, how):
    maskers = [NameMasker("n", ["secret"], how), Numbers()]
    agree(text.encode(), *maskers)
    agree(text.encode(), maskers[0])
    agree(json.dumps([text]).encode(), *maskers)


@pytest.mark.parametrize("many", [NOTED // 2 - 1, NOTED // 2, NOTED])
def test_the_first_are_told_of_whatever_kind_they_are(many):
    maskers = [NameMasker("n", ["secret"]), Numbers()]
    one = b'{"secret":"x","m":"a 123","k":4567,"p":"%b"}' % (b"x" * 4 * APART)
    data = b"[" + b",".join([one] * many) + b"]"
    assert agree(data, *maskers)
    _, hits, counts = whole(data, maskers)
    assert len(hits) == min(NOTED, 3 * many)
    assert [rule for _, rule, _ in hits] == (["n", "found/three", "found/three"] * many)[:NOTED]
    assert counts == {"n": many, "found/three": 2 * many}


@pytest.mark.parametrize("sign", [b"true", b"ru", b"e", b"[a-z]+", b"l", b"[a-z0-9],", b".[,}]"])
def test_true_and_false_are_for_nobody_who_states_what_is_hidden(sign):
    class Everything(Numbers):
        signs = (sign, b"[0-9]{3}")

        def spans(self, value):
            return [Span(0, len(value), "all")]

    for text in ('{"a":true,"b":[true,false , null],"c":1e5,"d":false}', "true", "[false,123e45]"):
        out = stepped(text.encode(), [Everything()])[0].decode()
        assert Counter(re.findall("true|false|null", out)) == Counter(
            re.findall("true|false|null", text)
        )
        agree(text.encode(), Everything())
    assert whole(b'{"a":true,"b":[true]}', [Everything()])[0] == b'{"a":true,"b":[true]}'


@pytest.mark.parametrize("how", [How.REPLACE, How.DENY])
def test_a_path_is_followed_where_a_name_is_hidden_as_well(how):
    maskers = [NameMasker("n", ["secret"], How.LAST4), Paths("$..secret", how=how)]
    assert whole(b'{"secret":"0123-4567-8901"}', maskers) is None


def test_what_is_found_nowhere_is_the_very_same():
    data = json.dumps([{"id": number, "name": "x"} for number in range(200)]).encode()
    assert (
        Whole((NameMasker("n", ["secret"]), DetectorMasker("d", ["jwt"]))).masked(data, hand())
        is data
    )


@pytest.mark.parametrize(
    ("data", "is_one"),
    [
        (b'{"a":1}', True),
        (b"[" * json_grammar.DEEPEST + b"]" * json_grammar.DEEPEST, True),
        (b"[" * (json_grammar.DEEPEST + 1) + b"]" * (json_grammar.DEEPEST + 1), False),
        (b'["' + b"[" * 300 + b'"]', False),
        (b"[" + b"{}," * 300 + b"{}]", True),
        (b'["\xff"]', False),
        (b'["\xed\xa0\x80"]', False),
        (b'["\xc3\xa9"]', True),
        (b"\xef\xbb\xbf[]", False),
        (b"[01]", False),
        (b"[1]x", False),
        (b"", False),
    ],
)
def test_what_is_taken_for_json_without_reading_it(data, is_one):
    assert is_json(data) is is_one


@pytest.mark.parametrize("length", [63, 64, json_grammar.LONGEST_BARE])
def test_a_long_number_is_masked_as_it_is_step_by_step(length):
    for number in (b"1" * length, b"1" * (length + 1), b"-1." + b"0" * (length - 3)):
        agree(b"[" + number + b"]", NameMasker("n", ["secret"]))
    too_long = b"[" + b"1" * (json_grammar.LONGEST_BARE + 1) + b"]"
    assert whole(too_long, [NameMasker("n", ["secret"])]) is None


@given(st.recursive(st.just(""), lambda inner: st.lists(inner, max_size=3)), st.integers(0, 110))
def test_nothing_is_taken_that_is_too_deep(inner, depth):
    value = inner
    for number in range(depth):
        value = [value] if number % 2 else {"]": value, "x": "{["}
    data = json.dumps(value).encode()
    taken = is_json(data)
    masker = JsonMasker([])
    try:
        masker.feed(data) + masker.finish()
    except MaskingFault:
        assert not taken


def test_who_looks_at_values_and_states_no_signs_is_shown_every_value():
    class Unsigned(Numbers):
        signs = ()

    data = b'[{"a":"x 123"},{"a":"y"}]'
    assert whole(data, [Unsigned()]) is None
    assert b"123" not in stepped(data, [Unsigned()])[0]
