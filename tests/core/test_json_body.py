"""Bodies in pieces, by whichever way: as they are masked step by step, and which way they went."""

import json
from collections import Counter

import pytest
from core.test_json_hiding import Numbers, Paths, hand
from core.test_json_whole import stepped, told
from hypothesis import given, settings
from hypothesis import strategies as st
from support.masked import Reference

from jitgate.core import json_body
from jitgate.core.json_body import WAITS, GatheredJson, StreamedJson, masked
from jitgate.core.json_masking import JsonMasker
from jitgate.errors import MaskingFault
from jitgate.maskers.detectors import DetectorMasker
from jitgate.maskers.names import NameMasker
from jitgate.maskers.paths import PathMasker
from jitgate.values import Hit, How

MASKERS = (NameMasker("n", ["secret", "*T"]), Numbers())


def in_pieces(kind, data, maskers, sizes):
    held, at = hand(), 0
    transformer = kind(maskers, held)
    out = []
    try:
        for size in sizes:
            out.append(transformer.feed(data[at : at + size]))
            at += size
        out += [transformer.feed(data[at:]), transformer.finish()]
    except MaskingFault as fault:
        return f"{fault}", None, None
    return b"".join(out), told(held), dict(held.counts)


keys = st.sampled_from(["id", "secret", "aT", "name"])
inner = st.one_of(
    st.none(), st.integers(-5, 5000), st.sampled_from(["x", "},{", '"},', "a 123", '{"secret":1}'])
)
element = st.dictionaries(
    keys,
    st.one_of(inner, st.lists(st.dictionaries(keys, inner, max_size=2), max_size=3)),
    max_size=4,
)
arrays = st.lists(st.one_of(element, element, element, inner), max_size=12)


def test_an_array_goes_on_element_by_element_as_it_is_masked_step_by_step():
    went = Counter()

    class Counting(StreamedJson):
        def _elements(self, part):
            done = super()._elements(part)
            went[done is not None] += 1
            return done

    @settings(max_examples=500, deadline=None)
    @given(
        arrays,
        st.lists(st.integers(1, 120), max_size=12),
        st.sampled_from([(",", ":"), (", ", ": "), (",\n", " :")]),
        st.sampled_from(["", " \n", "x", "}"]),
        st.sampled_from([How.REPLACE, How.DROP, How.HASH]),
    )
    def check(value, sizes, separators, rest, how):
        maskers = (NameMasker("n", ["secret", "*T"], how), Numbers())
        data = json.dumps(value, separators=separators).encode() + rest.encode()
        expected = stepped(data, maskers)
        assert in_pieces(GatheredJson, data, maskers, sizes)[1:] == expected[1:]
        streamed = in_pieces(Counting, data, maskers, sizes)
        assert streamed[1:] == expected[1:]
        if expected[1] is not None:
            assert streamed == expected
            assert masked(data, maskers, hand()) == expected[0]

    check()
    assert went[True] > 100, went
    assert went[False] > 100, went


@pytest.mark.parametrize("data", [b"[]", b" [ ] ", b'{"secret":1}', b'"x"', b"", b" ", b"[1,2,3]"])
def test_what_is_no_array_of_objects_is_read_step_by_step(data):
    for sizes in ([], [1] * 20):
        assert in_pieces(StreamedJson, data, MASKERS, sizes)[1:] == stepped(data, MASKERS)[1:]


def test_where_paths_hide_nothing_goes_another_way():
    maskers = (Paths("$[1].a", "$[*].b"),)
    data = b'[{"a":1,"b":2},{"a":3,"b":4},{"a":5}]'
    for size in (1, 5, 20, 100):
        assert in_pieces(StreamedJson, data, maskers, [size] * 40) == stepped(data, maskers)


LED = (
    ("$[2].secret",),
    ("$[0].secret", "$[3].aT"),
    ("$[1]..secret",),
    ("$[4]..aT", "$[2].name[0].id"),
    ("$.*[1].secret", "$[5].id"),
)
"""Paths with an index before a name, beside which elements go by in batches."""


def test_a_path_with_an_index_is_followed_for_its_element_whatever_went_by_in_a_batch():
    went = Counter()

    class Counting(StreamedJson):
        def _elements(self, part):
            done = super()._elements(part)
            went["batches"] += done is not None
            return done

    @settings(max_examples=800, deadline=None)
    @given(
        st.lists(element, min_size=3, max_size=9),
        st.lists(st.integers(1, 120), max_size=6),
        st.sampled_from(LED),
        st.sampled_from([How.REPLACE, How.DROP]),
        st.booleans(),
    )
    def check(value, sizes, led, how, looked):
        maskers = (PathMasker("p", led, how), *[Numbers()] * looked)
        data = json.dumps(value, separators=(",", ":")).encode()
        batches, went["batches"] = went["batches"], 0
        streamed = in_pieces(Counting, data, maskers, sizes)
        assert streamed == stepped(data, maskers)
        assert streamed[0] == Reference(maskers).masked(data)
        went["led behind a batch"] += bool(went["batches"] and streamed[2].get("p"))
        went["batches"] += batches

    check()
    assert went["batches"] > 100, went
    assert went["led behind a batch"] > 30, went


@pytest.mark.parametrize("sizes", [[], [8], [9, 20], [17], [1] * 80])
def test_neither_does_an_element_before_it_lead_there_nor_one_behind(sizes):
    data = b'[{"a":1},{"a":2},{"pin":"hush"},{"b":1},{"pin":"keep"}]'
    for path, at in (("$[2].pin", b"hush"), ("$[4].pin", b"keep"), ("$[2]..pin", b"hush")):
        out, _, _ = in_pieces(StreamedJson, data, (PathMasker("p", [path]),), sizes)
        assert out == data.replace(at, b"*" * 16)
    for path in ("$[0].pin", "$[1].pin", "$[3].pin", "$[5].pin"):
        assert in_pieces(StreamedJson, data, (PathMasker("p", [path]),), sizes)[0] == data


def test_elements_are_numbered_through_all_that_came_before():
    data = json.dumps([{"secret": number} for number in range(300)]).encode()
    out, hits, _ = in_pieces(StreamedJson, data, MASKERS, [700] * 10)
    assert (out, hits) == stepped(data, MASKERS)[:2]
    assert ("$[299]['secret']", "n", "<299>") in hits


def test_an_element_is_waited_for_to_a_limit():
    transformer = StreamedJson(MASKERS, hand())
    assert transformer.feed(b'[{"a":"') == b"["
    assert transformer.feed(b"x" * WAITS) != b""
    transformer.feed(b'"},{"secret":"hush"},')
    assert b"hush" not in transformer.feed(b'{"secret":"hush"}]') + transformer.finish()


def test_which_way_a_text_goes_depends_on_what_it_holds():
    plain = json.dumps([{"id": "x", "secret": "s"}]).encode()
    assert json_body.whole(MASKERS).masked(plain, hand()) is not None
    odd = b'[{"id":"x","sec\\u0072et":"s"}]'
    assert json_body.whole(MASKERS).masked(odd, hand()) is None
    assert masked(odd, MASKERS, hand()) == b'[{"id":"x","sec\\u0072et":"****************"}]'


def test_no_part_of_a_body_is_kept_for_what_was_hidden_in_it():
    held = hand()
    transformer = StreamedJson(MASKERS, held)
    part = json.dumps([{"id": "x" * 1000}] * 60 + [{"secret": "a"}])[1:-1].encode()
    transformer.feed(b"[" + part + b",")
    for number in range(10):
        transformer.feed(part + b",")
        assert len(held._hits) > number
        assert all(isinstance(each, Hit) for each in held._hits)


@pytest.mark.parametrize("kind", [JsonMasker, GatheredJson, StreamedJson])
@pytest.mark.parametrize(
    "body",
    ["%s", "[%s]", '{"a":%s}', '{"a":%s,"b":1}', "[1,%s ,2]", '[{"a":1},%s,{"a":[%s]}]', "[%s\n]"],
)
def test_a_number_of_a_kind_is_found_by_every_way_however_it_is_cut(kind, body):
    """What tells that it ends may stand behind it, and come later."""
    maskers = (DetectorMasker("d", ["payment-card"]),)
    data = body.replace("%s", "4111111111111111").encode()
    for size in range(1, len(data) + 1):
        out, _, _ = in_pieces(kind, data, maskers, [size] * len(data))
        assert out == body.replace("%s", "0").encode()
