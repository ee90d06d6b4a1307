"""A catalog's file: what it may hold, what is wrong with it, and that nothing is lost in it."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.catalogs.table import (
    FILE_BYTES,
    PROBLEMS_TOLD,
    Damaged,
    flaw,
    read_file,
    read_rows,
    written,
)
from jitgate.core.catalog import CatalogRow
from jitgate.errors import ConfigurationInvalid
from jitgate.values import Risk

HEAD = "method,path,operation,risk,scopes,parameters,body,secrets"
ROW = CatalogRow("POST", "/a/{b}", "makeA")


def read(*lines: str) -> tuple[CatalogRow, ...]:
    return read_rows(io.StringIO("\n".join([HEAD, *lines, ""]), newline=""))


def test_a_line_holds_everything_that_a_row_knows():
    (row,) = read(
        "POST,/a/{b},things/make-a,privileged,x.manage,send=true dry body:all,json,key -pin"
    )
    assert row == CatalogRow(
        "POST",
        "/a/{b}",
        "things/make-a",
        ("x.manage",),
        frozenset({"key"}),
        Risk.PRIVILEGED,
        (("send", "true"), ("dry", None)),
        ("all",),
        True,
        cleared=frozenset({"pin"}),
    )


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("get,/a,x,,,,,", "method"),
        ("TRACE,/a,x,,,,,", "method"),
        ("GET,a,x,,,,,", "template"),
        ("GET,/a/{b}.json,x,,,,,", "template"),
        ("GET,/a?b=c,x,,,,,", "template"),
        ("GET,/a/../b,x,,,,,", "template"),
        ("GET,/a/{b}/{b},x,,,,,", "twice"),
        ("GET,/a,x y,,,,,", "no space"),
        ("GET,/a,x*,,,,,", r"no \*"),
        ("GET,/a,x?,,,,,", "no space"),
        (f"GET,/a,{'x' * 201},,,,,", "200 characters"),
        ("GET,/a,x\x1b[2J,,,,,", "cannot be seen"),
        ("GET,/a,x\u202e,,,,,", "cannot be seen"),
        ('GET,/a,"x\ny",,,,,', "cannot be seen"),
        ("GET,/a,x,mild,,,,", "the risk is one of read, write"),
        ("GET,/a,x,,a  b,,,", "one space"),
        ("GET,/a,x,,a a,,,", "'a' stands more than once"),
        ("GET,/a,x,,\u00e9,,,", "ASCII"),
        ("GET,/a,x,,,=true,,", "no name"),
        ("GET,/a,x,,,a=1 a=2,,", "'a' stands more than once"),
        ("GET,/a,x,,,body:a,,", "only a JSON body"),
        ("GET,/a,x,,,body:,json,", "has a name"),
        ("GET,/a,x,,,,xml,", "json, or left out"),
        ("GET,/a,x,,,,,-", "no name"),
        ("GET,/a,x,,,,,key -key", "'key' stands more than once"),
        ("GET,/a,x,,,,", "not one operation"),
        ('GET,/a,x,,,,,"', "no CSV"),
        ("GET,/a,x\0,,,,,", "no CSV|cannot be seen"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(line, why):
    with pytest.raises(Damaged, match=why) as caught:
        read("GET,/fine,fine,,,,,", line)
    assert caught.value.problems[0][0] >= 3


def test_two_rows_for_the_same_calls_are_refused_whatever_their_parameters_are_named():
    with pytest.raises(Damaged, match="line 2 is for the same calls"):
        read("GET,/a/{b},x,,,,,", "GET,/a/{c},y,,,,,")


def test_two_operations_of_one_name_are_refused():
    with pytest.raises(Damaged, match="'x' stands in line 2 already"):
        read("GET,/a,x,,,,,", "GET,/b,x,,,,,")


def test_every_problem_of_a_file_is_told_at_once(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text(f"{HEAD}\nGET,a,x,,,,,\nGET,/b,x,,,,,\nGET,/c,y,wild,,,,\n")
    with pytest.raises(ConfigurationInvalid) as caught:
        read_file(file)
    assert [each.split(": ")[0] for each in caught.value.problems] == [f"{file}:2", f"{file}:4"]


def test_a_file_that_is_no_catalog_is_told_in_few_lines(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text(HEAD + "\nno\n" * 500)
    with pytest.raises(ConfigurationInvalid) as caught:
        read_file(file)
    assert len(caught.value.problems) == PROBLEMS_TOLD + 1


@pytest.mark.parametrize(
    ("data", "why"), [(b"\xff", "UTF-8"), (b"a,b\n", "columns"), (b"x" * (FILE_BYTES + 1), "MiB")]
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path, data, why):
    file = tmp_path / "a.csv"
    file.write_bytes(data)
    with pytest.raises(ConfigurationInvalid, match=why):
        read_file(file)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigurationInvalid, match="cannot be read"):
        read_file(tmp_path / "a.csv")


# --- nothing is lost

WORD = st.text("abcXYZ09_-.:/$+é", min_size=1, max_size=8)
NAME = WORD.filter(lambda word: not word.startswith(("-", "body:")))
SCOPE = st.text("abc:./-_", min_size=1, max_size=6)
SEGMENT = st.one_of(st.text("abc09-_", min_size=1, max_size=4), st.sampled_from(["{x}", "{y}"]))
PATH = st.lists(SEGMENT, max_size=3).filter(
    lambda parts: all(parts.count(each) == 1 for each in parts if each[0] == "{")
)


@st.composite
def a_row(draw) -> CatalogRow:
    hidden = draw(st.sets(NAME, max_size=3))
    json = draw(st.booleans())
    names = draw(st.lists(NAME, unique_by=str.casefold, max_size=5))
    in_query = {name: draw(st.none() | st.text("abc=1", max_size=3)) for name in names[:3]}
    return CatalogRow(
        draw(st.sampled_from(["GET", "POST", "DELETE"])),
        "/" + "/".join(draw(PATH)),
        draw(WORD),
        tuple(draw(st.lists(SCOPE, unique=True, max_size=3))),
        frozenset(hidden),
        draw(st.none() | st.sampled_from(Risk)),
        tuple(in_query.items()),
        tuple(names[3:]) if json else (),
        json,
        cleared=frozenset(draw(st.sets(NAME, max_size=3)) - hidden),
    )


@given(a_row())
def test_a_row_is_read_as_it_was_written(row):
    text = written([row])
    assert read_rows(io.StringIO(text, newline="")) == (row,)
    assert flaw(row) is None


@given(st.lists(a_row(), max_size=6))
def test_what_was_read_is_written_as_it_stood(rows):
    text = written(rows)
    try:
        read_again = read_rows(io.StringIO(text, newline=""))
    except Damaged:
        return  # two of them are for the same calls, or of one name
    assert written(read_again) == text


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    for lines in (text, f"{HEAD}\n{text}"):
        try:
            rows = read_rows(io.StringIO(lines, newline=""))
        except Damaged:
            continue
        assert read_rows(io.StringIO(written(rows), newline="")) == tuple(
            sorted(rows, key=lambda row: (row.template, row.method))
        )


@pytest.mark.parametrize(
    "changed",
    [
        {"action": "two words"},
        {"scopes": ("two words",)},
        {"secrets": frozenset({"two words"})},
        {"secrets": frozenset({"-key"})},
        {"parameters": (("a b", None),)},
        {"parameters": (("body:a", None),)},
        {"in_body": ("a",)},
        {"template": "/a/{b}.json"},
    ],
)
def test_what_a_file_cannot_hold_is_told(changed):
    assert flaw(CatalogRow(**{"method": "GET", "template": "/a", "action": "x"} | changed))
