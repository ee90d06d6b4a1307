import math
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.stores.lines import (
    LINE_BYTES,
    RESERVED,
    LineInvalid,
    moment,
    read_line,
    timestamp,
    write_line,
)
from jitgate.values import Entry

TIME = "2026-11-24T02:06:00.000000Z"


def test_a_line_begins_with_number_time_and_type_and_ends_with_bodies():
    line = write_line(7, TIME, Entry("outcome", 0.0, {"status": 200}), {"response": {}})
    assert line == (
        b'{"seq":7,"time":"2026-11-24T02:06:00.000000Z","type":"outcome",'
        b'"status":200,"bodies":{"response":{}}}\n'
    )


def test_what_frozen_values_hold_is_written_as_json_has_it():
    fields = {"groups": frozenset({"b", "a"}), "resource": MappingProxyType({"id": "1"}), "t": ()}
    content = read_line(write_line(0, TIME, Entry("x", 0.0, fields), {}))
    assert (content["groups"], content["resource"], content["t"]) == (["a", "b"], {"id": "1"}, [])


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_no_field_has_the_name_of_what_every_line_has(name):
    with pytest.raises(ValueError, match="an entry x has a field of a reserved name"):
        write_line(0, TIME, Entry("x", 0.0, {name: "hush"}), {})


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a\ud800b", "a\\ud800b"),
        ({"\udfff": {"\ud800"}}, {"\\udfff": ["\\ud800"]}),
        (b"hush", "(bytes)"),
        (2**70, "(int)"),
        ({1: (2, None, 0.5, True)}, {"1": [2, None, 0.5, True]}),
    ],
)
def test_whatever_others_had_an_entry_say_it_is_written(value, written):
    content = read_line(
        write_line(0, TIME, Entry("x", 0.0, {"a": 1, "x": value}), {"response": {}})
    )
    assert (content["a"], content["x"], content["bodies"]) == (1, written, {"response": {}})


def test_what_is_too_deep_is_written_as_far_as_it_goes():
    value = "end"
    for _ in range(2000):
        value = [value]
    content = read_line(write_line(0, TIME, Entry("x", 0.0, {"a": 1, "x": value}), {}))
    assert "(list)" in f"{content['x']}"


LONG = "\x01" * 2000  # as JSON has it six times as long


@pytest.mark.parametrize(
    "value",
    [
        "y" * LINE_BYTES,
        [LONG] * 1000,
        {f"{n}{LONG}": n for n in range(1000)},
        [0.1234567890123456] * 250_000,
    ],
    ids=["text", "texts", "names", "numbers"],
)
def test_of_an_entry_that_is_too_long_the_beginning_is_written(value):
    entry = Entry("x", 0.0, {"exchange": "x-1", "x": value, "last": "\ud800"})
    line = write_line(0, TIME, entry, {"response": {}})
    assert len(line) <= LINE_BYTES
    content = read_line(line)
    assert (content["exchange"], content["shortened"]) == ("x-1", True)
    assert content["bodies"] == {"response": {}}
    assert list(content)[-1] == "bodies"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)  # fmt: skip


@given(st.dictionaries(st.text().filter(lambda name: name not in RESERVED), json_values))
def test_what_is_written_is_read_again_from_one_line(fields):
    line = write_line(3, TIME, Entry("x", 0.0, fields), {})
    assert line.index(b"\n") == len(line) - 1
    assert read_line(line) == {"seq": 3, "time": TIME, "type": "x", **fields}


@given(st.binary(max_size=100))
def test_whatever_is_read_as_a_line_is_refused_and_nothing_worse(junk):
    with pytest.raises(LineInvalid):
        read_line(junk + b"\n")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b'{"seq":0,"time":"2026-11-24T02:06:00.000000Z","type":"x"}', "does not end"),
        (b"[]\n", "not a JSON object"),
        (b'{"seq":"0","time":"2026-11-24T02:06:00.000000Z","type":"x"}\n', "no seq"),
        (b'{"seq":true,"time":"2026-11-24T02:06:00.000000Z","type":"x"}\n', "no seq"),
        (b'{"seq":0,"time":"2026-11-24T02:06:00.000000Z"}\n', "no type"),
        (b'{"seq":0,"type":"x"}\n', "no time"),
        (b'{"seq":0,"time":"2026-11-24T02:06:00Z","type":"x"}\n', "no time"),
        (b'{"seq":0,"time":"2026-11-24 02:06:00.000000Z","type":"x"}\n', "no time"),
    ],
)
def test_a_line_without_its_frame_is_refused(line, complaint):
    with pytest.raises(LineInvalid, match=complaint):
        read_line(line)


@given(st.floats(0, 4e9), st.floats(0, 4e9))
def test_times_as_text_stand_in_the_order_of_time(one, other):
    if timestamp(one) < timestamp(other):
        assert one < other
    assert math.isclose(moment(timestamp(one)).timestamp(), one, abs_tol=1e-6)
