"""An error inside a text is told at the character of the file, however YAML writes that text."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from jitgate.config.places import Scalar


def places(source):
    """The place of every character of the only text of the file, and of its end."""
    tree = YAML(typ="rt").load(io.StringIO(source))
    text = tree[0]["when"]
    text = str(getattr(text, "value", text))
    _, _, line, column = tree[0].lc.data["when"]
    scalar = Scalar("f", source, line, column)
    return text, [scalar.place(text, at) for at in range(len(text) + 1)]


def character(source, place):
    _, line, column = place.split(":")
    return source.split("\n")[int(line) - 1][int(column) - 1 :][:1]


WRITTEN = [
    "- when: abc == d\n",
    "- when: 'abc == ''d'' && e'\n",
    '- when: "abc == \\"d\\" && e"\n',
    '- when: "a\\u0062c \\t== d\\n&& e"\n',
    "- name: x\n  when: |\n    abc ==\n      d &&\n\n    e\n  reason: y\n",
    "- when: >- # why\n    abc ==\n    d &&\n\n    e\n",
    "- when: |2\n    abc\n",
    "- when: abc ==\n    d\n",
    "- when: 'abc ==\n\n    ''d'''\n",
    '- when: "abc == \\\n    d"\n',
    "- when:\n    abc == d\n",
    "- when: &anchor !!str 'abc == d'\n",
    "- {when: abc == d}\n",
    "- when: '日本 == d'\n",
]


@pytest.mark.parametrize("source", WRITTEN)
def test_every_visible_character_is_found_where_it_stands(source):
    text, found = places(source)
    for each, place in zip(text, found, strict=False):
        if not each.isspace():
            assert character(source, place) in {each, "\\", "'"}


@pytest.mark.parametrize(
    ("source", "what", "place"),
    [
        ("- when: abc == d\n", "d", "f:1:16"),
        ("- when: 'abc == ''d'' && e'\n", "e", "f:1:26"),
        ('- when: "abc == \\"d\\" && e"\n', "e", "f:1:26"),
        ('- when: "\\u0061bc == d"\n', "b", "f:1:16"),
        ("- name: x\n  when: |\n    abc ==\n      d &&\n\n    e\n", "d", "f:4:7"),
        ("- name: x\n  when: |\n    abc ==\n      d &&\n\n    e\n", "e", "f:6:5"),
        ("- when: >- # d e\n    abc ==\n    d\n", "d", "f:3:5"),
        ("- when: abc ==\n    d\n", "d", "f:2:5"),
    ],
)
def test_where_a_character_stands(source, what, place):
    text, found = places(source)
    assert found[text.index(what)] == place


def test_the_end_is_behind_the_last_character():
    assert places("- when: abc\n")[1][-1] == "f:1:12"
    assert places("- when: 'abc'\n")[1][-1] == "f:1:13"
    assert places("- when: |\n    abc &&\n\n- x: y\n")[1][-1] == "f:2:11"


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1))
def test_a_text_in_single_quotes_is_found_whatever_it_holds(text):
    source = "- when: '" + text.replace("'", "''") + "'\n"
    try:
        found, where = places(source)
    except Exception:  # noqa: BLE001 (not every character may stand in YAML)
        return
    for each, place in zip(found, where, strict=False):
        if not each.isspace():
            assert character(source, place) == each
