"""A rule that holds calls back means whatever some server may take for the path that it names."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jitgate.core import lookalikes
from jitgate.core.lookalikes import BroadTemplate
from jitgate.core.operation import CanonicalTarget, PathTemplate, canonical_target


@pytest.mark.parametrize(
    ("path", "matches"),
    [
        ("/v1/Things/{id}", False),
        ("/v1/things/7", True),
        ("/V1/THINGS/7", True),
        ("/v1/things/7/", True),
        ("/v1/things./7", True),
        ("/v1/things..%20/7", True),
        ("/v1/things%EF%BC%8E/7", True),
        ("/v1/%EF%BD%94hings/7", True),
        ("/v1%EF%BC%8Fthings/7", True),
        ("/v1/things/7%EF%BC%8Fx", True),
        ("/v1/things/7/x", False),
        ("/v1/things", False),
        ("/v1/things/", False),
        ("/v1/thing/7", False),
        ("/v1/.things/7", False),
        ("/", False),
        ("*", False),
    ],
)
def test_lookalikes_match_and_nothing_else(path, matches):
    assert BroadTemplate("/v1/things/{id}").matches(path) is (matches or path == "/v1/Things/{id}")


@pytest.mark.parametrize(
    ("template", "path", "matches"),
    [
        ("/", "/", True),
        ("/", "/x", False),
        ("/a/", "/a", True),
        ("/a", "/A/", True),
        ("/Stra%C3%9Fe", "/STRASSE", True),
        ("/{x}", "/anything", True),
        ("/{x}", "/", False),
    ],
)
def test_the_template_s_own_spelling_does_not_matter(template, path, matches):
    assert BroadTemplate(template).matches(path) is matches


@pytest.mark.parametrize("path", ["/a/../b", "a", "/a//b", "/{a}/{a}", "/%zz"])
def test_what_is_no_template_is_none_here_either(path):
    with pytest.raises(ValueError, match="template|parameter"):
        BroadTemplate(path)


segments = st.text("aAb.%20~K", min_size=1, max_size=4)
paths = st.lists(segments, max_size=3).map(lambda parts: "/" + "/".join(parts))
templates = st.lists(segments | st.sampled_from(["{x}"]), max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)


@given(templates, paths, st.booleans())
def test_whatever_a_template_matches_is_matched_and_so_is_its_own_lookalike(template, path, slash):
    spelled = canonical_target(path)
    assume(isinstance(spelled, CanonicalTarget))
    try:
        exact = PathTemplate(template)
    except ValueError:
        return
    broad = BroadTemplate(template)
    assert broad.matches(spelled.path) >= exact.matches(spelled.path)
    if broad.matches(spelled.path):
        assert broad.matches(spelled.path.lower() + "/" * slash)


def test_a_path_is_read_once_and_not_once_for_each_rule():
    """An agent makes its path as long as a head may be, and how many rules there are is ours."""
    templates = [BroadTemplate(f"/things/{{id}}/{each}") for each in range(10)]
    lookalikes.readings.cache_clear()
    assert not any(each.matches("/things/7%EF%BC%8Fx/é") for each in templates)
    assert lookalikes.readings.cache_info().misses == 1


@given(
    st.lists(st.sampled_from("aAſß./%ﬁ／℀.…é ") | st.characters(exclude_categories=["Cs", "Cc"]))
)
def test_what_is_read_at_once_is_what_is_read_segment_by_segment(characters):
    spelled = canonical_target("/" + quote("".join(characters), safe="/"))
    assume(isinstance(spelled, CanonicalTarget))
    alone = [
        segment
        for part in spelled.path.rstrip("/").split("/")[1:]
        for segment in lookalikes.readings(f"/{part}")[0][1:]
    ]
    assert list(lookalikes.readings(spelled.path)[0]) == ["", *alone]
