"""NameMasker: globs over whole field names."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from jitgate.interfaces import IMasker
from jitgate.maskers.names import REMEMBERED_FIELDS, NameMasker


def test_it_provides_the_port():
    assert verifyObject(IMasker, NameMasker("names", ["password"]))


@pytest.mark.parametrize(
    ("pattern", "field", "hidden"),
    [
        ("password", "password", True),
        ("password", "PassWord", True),
        ("PASSWORD", "password", True),
        ("password", "passwords", False),
        ("password", "my password", False),
        ("password", "password\n", False),
        ("*secret*", "secret", True),
        ("*secret*", "client_secret_value", True),
        ("*secret*", "line\nsecret\nline", True),
        ("*secret*", "sekret", False),
        ("*Key", "privateKey", True),
        ("*Key", "KEY", True),
        ("*Key", "keys", False),
        ("key?", "key1", True),
        ("key?", "key", False),
        ("key?", "key12", False),
        ("a*b?c*d", "a--b-c--d", True),
        ("a*b?c*d", "a--b--c--d", False),
        ("a*ab", "ab", False),
        ("a**b", "ab", True),
        ("a.b", "aXb", False),
        ("a.b", "a.b", True),
        ("[a]", "a", False),
        ("[a]", "[A]", True),
        ("a|b", "a", False),
        ("a|b", "a|b", True),
        ("\\d", "1", False),
        ("\\d", "\\D", True),
        ("$x ^", "$x ^", True),
        ("é*", "Éa", True),
        ("x*", "x\ud800", True),
        ("x?", "x\U0001f600", True),
    ],
)
def test_a_glob_is_matched_over_the_whole_name_in_either_case(pattern, field, hidden):
    masker = NameMasker("names", ["never-this", pattern])
    assert masker.hides(field) is hidden
    assert masker.hides(field) is hidden


def matches(glob, name):
    """Glob matching by the definition, slowly."""
    if not glob:
        return not name
    if glob[0] == "*":
        return any(matches(glob[1:], name[at:]) for at in range(len(name) + 1))
    return bool(name) and glob[0] in ("?", name[0]) and matches(glob[1:], name[1:])


def test_any_globs_match_as_their_definition_says():
    seen = Counter()
    globs = st.text("ab.*?", min_size=1, max_size=7).filter(lambda glob: glob.strip("*"))

    @settings(max_examples=1000, deadline=None)
    @given(st.lists(globs, min_size=1, max_size=4), st.text("aAb.", max_size=6))
    def check(patterns, name):
        hidden = any(matches(pattern, name.lower()) for pattern in patterns)
        assert NameMasker("names", patterns).hides(name) is hidden
        seen[hidden] += 1

    check()
    assert min(seen[True], seen[False]) > 100


def test_without_patterns_nothing_is_hidden():
    masker = NameMasker("names", [])
    assert not masker.hides("")
    assert not masker.hides("password")


@pytest.mark.parametrize("pattern", ["", "*", "***"])
def test_a_pattern_that_says_nothing_is_refused_in_a_sentence(pattern):
    with pytest.raises(ValueError, match=r"^[A-Z].* .*\.$"):
        NameMasker("names", ["password", pattern])


def test_it_never_looks_at_values():
    masker = NameMasker("names", ["password"])
    assert masker.looks_at_values is False
    assert masker.mask("password", "x") is None


def test_the_version_changes_with_the_patterns_and_only_with_them():
    versions = [
        NameMasker("one", ["a", "b"]).version,
        NameMasker("two", ["a", "b"]).version,
        NameMasker("one", ["a", "c"]).version,
        NameMasker("one", ['a", "b']).version,
        NameMasker("one", ["ab"]).version,
    ]
    assert versions[0] == versions[1]
    assert len(set(versions)) == 4
    assert all(len(version) == 64 for version in versions)


def test_more_names_than_are_remembered_are_still_answered_right():
    masker = NameMasker("names", ["*7"])
    names = [str(number) for number in range(2 * REMEMBERED_FIELDS)] + ["x" * 70_000 + "7"]
    for _ in range(2):
        assert all(masker.hides(name) is name.endswith("7") for name in names)
        assert len(masker._seen) <= REMEMBERED_FIELDS


def test_a_hostile_name_costs_no_more_than_its_length():
    masker = NameMasker("names", ["*a" * 30 + "*b", "*a?" * 30 + "b"])
    assert not masker.hides("a" * 65_536)
