"""Paths followed value by value, against the same paths asked of the whole value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.paths import DEEPEST, REMEMBERED, Follower, Segment, parsed


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("$.a", [("a", False)]),
        ("$.a.b_1", [("a", False), ("b_1", False)]),
        ("$['a b'][\"c\"]", [("a b", False), ("c", False)]),
        ("$[0][12]", [(0, False), (12, False)]),
        ("$.*[*]", [(None, False), (None, False)]),
        ("$..a", [("a", True)]),
        ("$..*", [(None, True)]),
        ("$..[0]", [(0, True)]),
        ("$..['a']", [("a", True)]),
        ("$[ 'a' ]", [("a", False)]),
        ("$['it\\'s']", [("it's", False)]),
        ("$['\"']", [('"', False)]),
        ("$['\\\\']", [("\\", False)]),
        ("$['\\u00e9']", [("é", False)]),
        ("$.é", [("é", False)]),
        ("$.a..b[*].c", [("a", False), ("b", True), (None, False), ("c", False)]),
    ],
)
def test_a_path_is_read(text, segments):
    assert parsed(text).segments == tuple(Segment(*each) for each in segments)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "a",
            ".a",
            "$",
            "$a",
            "$.",
            "$..",
            "$...a",
            "$.1",
            "$.a.",
            "$[",
            "$[]",
            "$['a'",
            "$[-1]",
        ),
        *(
            "$[01]",
            "$[1:2]",
            "$['a','b']",
            "$[?@.a]",
            "$.a b",
            "$ .a",
            "$[*",
            "$['\\x']",
            "$['\x01']",
        ),
        *("$.[0]", "$..", "$['a]", "$['a\"]", "$[1.5]", "$[1e3]", "$.-a", "$[9999999999]", "$.a$"),
        "$" + ".a" * (DEEPEST + 1),
    ],
)
def test_what_is_no_path_of_ours_is_refused_and_said(text):
    with pytest.raises(ValueError, match="path"):
        parsed(text)


names = st.sampled_from(["a", "b", "c"])
values = st.recursive(
    st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)
segments = st.builds(Segment, st.one_of(names, st.integers(0, 2), st.none()), st.booleans())


def written(path):
    return "$" + "".join(
        (".." if deep else "") + ("[*]" if key is None else f"[{key!r}]") for key, deep in path
    )


def below(value):
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []


def asked(value, path, at=()):
    """Every place that a path leads to, by the words of RFC 9535, sections 2.3 and 2.5."""
    if not path:
        return {at}
    (selector, deep), *rest = path
    found = set()
    for key, inner in below(value):
        if selector is None or (type(selector) is type(key) and selector == key):
            found |= asked(inner, rest, (*at, key))
        if deep:
            found |= asked(inner, path, (*at, key))
    return found


def followed(value, follower, state, at=()):
    """Every place that one of the paths leads to, and which."""
    for key, inner in below(value):
        move = follower.below(state, key)
        if move.hit is not None:
            yield (*at, key), move.hit
        yield from followed(inner, follower, move.state, (*at, key))


@given(values, st.lists(st.lists(segments, min_size=1, max_size=4), min_size=1, max_size=3))
def test_paths_lead_where_they_lead_in_the_whole_value(value, paths):
    follower = Follower([parsed(written(path)) for path in paths])
    expected = {}
    for number, path in reversed(list(enumerate(paths))):
        expected |= dict.fromkeys(asked(value, path), number)
    assert dict(followed(value, follower, follower.start)) == expected


def test_an_index_is_no_name_and_true_is_no_index():
    follower = Follower([parsed("$[1]"), parsed("$['1']")])
    assert [follower.below(follower.start, key).hit for key in (1, "1", "0")] == [0, 1, None]


def test_what_is_remembered_is_bounded():
    follower = Follower([parsed("$..a")])
    for number in range(3 * REMEMBERED):
        follower.below(follower.start, f"n{number}")
    follower.below(follower.start, "x" * 1000)
    assert len(follower._known) <= REMEMBERED
    assert all(len(name) < 1000 for _, name in follower._known)
