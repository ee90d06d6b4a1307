"""What masking costs grows with a text and never faster, whatever is in it and however it comes."""

import gc
import time
import tracemalloc

import pytest
from support.hostile_json import SHAPES
from support.masked import NAMES, Marks, hand, pieces

from jitgate.core.json_body import GatheredJson, StreamedJson
from jitgate.core.json_masking import JsonMasker
from jitgate.errors import MaskingFault
from jitgate.maskers.detectors import DetectorMasker
from jitgate.maskers.names import NameMasker
from jitgate.values import How

KIB = 1024
FOUND = (NameMasker("n", NAMES), Marks())
DROPPED = (NameMasker("n", NAMES, How.DROP),)

WAYS = {
    "gathered": (GatheredJson, FOUND, 32 * KIB, 0),
    "step by step": (JsonMasker, FOUND, 32 * KIB, 0),
    "in small pieces": (StreamedJson, FOUND, 32 * KIB, KIB),
    "byte by byte": (StreamedJson, FOUND, 8 * KIB, 1),
    "dropped byte by byte": (JsonMasker, DROPPED, 8 * KIB, 1),
}
GROWTH = 2.6
"""By how much the cost may grow where a text becomes twice as long: quadratic would be four."""
LEAST, ENOUGH = 3, 3.0
"""Tries, and the seconds after which what is not seen by then is believed not to be so."""


def cost(kind, by, cut):
    """Seconds of the processor, however it ends."""
    began, held = time.process_time(), hand()
    transformer = kind(by, held)
    try:
        for each in cut:
            transformer.feed(each)
        transformer.finish()
        assert held.hits is not None
    except MaskingFault:
        pass
    return time.process_time() - began


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", SHAPES)
def test_twice_the_text_costs_twice_as_much(shape, way):
    kind, by, size, piece = WAYS[way]
    texts = [SHAPES[shape](size), SHAPES[shape](2 * size)]
    costs_twice_as_much(kind, by, [pieces(text, [piece] if piece else []) for text in texts])


def test_an_element_that_is_waited_for_is_not_looked_at_for_each_byte():
    texts = [b'[{"a":"%b"}]' % (b"x" * size) for size in (32 * KIB, 64 * KIB)]
    costs_twice_as_much(StreamedJson, FOUND, [pieces(text, [1]) for text in texts])


@pytest.mark.parametrize("kind", [JsonMasker, StreamedJson])
@pytest.mark.parametrize("body", [b"%b", b'{"a":%b}', b"[1,%b]", b'{"%b":1}', b'{"a":"%b"}'])
def test_what_waits_for_its_end_is_not_searched_for_each_byte(body, kind):
    by = (NameMasker("n", ["x"], How.DROP), DetectorMasker("d", ["payment-card"]))
    texts = [body % (b"4" * size) for size in (2000, 4000)]
    costs_twice_as_much(kind, by, [pieces(text, [1]) for text in texts])


def test_a_long_name_that_waits_is_not_searched_for_each_byte():
    by = (NameMasker("n", ["x"], How.DROP), DetectorMasker("d", ["payment-card"]))
    few = b"4" * 13 + b"x" * 51  # or what is found would be given up
    texts = [b'{"%b":1}' % (few * count) for count in (60, 120)]
    costs_twice_as_much(JsonMasker, by, [pieces(text, [1]) for text in texts], tries=12)


def costs_twice_as_much(kind, by, cuts, tries=40):
    best, until = [float("inf"), float("inf")], time.process_time() + ENOUGH
    for number in range(tries):  # others may use the processor's caches meanwhile
        if number >= LEAST and time.process_time() > until:
            break
        best = [min(least, cost(kind, by, cut)) for least, cut in zip(best, cuts, strict=True)]
        if best[1] <= GROWTH * max(best[0], 0.002):
            return
    pytest.fail(f"{best[0]:.4f} s became {best[1]:.4f} s")


@pytest.mark.parametrize("kind", [JsonMasker, StreamedJson])
@pytest.mark.parametrize(
    "shape",
    [
        "a text that begins like JSON",
        "brackets that close",
        "short texts",
        "texts behind which a space stands",
        "white space",
        "hidden fields of one object",
        "one long element",
        "many names",
    ],
)
def test_what_is_kept_of_a_stream_is_bounded(shape, kind):
    cut = pieces(SHAPES[shape](1000 * KIB), [16 * KIB])
    transformer = kind(DROPPED, hand())
    gc.collect()
    tracemalloc.start()
    try:
        for each in cut:
            transformer.feed(each)
        transformer.finish()
    except MaskingFault:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 4 * KIB * KIB
