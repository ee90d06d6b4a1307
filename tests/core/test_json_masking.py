"""JsonMasker against a slow reference that works on whole texts, cut in every way."""

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from zope.interface import implementer

from jitgate.core import json_grammar
from jitgate.core.hiding import Hand
from jitgate.core.json_masking import JsonMasker
from jitgate.core.masking import Maskers
from jitgate.core.passage import KEPT
from jitgate.core.profiles import MarkedFields
from jitgate.errors import MaskingFault
from jitgate.interfaces import IMasker
from jitgate.maskers.names import NameMasker

MINEFIELD = json.loads(
    (Path(__file__).parent.parent / "vectors" / "json" / "minefield.json").read_text()
)
ACCEPTED = MINEFIELD["accepted"]
REFUSED = MINEFIELD["refused"]

HUSH = "HuSh"
HUSH_NUMBER = "8675309"
PLANTED = f"{HUSH}|{HUSH_NUMBER}".encode()

thorough = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@implementer(IMasker)
class Shouter:
    """Shows values of an odd length with their field, and some numbers as other numbers."""

    name = "shouter"
    version = "1"
    looks_at_values = True

    def hides(self, field):
        return field == "loud"

    def mask(self, field, value):
        if value[:1] in ("1", "t"):
            return "23" if value[0] == "1" else "true"
        return f'<{field}|"{value}\n>' if len(value) % 2 else None


SECRETS = NameMasker("names", ["*secret*", "password", "\N{PILE OF POO}"])


# --- the reference


def refuse(constant):
    raise ValueError(constant)


DECODER = json.JSONDecoder(parse_constant=refuse)


def is_json(data):
    """Whether Python's own decoder, made strict, takes it."""
    try:
        DECODER.decode(data.decode())
    except ValueError:
        return False
    return True


class Reference:
    """Masks a whole text by recursion, asking Python's decoder where each value ends."""

    def __init__(self, maskers):
        self.maskers = maskers
        self.counts = Counter()

    def mask(self, data):
        text = data.decode()
        begin = len(text) - len(text.lstrip(" \t\r\n"))
        end, shown = self.value(text, begin, "")
        return (text[:begin] + shown + text[end:]).encode()

    def value(self, text, at, field):
        value, end = DECODER.raw_decode(text, at)
        if isinstance(value, dict):
            return self.items(text, at, "}", lambda start: self.member(text, start))
        if isinstance(value, list):
            return self.items(text, at, "]", lambda start: self.value(text, start, field))
        return end, self.scalar(text[at:end], value, field)

    def items(self, text, at, close, item):
        shown, at = [text[at]], at + 1
        while text[at] != close:
            if text[at] in ", \t\r\n":
                shown.append(text[at])
                at += 1
            else:
                at, part = item(at)
                shown.append(part)
        return at + 1, "".join(shown) + close

    def member(self, text, at):
        name, end = DECODER.raw_decode(text, at)
        colon = text.index(":", end)
        begin = next(i for i in range(colon + 1, len(text)) if text[i] not in " \t\r\n")
        hider = next((each for each in self.maskers if each.hides(name)), None)
        if hider is None:
            stop, shown = self.value(text, begin, name)
        else:
            value, stop = DECODER.raw_decode(text, begin)
            shown = self.concealed(value)
            if value is not None:
                self.counts[hider.name] += 1
        return stop, text[at:begin] + shown

    @staticmethod
    def concealed(value):
        kinds = {
            str: '"****************"',
            dict: "{}",
            list: "[]",
            bool: "false",
            type(None): "null",
        }
        return kinds.get(type(value), "0")

    def scalar(self, raw, value, field):
        if value is None:
            return raw
        text = value if isinstance(value, str) else raw
        for masker in self.maskers:
            answer = masker.mask(field, text) if masker.looks_at_values else None
            if answer is not None:
                self.counts[masker.name] += 1
                text = self.typed(value, answer)
                raw = json.dumps(text) if isinstance(value, str) else text
        return raw

    @staticmethod
    def typed(value, answer):
        if isinstance(value, str):
            return answer
        if isinstance(value, bool):
            return answer if answer in ("true", "false") else "false"
        return answer if re.fullmatch(r"-?[0-9]+", answer) else "0"


# --- texts in every spelling

space = st.sampled_from(["", "", "", " ", "\n\t", "\r\n  "])
ESCAPES = [r"\u0041", r"\u00e9", r"\"", r"\\", r"\/", r"\n"]
SURROGATES = [r"\ud83d\ude00", r"\ud800", r"\udc00", r"\uD83d"]
piece = st.sampled_from([*"abc:,{}[]0/ \x7fé€😀\ufeff\u2028", "secret", *ESCAPES, *SURROGATES])
string = st.lists(piece, max_size=5).map(lambda pieces: f'"{"".join(pieces)}"')
number = st.sampled_from(
    ["0", "-0", "1.10", "-12.5e+3", "1E400", "123456789012345678901234567890123456789", "7", "42"]
)
scalar = st.one_of(string, number, st.sampled_from(["true", "false", "null"]))
open_name = st.one_of(
    string, st.sampled_from(['"id"', '"a.b"', '"passwor"', '"loud"', r'"\u006coud"', '""'])
).filter(lambda name: not SECRETS.hides(json.loads(name)))
PLAIN_SECRETS = ['"password"', '"PassWord"', '"client_secret"', '"💩"', f'"secret{"x" * 300}"']
ESCAPED_SECRETS = [
    r'"client\u005fsecret"',
    r'"\u0073ecret"',
    r'"p\u0061ssword"',
    r'"secret\ud800"',
    r'"\ud83d\udca9"',
]
hidden_name = st.sampled_from([*PLAIN_SECRETS, *ESCAPED_SECRETS])
hushed = st.sampled_from([f'"{HUSH}"', f'"a\\n{HUSH}é"', HUSH_NUMBER, f"-1.{HUSH_NUMBER}e1"])


@st.composite
def spaced(draw, parts):
    return "".join(part + draw(space) for part in parts)


@st.composite
def containers(draw, inner, names):
    """An array or an object of ``inner`` values, spaced at random."""
    values = draw(st.lists(inner, max_size=5))
    commas = [","] * (len(values) - 1) + [""]
    if draw(st.booleans()):
        items = [draw(spaced([v, c])) for v, c in zip(values, commas, strict=False)]
        return draw(spaced(["[", *items])) + "]"
    items = [draw(spaced([draw(names), ":", v, c])) for v, c in zip(values, commas, strict=False)]
    return draw(spaced(["{", *items])) + "}"


secret_name = st.one_of(st.just(f'"{HUSH}"'), hidden_name)
loud_value = st.recursive(hushed, lambda inner: containers(inner, secret_name), max_leaves=6)


@st.composite
def objects_with_secrets(draw, inner):
    """An object in which hidden fields hold what must not be seen, among fields that are not."""
    members = draw(st.lists(st.tuples(hidden_name, loud_value), min_size=1, max_size=3))
    members += draw(st.lists(st.tuples(open_name, inner), max_size=3))
    members = draw(st.permutations(members))
    items = [[",", name, ":", value] for name, value in members]
    return draw(spaced(["{", *[part for item in items for part in item][1:]])) + "}"


clean_value = st.recursive(scalar, lambda inner: containers(inner, open_name), max_leaves=12)
mixed_value = st.recursive(
    scalar,
    lambda inner: st.one_of(objects_with_secrets(inner), containers(inner, open_name)),
    max_leaves=8,
)
clean_texts = st.tuples(space, clean_value, space).map(lambda parts: "".join(parts).encode())
mixed_texts = st.tuples(space, mixed_value, space).map(lambda parts: "".join(parts).encode())


@st.composite
def cut(draw, texts):
    """A text with one way to cut it: anywhere, or byte by byte."""
    text = draw(texts)
    if draw(st.integers(0, 3)) == 0:
        return text, [text[i : i + 1] for i in range(len(text))]
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return text, [text[a:b] for a, b in pairwise([0, *places, len(text)])]


def run(chunks, *maskers):
    """What goes on, and who hid how much."""
    masker = JsonMasker(maskers)
    return b"".join([masker.feed(chunk) for chunk in chunks] + [masker.finish()]), masker.counts


def emitted(chunks, *maskers):
    """What goes on before a fault, and whether there was one."""
    masker = JsonMasker(maskers)
    out = b""
    try:
        for chunk in chunks:
            out += masker.feed(chunk)
        out += masker.finish()
    except MaskingFault:
        return out, True
    return out, False


# --- properties


def test_any_text_cut_anywhere_is_masked_as_the_reference_masks_it():
    hits = Counter()

    @thorough
    @given(cut(mixed_texts))
    @example((rb'{"client\u005fsecret":"HuSh"}', [rb'{"client\u005', rb'fsecret":"HuS', b'h"}']))
    def check(case):
        text, chunks = case
        reference = Reference([SECRETS])
        assert run(chunks, SECRETS) == (reference.mask(text), reference.counts)
        hits[bool(reference.counts)] += 1

    check()
    assert hits[True] > 50
    assert hits[False] > 20


def test_values_are_shown_as_several_maskers_say_like_in_the_reference():
    hits = Counter()

    @thorough
    @given(cut(mixed_texts))
    def check(case):
        text, chunks = case
        maskers = [SECRETS, Shouter(), Shouter()]
        reference = Reference(maskers)
        out, counts = run(chunks, *maskers)
        assert out == reference.mask(text)
        assert counts == reference.counts
        assert is_json(out)
        hits.update(counts.keys())

    check()
    assert hits["names"] > 50
    assert hits["shouter"] > 50


def test_what_hidden_fields_hold_is_in_no_output_however_it_is_cut():
    planted = Counter()

    @thorough
    @given(cut(objects_with_secrets(scalar).map(str.encode)))
    def check(case):
        text, chunks = case
        out, counts = run(chunks, SECRETS)
        assert not re.search(PLANTED, out)
        assert counts["names"] >= 1
        planted["texts"] += re.search(PLANTED, text) is not None

    check()
    assert planted["texts"] > 100


@thorough
@given(cut(clean_texts))
def test_a_text_without_hits_goes_on_byte_for_byte(case):
    text, chunks = case
    assert run(chunks, SECRETS) == (text, {})


def test_what_is_no_json_never_passes_and_what_still_is_passes_as_the_reference_says():
    seen = Counter()
    marks = [bytes([mark]) for mark in b'",:{}[]0-.e\\t/\x00\n \xff\xc3\x80']
    junk = st.sampled_from([*marks, b"", b" ", b"\n", b"\\u", b"\xed\xa0\x80", b"\xef\xbb\xbf"])

    @settings(thorough, max_examples=800)
    @given(mixed_texts, st.data())
    def check(text, data):
        begin = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(begin, min(begin + 2, len(text))))
        text = text[:begin] + data.draw(junk) + text[end:]
        _, chunks = data.draw(cut(st.just(text)))
        out, refused = emitted(chunks, SECRETS)
        assert refused is not is_json(text)
        assert refused or out == Reference([SECRETS]).mask(text)
        seen[refused] += 1

    check()
    assert seen[True] > 300
    assert seen[False] > 50


def test_what_goes_on_before_a_fault_is_a_beginning_of_the_masked_text():
    cuts_in_secrets = Counter()

    @settings(thorough, max_examples=500)
    @given(objects_with_secrets(scalar).map(str.encode), st.data())
    def check(text, data):
        whole = Reference([SECRETS]).mask(text)
        # Half of the cuts come behind a secret, so that much is at stake.
        secret = re.search(PLANTED, text)
        least = secret.end() if secret and data.draw(st.booleans()) else 0
        end = data.draw(st.integers(least, len(text) - 1))
        before, chunks = data.draw(cut(st.just(text[:end])))
        out, refused = emitted(chunks, SECRETS)
        assert refused
        assert whole.startswith(out)
        junk = data.draw(
            st.sampled_from([b"\x00", b"\\q", b'"}', b'"', b"]", b"}}", b",", b"\xff"])
        )
        assert not re.search(PLANTED, emitted([*chunks, junk], SECRETS)[0])
        cuts_in_secrets["all"] += re.search(PLANTED, before) is not None

    check()
    assert cuts_in_secrets["all"] > 50


# --- in one go, and step by step


def told(chunks, openly):
    """What goes on and who hid how much, or the fault."""
    masker = JsonMasker(GLANCED, Hand(openly=openly))
    try:
        out = b"".join([masker.feed(chunk) for chunk in chunks] + [masker.finish()])
    except MaskingFault as fault:
        return str(fault), None
    return out, masker.counts


GLANCED = [SECRETS, MarkedFields(frozenset({"loud", "a", "€", "", ",", ", ", 'a"'}))]
PITFALLS = [
    rb'{"x":"y","pa\u0073sword":"HuSh"}',
    rb'{"password":1,"pa\u0073sword":"HuSh"}',
    rb'{"b":"c", ":":1,",\u0020":"HuSh"}',
    rb'{"x":"\"password\":1","y":["password"],"password" :"HuSh"}',
    rb'{"x":"\\","password":"HuSh","client\u005fsecret":"HuSh"}',
    rb'{"x":"\"a" ,"a"\t:"HuSh","\u0061":"HuSh","y":"a"}',
    rb'{"x\"a":1,"x":"\"a","\u0061":"HuSh"}',
    rb'{"a\\":"\"a\":","\"a":1,"a":"\\","":{"a":"a"}}',
    rb'{"b":"c",":":1,"\u002c":"HuSh"}',
    rb'{"b":"", "":"HuSh","a\"":"HuSh","b":"a"}',
    b'{"a":{"password":1,"a":2},"b":[{"a":1},{"a":[{"a":null}]}],"a":null}',
    b'{"a":1,"a":2,"b":{"a":true},"b":{"a":false}}',
    b'{"a":{"a":{"a":1},"password":2},"b":{"a":[{"a":1}]},"password":{"a":1}}',
    b"{" + b",".join(b'"secret%d":%d' % (i, i) for i in range(40)) + b"}",
    b'{"b":"' + b"x" * 8180 + b'","password":"HuSh"}',
    b'[{"b":"%s","password":1},{"b":"%s","password":1}]' % (b"x" * 5000, b"y" * 5000),
    b'{"a":NaN}',
    b'{"b":[Infinity]}',
    b'[{"b":-Infinity}]',
    b'{"b":' + b"1" * 4097 + b"}",
    b'{"b":0.' + b"1" * 4096 + b"}",
    b'{"' + b"n" * 65537 + b'":1}',
    b"[" * 101 + b"]" * 101,
    b'[{"b":' * 50 + b"1" + b"}]" * 50,
    b'[{"b":' * 51 + b"1" + b"}]" * 51,
    b"[" * 5000,
]


def agree(text, openly):
    """Read it in one go, and step by step; how the first went."""
    whole = told([text], openly)
    assert whole == told([text[i : i + 1] for i in range(len(text))], openly)
    stripped = text.decode("latin-1").lstrip(" \t\r\n")
    read = Maskers(GLANCED).asked.glance.container(stripped, 0, json_grammar.DEEPEST)
    return "faults" if whole[1] is None else "steps" if read is None else f"glance, {bool(read[1])}"


@pytest.mark.parametrize("openly", [False, True])
@pytest.mark.parametrize("text", PITFALLS, ids=range(len(PITFALLS)))
def test_a_pitfall_of_reading_in_one_go_is_read_as_step_by_step(text, openly):
    agree(text, openly)


@pytest.mark.parametrize("text", [*ACCEPTED.values(), *REFUSED.values()], ids=[*ACCEPTED, *REFUSED])
@pytest.mark.parametrize("frame", ["[{}]", '{{"a":{}}}', '{{"b":{}, "a":1}}'])
def test_what_the_grammar_says_holds_in_one_go_as_well(frame, text):
    agree(frame.format(text).encode("latin-1"), openly=False)


def test_what_is_read_in_one_go_is_told_as_what_is_read_step_by_step():
    ways = Counter()
    marks = [b'"', b"\\", b"\\u0061", b'\\"a":1', b"NaN", b"a", b"}", b",", b"\x00", b"\xff", b"1"]

    @settings(thorough, max_examples=1000)
    @given(
        objects_with_secrets(mixed_value).map(str.encode),
        st.integers(0, 10**6),
        st.one_of(st.just(b""), st.just(b""), st.sampled_from(marks)),
        st.integers(0, 3),
        st.booleans(),
    )
    def check(text, place, mark, spelling, openly):
        place %= len(text) + 1
        for escaped in ESCAPED_SECRETS if spelling else ():
            text = text.replace(escaped.encode(), b'"password"')
        ways[agree(text[:place] + mark + text[place:], openly)] += 1

    check()
    assert min(ways[way] for way in ("faults", "steps", "glance, True")) > 50


@thorough
@given(clean_texts, st.booleans())
def test_what_holds_nothing_hidden_is_told_alike_as_well(text, openly):
    agree(text, openly)


@pytest.mark.parametrize("size", [1, 100, 1000, 48 * 1024])
def test_long_lists_are_told_alike_however_they_are_cut(size):
    row = rb'{"id":"%d","n":[1,{"x":"\"y"}],"secret":{"a":[1]},"note":"\u00e9 \"a\":"}'
    text = b'{"x":{},"value":[' + b", \n".join(row % i for i in range(1500)) + b'],"z":"a"}'
    assert told([text[i : i + size] for i in range(0, len(text), size)], openly=False) == (
        re.sub(rb'("secret":)[^}]*}', rb"\1{}", text),
        {"names": 1500},
    )


# --- the grammar


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED)
def test_what_the_grammar_allows_goes_on_as_it_is(text):
    data = text.encode("latin-1")
    assert run([data], SECRETS)[0] == data
    assert run([data[i : i + 1] for i in range(len(data))], SECRETS)[0] == data
    assert is_json(data)


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("frame", ["{}", '{{"password":{}}}', '{{"a":[{{"b":{}}}]}}'])
def test_what_the_grammar_does_not_allow_is_a_fault(frame, text):
    data = frame.format(text).encode("latin-1")
    assert emitted([data], SECRETS)[1]
    assert emitted([data[i : i + 1] for i in range(len(data))], SECRETS)[1]
    assert not is_json(data)


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        (b"[1,]", 3),
        ('[1,] "é€😀"'.encode(), 3),
        (b"[1,]\xe2\x82", 3),
        ('["é€😀" 1]'.encode(), 13),
        (b'{"a":"b\nc"}', 7),
        (b'["\xc3\xa9", "\xff"]', 8),
        (b'{"password":[1,{"a":01}]}', 20),
        (b'{"a":"b', 7),
        (b"[1, 2", 5),
        (b'["\\u00zz"]', 2),
    ],
)
def test_a_fault_says_at_which_byte_and_never_which_bytes(text, offset):
    for chunks in ([text], [text[i : i + 1] for i in range(len(text))]):
        with pytest.raises(MaskingFault, match=f"at byte {offset}\\b") as caught:
            run(chunks, SECRETS)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_fault_shows_nothing_of_the_text():
    with pytest.raises(MaskingFault) as caught:
        run([f'{{"password":"{HUSH}" "{HUSH}"'.encode()], SECRETS)
    assert HUSH not in str(caught.value)


def test_after_a_fault_nothing_is_taken_any_more():
    masker = JsonMasker([])
    with pytest.raises(MaskingFault):
        masker.feed(b"[1,]")
    with pytest.raises(MaskingFault):
        masker.feed(b"[1]")
    with pytest.raises(MaskingFault):
        masker.finish()


def test_a_text_that_could_go_on_well_after_a_fault_does_not():
    masker = JsonMasker([SECRETS])
    assert masker.feed(b'{"a":1') == b'{"a":'
    with pytest.raises(MaskingFault, match="UTF-8"):
        masker.feed(b"\xff")
    with pytest.raises(MaskingFault, match="after a fault"):
        masker.feed(b"}")


@pytest.mark.parametrize(
    "text",
    [b'["\\q', b'["\\u00g', b'["\x01', b'{"a\n', b"[1,]", b"[01,", b"}", b"[trux,", b"[\xc3("],
)
@pytest.mark.parametrize("field", [b"", b'{"password":'])
def test_what_can_become_no_json_any_more_is_refused_without_waiting_for_the_end(field, text):
    with pytest.raises(MaskingFault):
        JsonMasker([SECRETS]).feed(field + text)


@pytest.mark.parametrize("control", range(0x20))
def test_no_string_and_no_name_holds_a_raw_control_character(control):
    for text in (b'["a%cb"]', b'{"a%cb":1}', b'{"a":"%c"}', b'{"password":"%c"}'):
        assert emitted([text % control], SECRETS)[1]


def test_after_the_end_nothing_is_taken_any_more():
    whole, broken = JsonMasker([]), JsonMasker([])
    whole.feed(b"[1]")
    whole.finish()
    broken.feed(b"[1")
    with pytest.raises(MaskingFault):
        broken.finish()
    for masker in (whole, broken):
        with pytest.raises(MaskingFault):
            masker.feed(b"]")


# --- streaming


@pytest.mark.parametrize(
    ("text", "at_once"),
    [
        (b' {"id" : ', b' {"id" : '),
        (b'{"na', b"{"),
        (b'{"name"', b'{"name"'),
        (b'{"name":"long st', b'{"name":"long st'),
        (b'{"name":"\xc3', b'{"name":'),
        (b'{"name":"a\\u00', b'{"name":"a'),
        (b"[1, 25", b"[1, "),
        (b"[1, tru", b"[1, "),
        (b'[{"id":1},', b'[{"id":1},'),
        (b'[{"id":1}', b'[{"id":1}'),
        (b'{"password":"abc', b'{"password":'),
        (b'{"password":"abc"', b'{"password":"****************"'),
        (b'{"password":[1,{}', b'{"password":'),
        (b'{"password":[1,{}] ', b'{"password":[] '),
    ],
)
def test_what_is_understood_goes_on_at_once_and_the_rest_waits(text, at_once):
    assert JsonMasker([SECRETS]).feed(text) == at_once


def test_a_long_string_that_nobody_looks_at_is_never_held():
    masker = JsonMasker([SECRETS])
    masker.feed(b'{"photo":"x')
    for _ in range(50):
        assert masker.feed(b"x" * 100_000) == b"x" * 100_000


def test_a_long_hidden_string_is_never_held():
    masker = JsonMasker([SECRETS])
    masker.feed(b'{"password":"')
    for _ in range(50):
        assert masker.feed(b"x" * 100_000) == b""
        assert masker.held < KEPT + 1000  # its beginning, for the record
    assert masker.feed(b'"}') == b'"****************"}'


# --- what is hidden, and as what


@pytest.mark.parametrize(
    ("value", "shown", "count"),
    [
        (b'"x"', b'"****************"', 1),
        (b'""', b'"****************"', 1),
        (b"-12.5", b"0", 1),
        (b"0", b"0", 1),
        (b"true", b"false", 1),
        (b"false", b"false", 1),
        (b"null", b"null", 0),
        (b'{ "a" : [ {} ] }', b"{}", 1),
        (b"[1, [2], null]", b"[]", 1),
        (b"[ ]", b"[]", 1),
    ],
)
def test_a_hidden_value_keeps_its_type_alone(value, shown, count):
    out, counts = run([b'{"a":1, "password" : ' + value + b' , "b":2}'], SECRETS)
    assert out == b'{"a":1, "password" : ' + shown + b' , "b":2}'
    assert counts.get("names", 0) == count


def test_every_field_of_a_repeated_name_is_hidden():
    out, counts = run([b'{"password":"a","password":"b","Password":7}'], SECRETS)
    assert out == b'{"password":"****************","password":"****************","Password":0}'
    assert counts == {"names": 3}


def test_a_hidden_field_inside_an_open_one_is_hidden_and_the_field_after_it_is_not():
    out, _ = run([b'{"a":{"password":{"a":1}},"b":[{"password":1}],"c":1}'], SECRETS)
    assert out == b'{"a":{"password":{}},"b":[{"password":0}],"c":1}'


def test_the_first_masker_that_hides_a_field_is_the_one_that_counts():
    other = NameMasker("other", ["pass*", "pin"])
    assert run([b'{"password":1,"pin":2}'], SECRETS, other)[1] == {"names": 1, "other": 1}


def test_a_masker_is_shown_every_open_scalar_with_the_field_around_it():
    asked = []

    class Listener(Shouter):
        def mask(self, field, value):
            asked.append((field, value))

    text = rb'{"a":"x\n","b":[1.50,{"c":true},"\ud83d\ude00",null],"loud":"z","password":"y"}'
    assert run([text], Listener(), SECRETS)[0].startswith(text[:60])
    assert asked == [("a", "x\n"), ("b", "1.50"), ("c", "true"), ("b", "😀")]
    asked.clear()
    run([b'"root"'], Listener())
    assert asked == [("", "root")]


# --- limits


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("frame", "unit", "most", "masker"),
    [
        (('{"', '":1}'), "n", json_grammar.LONGEST_NAME, SECRETS),
        (('{"password":"as long as stars","', '":1}'), "n", json_grammar.LONGEST_NAME, SECRETS),
        (("[", "]"), "1", json_grammar.LONGEST_BARE, SECRETS),
        (('{"a":', "}"), "1", json_grammar.LONGEST_BARE, SECRETS),
        (('["', '"]'), "value of 16 char", json_grammar.LONGEST_VIEWED // 16, Shouter()),
    ],
)
def test_a_limit_holds_exactly_and_however_the_text_is_cut(frame, unit, most, masker, size):
    for count in (most, most + 1):
        text = unit.join([frame[0], *[""] * (count - 1), frame[1]]).encode()
        step = max(size, len(text) // 100_000)
        out, refused = emitted([text[i : i + step] for i in range(0, len(text), step)], masker)
        assert refused is (count > most)
        assert refused or abs(len(out) - len(text)) < 3


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"password":'])
def test_containers_may_be_within_each_other_to_a_limit(opening):
    close = b"]" if opening == b"[" else b"}"
    for depth in (json_grammar.DEEPEST, json_grammar.DEEPEST + 1):
        text = opening * depth + b"1" + close * depth
        assert emitted([text], SECRETS)[1] is (depth > json_grammar.DEEPEST)


# --- maskers that fail


class Broken(Shouter):
    name = "broken"

    def __init__(self, answer):
        self.answer = answer

    def mask(self, field, value):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("answer", [RuntimeError("oops"), b"bytes", 7, False])
@pytest.mark.parametrize("value", [b'"x"', b"1", b"true"])
def test_a_masker_that_fails_on_a_value_is_a_fault_that_names_it(answer, value):
    out, refused = emitted([b"[", value, b"]"], Broken(answer))
    assert (out, refused) == (b"[", True)
    with pytest.raises(MaskingFault, match="'broken'") as caught:
        run([b"[", value, b"]"], Broken(answer))
    assert caught.value.__cause__ is (answer if isinstance(answer, Exception) else None)
