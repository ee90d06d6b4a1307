"""Charsets: told as others tell them, and what is not hidden leaves as it came."""

from __future__ import annotations

import codecs
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.masking import VALUE, cut, cuts, hiding, whole

from jitgate.core.charsets import Recoded
from jitgate.core.masking import Chain
from jitgate.core.media import masker_of
from jitgate.errors import MaskingFault
from jitgate.maskers.names import NameMasker
from jitgate.testing.strategies import json_values

MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}
FAMILY = {charset: charset[:6].removesuffix("-") for charset in MARKS}


def as_json(declared):
    return Recoded(Chain(()), declared, is_json=True)


def as_text(declared):
    return Recoded(Chain(()), declared, is_json=False)


@given(json_values, st.sampled_from(sorted(MARKS)), st.booleans(), st.integers(0, 2), cuts)
def test_json_is_masked_in_each_of_them_and_all_else_is_as_it_was(
    value, charset, marked, said, places
):
    text = json.dumps({"a": value, "Client_Secret": VALUE, "b": [1.50]}, ensure_ascii=False)
    text = text.encode("utf-8", "replace").decode()  # no halves of surrogates
    mark = MARKS[charset] if marked else b""
    declared = ["", f"; charset={FAMILY[charset]}", f'; Charset="{charset.replace("-", "", 2)}"'][
        said if charset != "utf-8" or said < 2 else 1
    ]
    declared = declared.replace("utf16", "utf-16").replace("utf32", "utf-32")
    kind = f"application/json{declared}".encode()
    masker = masker_of(((b"Content-Type", kind),), hiding(), Chain(()))
    shown = whole(masker, cut(mark + text.encode(charset), places))
    assert shown == mark + text.replace(VALUE, "*" * 16).encode(charset)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(sorted(MARKS)), cuts)
def test_text_with_a_mark_or_an_order_comes_back(text, charset, places):
    data = MARKS[charset] + text.encode(charset)
    assert whole(as_text(None), cut(data, places)) == data
    assert whole(as_text(FAMILY[charset]), cut(data, places)) == data
    exact = charset.replace("-le", "le").replace("-be", "be")
    assert whole(as_text(exact), cut(data, places)) == data


@given(st.binary(), cuts)
def test_single_bytes_come_back(data, places):
    if not data.startswith(tuple(MARKS.values())):
        assert whole(as_text("iso-8859-1"), cut(data, places)) == data


@given(st.sampled_from(["geheimw\u00f6rter", "\u043f\u0430", "\U0001f600"]), cuts)
def test_what_is_utf_8_is_found_whatever_single_bytes_it_is_said_to_be_in(name, places):
    data = json.dumps({"a": 1, name: VALUE, "b": "\u00e9"}, ensure_ascii=False).encode()
    for declared in ("iso-8859-1", "windows-1252"):
        kind = ((b"Content-Type", f"text/plain; charset={declared}".encode()),)
        by = hiding(NameMasker("n", [name]))
        assert whole(masker_of(kind, by, Chain(())), cut(data, places)) == data.replace(
            VALUE.encode(), b"*" * 16
        )


@given(st.sampled_from(["\u00e9", "\u00f6\u00fc", "caf\u00e9 \u00a0"]), cuts)
def test_what_is_in_single_bytes_is_found_as_well(name, places):
    data = json.dumps({"a": 1, name: VALUE, "b": "\u00e9"}, ensure_ascii=False).encode("latin-1")
    kind = ((b"Content-Type", b"text/plain; charset=iso-8859-1"),)
    masker = masker_of(kind, hiding(NameMasker("n", [name])), Chain(()))
    assert whole(masker, cut(data, places)) == data.replace(VALUE.encode(), b"*" * 16)


def test_what_begins_as_utf_8_and_goes_on_as_something_else_is_withheld():
    kind = ((b"Content-Type", b"text/plain; charset=iso-8859-1"),)
    with pytest.raises(MaskingFault, match="not all UTF-8"):
        whole(masker_of(kind, hiding(), Chain(())), ["\u00e9".encode(), b" and ", b"\xe9."])


@pytest.mark.parametrize("charset", sorted(MARKS))
@pytest.mark.parametrize("text", ["1", '""', '"\u4e2d"', "[]", '"\U0001f600"'])
def test_zero_bytes_tell_what_the_shortest_json_is_in(charset, text):
    data = text.encode(charset)
    assert whole(as_json(None), [data[:1], data[1:]]) == data
    kind = ((b"Content-Type", b"application/json"),)
    assert whole(masker_of(kind, hiding(), Chain(())), [data]) == data


@pytest.mark.parametrize(
    ("declared", "data"),
    [
        ("utf-8", '{"secret":1}'.encode("utf-16-le")),
        ("utf-16", b'{"secret":1}'),
        ("utf-16le", '{"secret":1}'.encode("utf-16-be")),
        ("utf-32", '{"secret":1}'.encode("utf-16-le")),
        ("utf-8", codecs.BOM_UTF16_LE + b"{}"),
        ("ascii", codecs.BOM_UTF32_BE + b"{}"),
        (None, '{"a":"'.encode("utf-16-le") + b"\x00\xdc" + '"}'.encode("utf-16-le")),
        (None, "{}".encode("utf-16-le") + b"\x20"),
        (None, codecs.BOM_UTF32_LE + b"\x00\x00\x11\x00" + b"\xff\xff\xff\x7f"),
    ],
)
def test_what_is_in_another_or_broken_is_withheld(declared, data):
    with pytest.raises(MaskingFault) as fault:
        whole(as_json(declared), [data])
    assert fault.value.__cause__ is None


@pytest.mark.parametrize("declared", ["utf-7", "ebcdic", "gb18030", "x", "", "utf-8-sig", "idna"])
@pytest.mark.parametrize("make", [as_json, as_text])
def test_what_is_not_known_is_withheld(declared, make):
    with pytest.raises(MaskingFault):
        make(declared)


def test_json_is_in_unicode_whatever_it_says():
    """Who reads it as UTF-8 all the same would see other names (RFC 8259, section 8.1)."""
    assert whole(as_json("iso-8859-1"), [b'{"a":', b"1}"]) == b'{"a":1}'
    with pytest.raises(MaskingFault):
        whole(as_json("iso-8859-1"), ['{"\xe9":1}'.encode()])


@pytest.mark.parametrize("declared", ["utf-16", "utf-16le", "utf-32be"])
@pytest.mark.parametrize("data", [b"a\0b\0", b"a key!!!", b"a\0\0\0b\0\0\0"])
def test_text_in_wide_characters_that_does_not_begin_so_is_withheld(declared, data):
    """It may be ASCII for all that, which somebody reads who takes no notice of what is declared."""
    with pytest.raises(MaskingFault, match="charset"):
        whole(as_text(declared), [data])


def test_a_mark_in_another_charset_than_is_declared_is_withheld():
    with pytest.raises(MaskingFault):
        whole(as_text("iso-8859-1"), [codecs.BOM_UTF16_LE + b"a\0"])


def test_what_cannot_be_said_in_a_charset_is_not_shown():
    class Says:
        feed = staticmethod(lambda chunk: "\u4e2d".encode())
        finish = staticmethod(lambda: b"")

    with pytest.raises(MaskingFault, match="cannot be said"):
        whole(Recoded(Says(), "windows-1252", is_json=False), [b"some text"])


def test_nothing_stays_nothing():
    assert whole(as_text(None), []) == b""
    assert whole(as_json("utf-16"), []) == b""
