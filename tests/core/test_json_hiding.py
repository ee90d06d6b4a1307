"""How, where and in what the JSON masker hides: against a walk through what the text means."""

import json
import re

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from support.masked import Marks
from zope.interface import implementer

from jitgate.core.hiding import LONG_ENOUGH, NOTED, STARS, Hand
from jitgate.core.json_masking import JsonMasker
from jitgate.core.json_strings import NESTED
from jitgate.core.paths import parsed
from jitgate.errors import MaskingFault, ResponseDenied
from jitgate.interfaces import IStatedMasker
from jitgate.maskers.names import NameMasker
from jitgate.values import Hit, How, Span


@implementer(IStatedMasker)
class Paths:
    """Hides what its paths lead to."""

    version, looks_at_values, names, signs = "1", False, (), ()

    def __init__(self, *paths, how=How.REPLACE, name="paths"):
        self.paths = tuple(map(parsed, paths))
        self.how, self.name = how, name

    def hides(self, field):
        return False

    def mask(self, field, value):
        return None

    def spans(self, value):
        return ()


@implementer(IStatedMasker)
class Numbers:
    """Hides runs of three digits in texts and numbers."""

    version, looks_at_values, names, paths = "1", True, (), ()
    signs = (b"[0-9]{3}",)

    def __init__(self, how=How.REPLACE, name="found"):
        self.how, self.name = how, name

    def hides(self, field):
        return False

    def mask(self, field, value):
        return re.sub("[0-9]{3}", "***", value) if re.search("[0-9]{3}", value) else None

    def spans(self, value):
        return [Span(*each.span(), "three") for each in re.finditer("[0-9]{3}", value)]


def digest(value):
    return f"<{value.decode('utf-8', 'surrogatepass')}>"


def session(value):
    return f"{len(value):032}"


def letters(value):
    """No three digits in a row: who looks for those in a text finds them in a digest within it."""
    return f"{len(value):032b}".replace("0", "a").replace("1", "b")


def hand(told=session):
    return Hand(digest, told)


def masked(text, *maskers, sizes=(None,), told=session):
    """What a text is masked to, however it is cut, and what was told of it."""
    results = []
    for size in sizes:
        held = hand(told)
        masker = JsonMasker(maskers, held)
        data = text if isinstance(text, bytes) else text.encode()
        step = size or len(data) or 1
        pieces = [data[at : at + step] for at in range(0, len(data), step)]
        out = b"".join([*map(masker.feed, pieces), masker.finish()])
        results.append((out.decode(), held.hits, dict(held.counts)))
    assert all(each == results[0] for each in results)
    return results[0]


CUTS = (None, 1, 2, 3, 7)
LONG = "0123-4567-8901"
AT_A = {
    "name": lambda how: NameMasker("n", ["a"], how),
    "path": lambda how: Paths("$.a", how=how),
    "glob": lambda how: NameMasker("g", ["A?", "?"], how),
    "text": lambda how: Numbers(how),
}
SHOWN = {
    How.LAST4: f"{STARS[4:]}8901",
    How.HASH: "hmac:00000000000000000000000000000014",
    How.REPLACE: STARS,
}


@pytest.mark.parametrize("masker", AT_A)
@pytest.mark.parametrize("value", [LONG, 12345, {"b": LONG}, [LONG], {"href": LONG}])
def test_people_see_that_something_was_there_where_an_agent_does_not(masker, value):
    data = json.dumps({"a": value, "c": 1}).encode()
    for maskers in ([AT_A[masker](How.DROP)], [AT_A[masker](how) for how in (How.LAST4, How.DROP)]):
        shown = set()
        for sizes in (len(data), 1):
            held = Hand(openly=True)
            transformer = JsonMasker(maskers, held)
            cut = [data[at : at + sizes] for at in range(0, len(data), sizes)]
            shown.add(b"".join([*map(transformer.feed, cut), transformer.finish()]))
        [out] = shown
        assert set(json.loads(out)) == {"a", "c"}
        assert "null" not in out.decode()
        assert "0123" not in out.decode()
        assert held.counts


@pytest.mark.parametrize("one", ["name", "path", "glob"])
@pytest.mark.parametrize("other", AT_A)
def test_of_several_the_strictest_counts_in_whatever_order_they_stand(one, other):
    ways = [How.LAST4, How.HASH, How.REPLACE, How.DROP, How.DENY]
    for at, looser in enumerate(ways):
        for stricter in ways[at + 1 :] if other == "text" else ways[at:]:
            both = [AT_A[one](looser), AT_A[other](stricter)]
            if other == "text" and looser not in {How.LAST4, How.HASH}:
                continue  # of what is hidden whole nobody is shown anything
            for maskers in (both, both[::-1]):
                text = json.dumps({"a": LONG, "b2": None})
                if How.DENY in (looser, stricter):
                    with pytest.raises(ResponseDenied):
                        masked(text, *maskers)
                    continue
                out = json.loads(masked(text, *maskers, sizes=CUTS)[0])
                gone = stricter is How.DROP
                assert out.get("a") == (None if gone else SHOWN[stricter])
                assert ("a" in out) is (not gone or other == "text")


def test_where_several_hide_parts_of_a_text_all_else_is_as_it_was():
    text = '{"x": "\\u00e9 é \\/ 123 HuSh 45678"}'
    first, other = Numbers(How.HASH, "one"), Marks(How.REPLACE, "two")
    for maskers in ((first, other), (other, first)):
        out, hits, counts = masked(text, *maskers, sizes=CUTS)
        assert out == (f'{{"x": "\\u00e9 é \\/ hmac:{3:032} {STARS} hmac:{3:032}78"}}')
        assert [(hit.rule, hit.digest) for hit in hits] == [
            ("one/three", "<123>"),
            ("two/mark", "<HuSh>"),
            ("one/three", "<456>"),
        ]
        assert counts == {"one/three": 2, "two/mark": 1}


def test_what_several_find_is_hidden_as_one_where_it_overlaps():
    text = '{"x": "a 0123-4567777-8901 b"}'
    for how, shown in ((How.LAST4, f"{STARS[4:]}7777"), (How.HASH, f"hmac:{12:032}")):

        class Wide(Numbers):
            def spans(self, value):
                return [Span(2, 14, "wide")]

        for maskers in ((Wide(how), Marks(how)), (Marks(how), Wide(how))):
            out, hits, _ = masked(text, *maskers, sizes=CUTS)
            assert out == f'{{"x": "a {shown}-8901 b"}}'
            assert [hit.digest for hit in hits] == ["<0123-4567777>"]
        out, hits, _ = masked(text, Wide(how), Marks(), sizes=CUTS)
        assert out == f'{{"x": "a {STARS}-8901 b"}}'
        assert [hit.rule for hit in hits] == ["marks/mark"]


def test_no_part_is_dropped_where_another_denies():
    for maskers in ((Numbers(How.DROP), Marks(How.DENY)), (Marks(How.DENY), Numbers(How.DROP))):
        with pytest.raises(ResponseDenied):
            masked('["123 HuSh"]', *maskers)


@pytest.mark.parametrize(
    ("how", "shown"),
    [
        (How.REPLACE, f'{{"a": "{STARS}", "b": 1}}'),
        (How.LAST4, f'{{"a": "{STARS[4:]}mnop", "b": 1}}'),
        (How.HASH, '{"a": "hmac:00000000000000000000000000000016", "b": 1}'),
        (How.DROP, '{ "b": 1}'),
    ],
)
def test_a_hidden_text_is_shown_as_its_masker_says(how, shown):
    text = '{"a": "abcdefghijklmnop", "b": 1}'
    out, hits, _ = masked(text, NameMasker("n", ["a"], how), sizes=CUTS)
    assert out == shown
    assert hits == [Hit("n", "$['a']", '<"abcdefghijklmnop">')]


def test_of_a_short_text_not_even_the_end_is_shown():
    for length in range(LONG_ENOUGH + 2):
        text = "abcdefghijklmnopqrstuvwxyz"[:length]
        out, _, _ = masked(json.dumps({"a": text}), NameMasker("n", ["a"], How.LAST4))
        told = json.loads(out)["a"]
        assert told == (STARS[4:] + text[-4:] if length >= LONG_ENOUGH else STARS)


@pytest.mark.parametrize("how", [How.REPLACE, How.LAST4, How.HASH])
@pytest.mark.parametrize(
    ("value", "shown"),
    [("12", "0"), ("true", "false"), ("null", "null"), ('{"b": [1]}', "{}"), ('[{"a": 1}]', "[]")],
)
def test_what_is_no_text_keeps_its_type_and_nothing_else(how, value, shown):
    out, hits, _ = masked(f'{{"a" : {value} }}', NameMasker("n", ["a"], how), sizes=CUTS)
    assert out == f'{{"a" : {shown} }}'
    assert hits == ([] if value == "null" else [Hit("n", "$['a']", f"<{value}>")])


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"x":1}', "{}"),
        ('{"x":1,"a":2}', '{"a":2}'),
        ('{"x":1,"x":{"y":[2]},"a":3}', '{"a":3}'),
        ('{"a":1,"x":"2"}', '{"a":1}'),
        ('{"a":1 , "x" : null , "b":3}', '{"a":1  , "b":3}'),
        ('{ "x" : [ 1 ] , "x":2 , "b":3 , "x":4}', '{     "b":3 }'),
        ('{"a":{"x":1},"b":[{"x":1,"c":2},{"c":3,"x":4}]}', '{"a":{},"b":[{"c":2},{"c":3}]}'),
        ('{"\\u0078":1,"a":2}', '{"a":2}'),
        ('[{"x":1},{"a":{"b":{"x":1}}}]', '[{},{"a":{"b":{}}}]'),
    ],
)
def test_a_dropped_field_leaves_what_is_json_still(text, left):
    out, _, counts = masked(text, NameMasker("n", ["x"], How.DROP), sizes=CUTS)
    assert out == left
    json.loads(out)
    assert sum(counts.values()) == text.count('"x"') + text.count("u0078")


def test_a_dropped_element_is_null_and_so_is_a_text_in_which_something_is_found():
    out, hits, _ = masked('{"a":[1,"two",{"b":3}]}', Paths("$.a[*]", how=How.DROP), sizes=CUTS)
    assert out == '{"a":[null,null,null]}'
    assert [each.path for each in hits] == ["$['a'][0]", "$['a'][1]", "$['a'][2]"]
    out, hits, _ = masked('{"a":"x 123","b":456,"c":"x"}', Numbers(How.DROP), sizes=CUTS)
    assert out == '{"a":null,"b":null,"c":"x"}'
    assert [each.rule for each in hits] == ["found/three"] * 2


@pytest.mark.parametrize(
    "text",
    ['{"a":"x"}', '{"b":{"a":[]}}', '{"b":"{\\"a\\":1}"}', '{"b":1,"b":2,"\\u0061":0}'],
)
def test_a_response_may_be_denied_for_what_it_holds(text):
    for step in (1, len(text)):
        with pytest.raises(ResponseDenied, match="n lets no response"):
            masked(text, NameMasker("n", ["a"], How.DENY), sizes=(step,))
    assert masked('{"a":null}', NameMasker("n", ["a"], How.DENY))[0] == '{"a":null}'


def test_a_response_may_be_denied_for_what_is_found_in_it():
    with pytest.raises(ResponseDenied, match="found/three"):
        masked('["x 123"]', Numbers(How.DENY))


@pytest.mark.parametrize(
    ("path", "places"),
    [
        ("$.a", ["$['a']"]),
        ("$.b.a", ["$['b']['a']"]),
        ("$..a", ["$['a']", "$['b']['a']", "$['c'][1]['a']"]),
        ("$.c[*]", ["$['c'][0]", "$['c'][1]", "$['c'][2]"]),
        ("$.c[1].a", ["$['c'][1]['a']"]),
        ("$.c[2]", ["$['c'][2]"]),
        ("$.*.a", ["$['b']['a']"]),
        ("$..[0]", ["$['c'][0]", "$['d'][0]"]),
        ("$.b", ["$['b']"]),
        ("$.nothing", []),
    ],
)
def test_paths_lead_to_what_is_hidden_and_the_record_says_where(path, places):
    text = '{"a":"u1", "b":{"x":92, "a":"u3"}, "c":["u4", {"a":"u5"}, "u6"], "d":[71, 82]}'
    out, hits, _ = masked(text, Paths(path), sizes=CUTS)
    assert [each.path for each in hits] == places
    for hit in hits:
        assert hit.digest[1:-1] in text
        assert hit.digest[1:-1] not in out
    assert len(hits) or out == text


def test_only_so_many_are_told_one_by_one_and_all_are_counted():
    text = json.dumps([{"a": number} for number in range(NOTED + 50)])
    out, hits, counts = masked(text, NameMasker("n", ["a"]), sizes=(None, 500))
    assert len(hits) == NOTED
    assert counts == {"n": NOTED + 50}
    assert hits[-1].path == f"$[{NOTED - 1}]['a']"
    assert all(each == {"a": 0} for each in json.loads(out))


# --- parts of texts


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ('"a 123 b"', f'"a {STARS} b"'),
        ('"\\u0031\\u0032\\u0033"', f'"{STARS}"'),
        ('"\\/123\\n456\\u00e9"', f'"\\/{STARS}\\n{STARS}\\u00e9"'),
        ('"\\ud83d\\ude00123\\ud83d"', f'"\\ud83d\\ude00{STARS}\\ud83d"'),
        ('"\\"123\\\\"', f'"\\"{STARS}\\\\"'),
        ('"12"', '"12"'),
        ("1234", "0"),
        ("12", "12"),
        ("true", "true"),
    ],
)
def test_of_a_text_only_what_was_found_is_replaced(token, shown):
    out, _, _ = masked(f"[{token}]", Numbers(), sizes=CUTS)
    assert out == f"[{shown}]"


def test_two_that_find_something_in_one_text_both_hide_it():
    out, hits, _ = masked('["123456"]', Numbers(), Numbers(How.HASH, "other"), sizes=CUTS)
    assert "123" not in out
    assert "456" not in out
    assert {each.rule for each in hits} >= {"found/three"}


# --- JSON in texts


def nested(value, times):
    for _ in range(times):
        value = json.dumps(value)
    return value


@pytest.mark.parametrize("times", range(1, 5))
def test_json_in_a_text_is_looked_into_and_all_else_of_it_stays(times):
    inner = {"a": "HuSh", "b": 1, "c": 'it\'s / "x" é 123'}
    text = json.dumps({"t": nested(inner, times)})
    out, hits, _ = masked(text, NameMasker("n", ["a"]), sizes=CUTS)
    assert "HuSh" not in out
    value = json.loads(out)["t"]
    for _ in range(times):
        value = json.loads(value)
    assert value == inner | {"a": STARS}
    assert [each.path for each in hits] == ["$['t']" + ":$" * (times - 1) + ":$['a']"]
    assert len(out) - len(STARS) == len(text) - len("HuSh")


@pytest.mark.parametrize(
    "text",
    [
        '["{\\"a\\":1"]',
        '["{not json, a:1}"]',
        '["[1,2] and more"]',
        '["{\\"a\\" 1}"]',
        '["{"]',
        '[" [\\"b\\"]"]',
    ],
)
def test_a_text_that_is_no_json_stays_as_it_is(text):
    assert masked(text, NameMasker("n", ["a"]), sizes=CUTS)[0] == text


@pytest.mark.parametrize(
    "token",
    [
        '"\\u007b\\"a\\":\\"HuSh\\"}"',
        '"\\n {\\"a\\":\\"HuSh\\"}"',
        '"{\\"\\u0061\\":\\"HuSh\\"}"',
        '"[{\\u0022a\\u0022:\\"HuSh\\"}]"',
        '" {\\"a\\":\\"HuSh\\",\\"b\\":\\"\\ud800\\"}"',
    ],
)
def test_json_in_a_text_is_found_however_it_is_written(token):
    for text in (f"[{token}]", f'{{"x":{token}}}', f'[1,{token},{{"y":{token}}}]'):
        out, _, counts = masked(text, NameMasker("n", ["a"]), sizes=CUTS)
        assert "HuSh" not in out
        assert counts == {"n": text.count("HuSh")}


def test_texts_that_are_json_within_each_other_have_a_limit():
    fits = json.dumps([nested({"a": 1}, NESTED)])
    assert '\\"a\\"' in masked(fits, NameMasker("n", ["b"]))[0].replace("\\\\", "")
    with pytest.raises(MaskingFault, match="within each other"):
        masked(json.dumps([nested({"a": 1}, NESTED + 1)]), NameMasker("n", ["b"]))


# --- all together, against a walk


names = st.sampled_from(["a", "b", "secret", "x", "it's"])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-999, 99_999),
    st.sampled_from(["", "plain", "1234567", "a longer text, 12345678", "é😀", "{", "[1", "  [1]"]),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(st.tuples(names, inner), max_size=4).map(tuple)
        | inner.map(lambda value: Text(value))
    ),
    max_leaves=10,
)
hows = st.sampled_from([How.REPLACE, How.LAST4, How.HASH, How.DROP])
paths = st.lists(
    st.sampled_from(["$.a", "$..x", "$[0]", "$.a[1]", "$.*.b", "$..[0].a", "$[*]", "$..b[*]"]),
    max_size=2,
    unique=True,
)


class Text:
    """A text that is JSON."""

    def __init__(self, value):
        self.value = value

    def __repr__(self):
        return f"Text({self.value!r})"


DROPPED = object()


def written(value, draw=lambda: ""):
    """A value as JSON, with white space; objects are tuples of pairs."""
    if isinstance(value, Text):
        return json.dumps(written(value.value))
    if isinstance(value, tuple):
        inner = (f"{draw()}{json.dumps(k)}{draw()}:{draw()}{written(v, draw)}" for k, v in value)
        return "{" + ",".join(inner) + draw() + "}"
    if isinstance(value, list):
        return "[" + draw() + ",".join(f"{written(each, draw)}{draw()}" for each in value) + "]"
    return json.dumps(value, ensure_ascii=False)


class Walk:
    """What is left of a value, by the words of the ports."""

    def __init__(self, how, led, looks):
        self.how, self.follower, self.looks = how, led, looks

    def hidden(self, value):
        if self.how is How.DROP:
            return DROPPED
        if value is None:
            return None
        if isinstance(value, Text):
            value = written(value.value)
        if isinstance(value, str):
            if self.looks and re.search("[0-9]{3}", value):
                return STARS  # who looks at values replaces, and that is stricter than to show some
            return hand(letters).text(NameMasker("n", ["x"], self.how), value)
        return {bool: False, int: 0, tuple: (), list: []}[type(value)]

    def left(self, value, state):
        if isinstance(value, tuple):
            pairs = [(key, self.at(key, inner, state)) for key, inner in value]
            return tuple((key, inner) for key, inner in pairs if inner is not DROPPED)
        if isinstance(value, list):
            every = [self.at(number, inner, state) for number, inner in enumerate(value)]
            return [None if each is DROPPED else each for each in every]
        if isinstance(value, Text):
            if isinstance(value.value, list | tuple | str | Text):
                return Text(Walk(self.how, None, self.looks).left(value.value, frozenset()))
            value = written(value.value)
        return self.seen(value)

    def at(self, key, value, state):
        hit, below = None, frozenset()
        if self.follower is not None:
            below, hit = self.follower.below(state, key)
        if key == "secret" or hit is not None:
            return self.hidden(value)
        return self.left(value, below)

    def seen(self, value):
        if not self.looks or value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return 0 if re.search("[0-9]{3}", str(value)) else value
        if value.lstrip()[:1] in ("[", "{"):
            try:
                json.loads(value)
            except ValueError:
                pass
            else:
                return value
        return re.sub("[0-9]{3}", STARS, value)


def pairs(text):
    return json.loads(text, object_pairs_hook=tuple)


def alike(read, expected):
    """Whether what was read is what was expected, where that may hold texts that are JSON."""
    if isinstance(expected, Text):
        return isinstance(read, str) and alike(pairs(read), expected.value)
    if isinstance(expected, tuple):
        return (
            isinstance(read, tuple)
            and len(read) == len(expected)
            and all(
                one[0] == other[0] and alike(one[1], other[1])
                for one, other in zip(read, expected, strict=True)
            )
        )
    if isinstance(expected, list):
        return (
            isinstance(read, list)
            and len(read) == len(expected)
            and all(map(alike, read, expected))
        )
    return type(read) is type(expected) and read == expected


@settings(max_examples=400, deadline=None)
@given(values, hows, paths, st.booleans(), st.integers(1, 9), st.randoms(use_true_random=False))
def test_what_is_left_is_what_a_walk_leaves(value, how, led, looks, size, random):
    maskers = [NameMasker("n", ["secret"], how), Paths(*led, how=how)]
    if looks:
        maskers.append(Numbers())
    text = written(value, lambda: random.choice(["", "", " ", "\n\t"]))
    out, hits, counts = masked(text, *maskers, sizes=(None, size), told=letters)
    asked = JsonMasker(maskers)._asked
    start = asked.follower.start if asked.follower else frozenset()
    expected = Walk(how, asked.follower, looks).left(value, start)
    event(f"{len(hits)} hits")
    assert alike(pairs(out), expected), (text, out, expected)
    assert sum(counts.values()) == len(hits)
    if not hits:
        assert out == text
