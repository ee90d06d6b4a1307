"""Where values stand in a text, against a walk through what the text means."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.json_places import LONGEST, places, written

keys = st.text(max_size=3)
values = st.recursive(
    st.none() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)


def laid_out(value, trail, spaces, out, found):
    """Write a value, and note where each begins."""
    out.append(next(spaces))
    found.append((sum(map(len, out)), trail))
    if isinstance(value, dict):
        out.append("{")
        for number, (key, inner) in enumerate(value.items()):
            out += ["," * bool(number), next(spaces), json.dumps(key), next(spaces), ":"]
            laid_out(inner, (*trail, key), spaces, out, found)
        out.append("}")
    elif isinstance(value, list):
        out.append("[")
        for number, inner in enumerate(value):
            out.append("," * bool(number))
            laid_out(inner, (*trail, number), spaces, out, found)
        out.append("]")
    else:
        out.append(json.dumps(value))


@given(values, st.integers(0, 5), st.data())
def test_each_value_is_found_where_it_was_written(value, seed, data):
    def spaces():
        number = seed
        while True:
            number += 1
            yield ["", " ", "\n\t", ""][number % 4]

    out, found = [], []
    laid_out(value, (), spaces(), out, found)
    chosen = sorted(data.draw(st.sets(st.sampled_from(found))))
    assert places("".join(out), [begin for begin, _ in chosen]) == [trail for _, trail in chosen]


def test_a_path_is_written_in_its_normal_form():
    assert written(["a", 0, "it's", 'say "x"', "\n", "\\"]) == (
        "$['a'][0]['it\\'s']['say \"x\"']['\\n']['\\\\']"
    )
    assert written([]) == "$"
    assert len(written(["x" * 5000])) == LONGEST + 1


@pytest.mark.timeout(20)
@pytest.mark.parametrize("inside", [" " * 2**20, '"%s"' % ("a" * 2**20), '"%s"' % ("\\\\" * 2**19)])
@pytest.mark.parametrize("text", ["%s", "[1]%s", "[%s]", '{"a":%s}'])
def test_what_leads_nowhere_is_read_once(text, inside):
    written_out = text % (inside if text != "[1]%s" else " " * 2**20)
    assert places(written_out, [len(written_out) - 1])
