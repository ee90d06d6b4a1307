"""Secrets in every place of JSON where they are promised to be found: none goes on, all else does.

Each case goes every way that there is: at once, in pieces, gathered, element by element.
"""

import base64
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.masked import (
    HUSH,
    SETS,
    SEVERAL,
    Everything,
    Marks,
    Reference,
    agreed,
    at_once,
    fed,
    hand,
    pieces,
)

from jitgate.core import json_grammar
from jitgate.core.forms import FormMasker
from jitgate.core.hiding import TOLD
from jitgate.core.json_body import GatheredJson, StreamedJson, masked
from jitgate.core.json_masking import JsonMasker
from jitgate.core.masked_fields import MaskedFields
from jitgate.core.masking import Maskers
from jitgate.errors import MaskingFault
from jitgate.maskers.detectors import DetectorMasker
from jitgate.maskers.names import NameMasker
from jitgate.maskers.paths import PathMasker
from jitgate.values import How

VECTORS = Path(__file__).parents[1] / "vectors"
CASES = json.loads((VECTORS / "masking" / "leaks.json").read_text())["cases"]
CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus" / "masking_json.txt"
MINEFIELD = json.loads((VECTORS / "json" / "minefield.json").read_text())
SECRET = (NameMasker("n", ["secret"]),)
SHORT = 50
"""Bytes of a text that is cut in every two places."""


def maskers(case, how=How.REPLACE):
    made = []
    if "names" in case:
        made.append(NameMasker("n", case["names"], how))
    if "paths" in case:
        made.append(PathMasker("p", case["paths"], how))
    if "detectors" in case:
        made.append(DetectorMasker("d", case["detectors"], how))
    return tuple(made)


def shown(out):
    """All texts and numbers of some JSON, in texts that are JSON as well; names apart."""
    value = json.loads(out, parse_int=str, parse_float=str)
    waiting, found = [value], []
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        else:
            found.append(f"{value}")
            try:
                inner = json.loads(value, parse_int=str, parse_float=str)
            except (TypeError, ValueError):
                continue
            waiting += [inner] if isinstance(inner, dict | list | str) and inner != value else []
    return "\n".join(found)


def whole(case, how=How.REPLACE):
    """What a case is masked to, which is the same however it is cut into equal pieces."""
    data, by = case["text"].encode(), maskers(case, how)
    for sizes in ([], [1], [2, 3], [7]):
        out = agreed(data, sizes, by)
    return out


@pytest.mark.parametrize("title", CASES)
@pytest.mark.parametrize("how", [How.REPLACE, How.LAST4, How.HASH, How.DROP])
def test_no_secret_goes_on_and_all_else_does(title, how):
    case = CASES[title]
    out = whole(case, how)
    if case.get("withheld"):
        assert out is None
        return
    seen = shown(out) if "true" not in case["gone"] else out.decode()
    for secret in case["gone"]:
        assert secret not in seen
    for kept in case["kept"]:
        assert kept in seen


@pytest.mark.parametrize("title", CASES)
def test_a_response_is_withheld_where_that_is_asked(title):
    assert whole(CASES[title], How.DENY) is None


def test_who_hides_for_a_path_as_well_hides_in_texts_what_no_path_leads_to():
    text = json.dumps({"secret": "Psst", "aT": f"{HUSH} control", "n": 7})
    out = agreed(json.dumps({"log": text}).encode(), [5], (Everything(),))
    assert "Psst" not in shown(out)
    assert HUSH not in shown(out)
    assert "control" in shown(out)  # paths do not lead on


AWS = "wJalrXUtnFEMIK7MDENG" + "bPxRfiCYEXAMPLEKEYxy"
"""What is known for a secret by its name alone."""

KEYS = {"AccessKeyId": "ASIA" + "ABCDEFGHIJKLMNOP", "SecretAccessKey": AWS, "c": "control"}


@pytest.mark.parametrize("how", [How.REPLACE, How.LAST4, How.HASH, How.DROP])
@pytest.mark.parametrize("deep", [1, 2])
def test_what_all_of_a_text_shows_is_hidden_whatever_was_hidden_in_it_as_json(how, deep):
    text = json.dumps(KEYS)
    for _ in range(deep):
        text = json.dumps({"log": text})
    out = agreed(text.encode(), [5], (DetectorMasker("d", ["aws-key"], how),))
    assert AWS[:-4].encode() not in out
    assert (b"control" in out) is (how is not How.DROP)


def test_what_a_form_or_a_field_holds_is_looked_at_as_a_text_though_it_is_json():
    by = Maskers((DetectorMasker("d", ["aws-key"]),))
    form = FormMasker(by)
    shown = form.feed(b"log=" + json.dumps(KEYS).encode()) + form.finish()
    ((_, field),) = MaskedFields(by).shown(((b"x-log", json.dumps(KEYS).encode()),))
    for each in (shown, field):
        assert AWS.encode() not in each
        assert b"control" in each


@settings(max_examples=60)
@given(st.text(st.sampled_from('e\u00e9/"\\')), st.integers(1, 3), st.sampled_from([1, "x", None]))
def test_in_texts_within_each_other_no_byte_changes_but_of_a_value(other, deep, value):
    inner = written(other, value)
    shown = written(other, 0 if value == 1 else value and "*" * 16)
    for _ in range(deep):
        inner, shown = (
            json.dumps({"log": each}, ensure_ascii=False).replace("/", "\\/")
            for each in (inner, shown)
        )
    assert agreed(inner.encode(), [7], SECRET) == shown.encode()


def written(other, value):
    return json.dumps({"a": other, "secret": value, "b": other}, ensure_ascii=False)


def test_little_is_withheld():
    withheld = [title for title, case in CASES.items() if case.get("withheld")]
    assert len(withheld) < len(CASES) / 6


@pytest.mark.parametrize(
    "title", [title for title, case in CASES.items() if len(case["text"].encode()) <= SHORT]
)
def test_it_may_be_cut_in_any_two_places(title):
    data, by = CASES[title]["text"].encode(), maskers(CASES[title])
    expected = Reference(by).masked(data)
    for first in range(len(data)):
        for second in range(first, len(data)):
            cut = [data[:first], data[first:second], data[second:]]
            for kind in (JsonMasker, StreamedJson):
                assert fed(kind, cut, by).out == expected, cut


@pytest.mark.parametrize("title", ["a name of escapes", "JSON in a text in a text", "a link"])
@pytest.mark.parametrize("size", [1000, 64 * 1024, json_grammar.LONGEST_VIEWED])
def test_it_may_stand_far_behind(title, size):
    case = CASES[title]
    data = b'[{"pad":"%b"},%b]' % (b"x" * size, case["text"].encode())
    for cut in ([data], pieces(data, [64 * 1024]), [data[: size + 20], data[size + 20 :]]):
        for kind in (JsonMasker, StreamedJson, GatheredJson):
            out = fed(kind, cut, SECRET).out
            assert b"HuSh" not in out
            assert b"control" in out
            assert out[: size + 14] == data[: size + 14]


@pytest.mark.parametrize("depth", [1, 2, 50, 98, 99])
def test_it_may_stand_at_any_depth(depth):
    for begin, end in ((b"[", b"]"), (b'{"a":', b"}")):
        data = begin * depth + b'{"secret":"HuSh","c":"control"}' + end * depth
        out = agreed(data, [3, 5], SECRET)
        assert out == data.replace(b"HuSh", b"*" * 16)
        deeper = agreed(begin + data + end, [64], SECRET)
        assert (deeper is None) is (depth == json_grammar.DEEPEST - 1)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100 + '{"secret":"HuSh"}' + "]" * 100,
        '{"a":' * 50 + "[" * 50 + '{"secret":"HuSh"}' + "]" * 50 + "}" * 50,
        '{"n":%s,"secret":"HuSh"}' % ("1" * (json_grammar.LONGEST_BARE + 1)),
    ],
    ids=["nesting", "mixed nesting", "a number"],
)
def test_what_is_too_much_is_withheld_in_a_text_as_well(text):
    for data in (text.encode(), json.dumps([text]).encode(), json.dumps({"a": [text]}).encode()):
        for cut in ([data], pieces(data, [1000])):
            for kind in (JsonMasker, StreamedJson, GatheredJson):
                assert fed(kind, cut, SECRET).out is None


@pytest.mark.parametrize("letter", ["n", "\\u0061"])
def test_a_name_in_a_text_may_be_too_long_to_go_on(letter):
    name = letter * (json_grammar.LONGEST_NAME // len(letter) + 1)
    data = json.dumps([f'{{"{name}":1,"secret":"HuSh"}}']).encode()
    for cut in ([data], pieces(data, [1000])):
        for kind in (JsonMasker, StreamedJson, GatheredJson):
            assert fed(kind, cut, SECRET).out is None


def test_a_number_that_is_too_long_is_withheld_where_it_is_hidden_as_well():
    data = b'{"secret":%b}' % (b"1" * (json_grammar.LONGEST_BARE + 1))
    assert at_once(data, SECRET) is None
    assert fed(JsonMasker, [data], SECRET).out is None


@pytest.mark.parametrize("how", [How.REPLACE, How.LAST4, How.DROP])
@pytest.mark.parametrize("size", [TOLD - 3, TOLD, 3 * TOLD])
@pytest.mark.parametrize("letter", ["x", "é", "😀"])
def test_a_long_value_is_told_alike_whichever_way_it_went(how, size, letter):
    data = json.dumps({"secret": letter * size}, ensure_ascii=False).encode()
    by = (NameMasker("n", ["secret"], how),)
    told = {f"{fed(kind, [data], by).hits}" for kind in (JsonMasker, GatheredJson)}
    told.add(f"{fed(JsonMasker, pieces(data, [1000]), by).hits}")
    assert len(told) == 1


def test_an_element_far_behind_is_found_by_its_index():
    count = 70_000
    data = b"[" + b"0," * count + b'"HuSh","control"]'
    for path in (f"$[{count}]", f"$..[{count}]"):
        out = fed(JsonMasker, pieces(data, [4096]), (PathMasker("p", [path]),)).out
        assert out == data.replace(b"HuSh", b"*" * 16)


# --- what is JSON, and what is none


@pytest.mark.parametrize("title", MINEFIELD["accepted"])
def test_what_is_json_and_holds_nothing_passes_byte_for_byte(title):
    data = MINEFIELD["accepted"][title].encode("latin-1")
    for sizes in ([], [1], [2, 3]):
        for by in ((), SECRET, (Marks(),), (*SECRET, PathMasker("p", ["$..x"]))):
            assert agreed(data, sizes, by) == data
            assert agreed(b"[%b]" % data, sizes, by) == b"[%b]" % data


@pytest.mark.parametrize("title", MINEFIELD["refused"])
def test_what_is_no_json_is_withheld(title):
    data = MINEFIELD["refused"][title].encode("latin-1")
    for sizes in ([], [1], [2, 3]):
        for by in ((), SECRET, (Marks(),), (*SECRET, PathMasker("p", ["$..x"]))):
            assert agreed(data, sizes, by) is None


STRINGS = [
    *(rf'"\{chr(code)}"' for code in range(0x20, 0x7F)),
    *(f'"{chr(code)}"' for code in (*range(0x20), 0x7F, 0x80, 0x2028, 0xFEFF, 0xFFFF)),
    *(rf'"\u{digits}"' for digits in ("0000", "d800", "DFFF", "ffff", "d83d\\ude00", "ude00")),
    *(
        rf'"\u{digits}"'
        for digits in ("", "0", "00", "000", "000g", "-001", "+001", " 001", "0x01")
    ),
    *('"', '""', '"""', "''", '"\\', '"\\"', '"\\u', '"a\n"', '"a\tb"', '"\\\\"', '"\\\\\\"', '"x'),
]
NUMBERS = [
    f"{sign}{whole}{fraction}{exponent}"
    for sign in ("", "-", "+", "--")
    for whole in ("", "0", "00", "01", "10", "1_0", "1a", "0x1", "\uff11", "Infinity", "NaN")
    for fraction in ("", ".", ".0", ".05", "..1", ".1.1", ",")
    for exponent in ("", "e", "E", "e1", "E+1", "e-01", "e+", "e1.5", "ee1", " e1")
]
STRUCTURES = [
    *("[]", "{}", "[ ]", "{ }", "[", "]", "{", "}", "[}", "{]", "[[]", "[]]", "{}}", ",", ":", ""),
    *("[,]", "[1,]", "[,1]", "[1,,1]", "[1 1]", "[1:1]", '["a":1]', '["a" "b"]', "[1]]", "[1],"),
    *('{"a"}', '{"a":}', "{:1}", '{"a" 1}', '{"a"::1}', '{"a":1,}', '{,"a":1}', '{"a":1,,"b":1}'),
    *('{"a":1 "b":1}', "{a:1}", "{'a':1}", "{1:1}", "{null:1}", "{[]:1}", '{"a":1:2}', '{"a","b"}'),
    *('{"a":1}#', '{"a":1}/**/', "//\n1", "[1]\x00", "\x00", "\x0b1", "\x0c1", "\xa01", "\u20281"),
    *("nul", "nulll", "Null", "tru", "True", "fals", "undefined", "true false", "1 2", "[1]2", "@"),
    *("\ufeff1", "[\ufeff1]", "\u20601", "[1\x1e]", "*", "[*]", '{"a":*}', "<null>", "`1`", "(1)"),
]


@pytest.mark.parametrize("kind", ["STRINGS", "NUMBERS", "STRUCTURES"])
def test_what_is_json_is_what_the_grammar_says(kind):
    taken = 0
    for text in globals()[kind]:
        for around in ("%s", " %s\n", "[%s]", '{"a":%s}', '{"secret":%s}', '[{"b":%s},1]'):
            data = (around % text).encode("utf-8", "surrogatepass")
            try:
                json.loads(data.decode(), parse_constant=lambda _: 1 / 0)
                is_json = True
            except (ValueError, ZeroDivisionError):
                is_json = False
            by = SETS[1]
            assert (agreed(data, [1, 2], by) is not None) is is_json, data
            taken += is_json
    assert taken > 20


# --- any bytes

WORDS = [
    *(
        '{"secret":',
        '"HuSh"',
        "777",
        '"a":',
        '"aT":',
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        " ",
        "},",
        "null",
    ),
    *(
        '"',
        "\\",
        '\\"',
        "\\u0048",
        "\\ud83d",
        "é",
        "😀",
        "1",
        "-0.5e3",
        '"x@é.example"',
        "\\/",
        "e",
    ),
    *(
        '"{\\"secret\\":\\"HuSh\\"}"',
        '"[\\"HuSh\\"]"',
        '"\\u007b',
        "true",
        "\n",
        '"[',
        '"b":',
        '"d":',
    ),
]
texts = st.lists(st.sampled_from(WORDS), max_size=16).map("".join)
made = st.recursive(
    st.sampled_from(
        ["HuSh", 777, "x777", None, True, 1.5, "a@é.example", "secret", '{"aT": 1}', {}]
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "aT", "b", "c", "d", "secret", "HuSh"]), inner)
        | inner.map(json.dumps)
    ),
    max_leaves=12,
).map(json.dumps)


@settings(max_examples=500)
@given(
    st.one_of(
        st.binary(max_size=40),
        texts.map(str.encode),
        made.map(str.encode),
        st.tuples(made, texts).map(lambda both: "".join(both).encode()),
    ),
    st.lists(st.integers(1, 30), max_size=3),
    st.sampled_from(SETS),
)
def test_every_way_masks_any_bytes_alike(data, sizes, by):
    agreed(data, sizes, by)


@settings(max_examples=500)
@given(
    st.one_of(made.map(str.encode), texts.map(str.encode)),
    st.lists(st.integers(1, 30), max_size=3),
    st.sampled_from(SEVERAL),
)
def test_what_several_hide_is_hidden_in_the_strictest_way_whatever_their_order(data, sizes, by):
    assert agreed(data, sizes, by) == agreed(data, sizes, by[::-1])


def test_what_a_fuzzer_found_is_masked_alike():
    inputs = [base64.b64decode(line) for line in CORPUS.read_text().split()]
    assert len(inputs) > 300
    for data in inputs:
        agreed(data[:-2], [1 + (data[-2] & 15), 1 + (data[-2] >> 4)], SETS[data[-1] % len(SETS)])


def test_no_fault_holds_what_it_is_about():
    for data in (
        b'["HuSh\xff"]',
        b'["HuSh\x00"]',
        b'{"secret":"HuSh"',
        b'["HuSh",tru]',
        b'["x@\xc3"]',
    ):
        with pytest.raises(MaskingFault) as caught:
            masked(data, (*SETS[11], Marks()), hand())
        assert not re.search("HuSh|x@", f"{caught.value!r}{caught.value.__cause__!r}")
