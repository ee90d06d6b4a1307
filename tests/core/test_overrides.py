"""A field of a form that some server takes for the method is found, however it is written and cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.overrides import BLANKS, OverrideSearch

FOUND = [
    "_method=DELETE",
    "a=b&_method=DELETE",
    "a=b;_Method=delete",
    "%5fmethod=put",
    "%5F%6d%65%74%68%6F%64=put",
    "_method",
    "_method[]=put",
    "_method%5Ba%5D=put",
    "+%20%0A_method=put",
    ".method=put",
    "%2emethod=put",
    "X-HTTP-Method-Override=PUT",
    "x%2Dhttp-method=PUT",
    "a=b&" + "+" * (BLANKS + 1) + "_method=put",
]
PLAIN = [
    "",
    "a=b",
    "method=put",
    "_methods=put",
    "a_method=put",
    "a=_method",
    "a=_method=put",
    "_met=hod",
    "x-http=1&method=2",
    "+++=1",
]


def found(form, cuts=()):
    data, search = form.encode(), OverrideSearch()
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[begin:end] for begin, end in zip(places, places[1:], strict=False)]
    return any(map(search.feed, [*filter(None, pieces), b""]))


@pytest.mark.parametrize("form", FOUND)
def test_it_is_found(form):
    assert found(form)


@pytest.mark.parametrize("form", PLAIN)
def test_other_fields_are_none(form):
    assert not found(form)


@given(
    st.sampled_from([*FOUND, *PLAIN]),
    st.lists(st.integers(0, 400), max_size=6),
    st.integers(0, 2000),
)
def test_where_the_form_is_cut_does_not_matter(form, cuts, before):
    whole = "x" * before + "&" + form if before else form
    assert found(whole, [max(0, before + cut - 20) for cut in cuts]) is (form in FOUND)
