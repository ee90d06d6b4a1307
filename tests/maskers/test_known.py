"""LiteralsMasker: secrets that are known appear in no response, however they are written."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.masking import cut, whole
from support.offline import Laptop, rule
from zope.interface.verify import verifyObject

from jitgate.core.hiding import STARS, Hand
from jitgate.core.json_body import StreamedJson, masked
from jitgate.core.masked_fields import MaskedFields
from jitgate.core.masking import Maskers
from jitgate.core.media import masked as shown
from jitgate.errors import ConfigurationInvalid
from jitgate.interfaces import IStatedMasker
from jitgate.maskers.known import LiteralsMasker
from jitgate.values import How, Span

PLAIN = "correct-horse-7"
ODD = 'b"\\/+é ü\t=&<x>'
MASKER = LiteralsMasker("known", [PLAIN.encode(), ODD.encode()])


def typed(kind):
    return ((b"Content-Type", kind.encode()),)


def test_it_provides_its_port():
    assert verifyObject(IStatedMasker, MASKER)
    assert not MASKER.hides("password")


def test_it_finds_each_and_what_overlaps_is_one():
    masker = LiteralsMasker("known", [b"abcabcab"])
    assert masker.spans("-abcabcabcab-") == [Span(1, 12, "literal")]
    assert masker.spans("-abcabca-") == []
    assert masker.mask("a", "x abcabcab") == f"x {STARS}"


@given(
    st.sampled_from([PLAIN, ODD, f"{ODD}{ODD}", f"to {PLAIN} and {ODD}"]),
    st.booleans(),
    st.lists(st.integers(0, 200), max_size=4),
)
def test_in_json_it_is_hidden_however_it_is_escaped_and_cut(text, is_ascii, places):
    body = json.dumps({"a": ["x", text], "n": 1.5}, ensure_ascii=is_ascii).encode()
    for out in (
        masked(body, (MASKER,), Hand()),
        whole(StreamedJson((MASKER,), Hand()), cut(body, places)),
    ):
        read = json.loads(out)["a"][1]
        assert PLAIN not in read
        assert ODD not in read
        assert STARS in read


@pytest.mark.parametrize("text", [PLAIN, ODD, quote(ODD, safe=""), json.dumps(ODD)[1:-1]])
@pytest.mark.parametrize(
    ("kind", "write"),
    [
        ("text/plain", "see {}\n"),
        ("application/x-www-form-urlencoded", "a={}"),
        ("text/event-stream", "data: x {}\n\n"),
    ],
)
def test_in_other_kinds_it_is_hidden_as_well(kind, write, text):
    body = write.format(quote(text, safe="") if "form" in kind else text).encode()
    assert text.encode() not in (out := shown(typed(kind), body, Maskers([MASKER])))
    assert b"*" * 8 in out


def test_in_fields_it_is_hidden_as_well():
    fields = ((b"X-Note", f"a {PLAIN}".encode()), (b"Location", f"/x?a={quote(ODD)}".encode()))
    for (_, value), was in zip(MaskedFields(Maskers([MASKER])).shown(fields), fields, strict=True):
        assert value != was[1]
        assert PLAIN.encode() not in value
        assert quote(ODD).encode() not in value


@pytest.mark.parametrize("secret", [b"", b"short-7", b"\xff" * 20])
def test_what_is_no_secret_is_refused_and_not_told(secret):
    with pytest.raises(ValueError, match="known secret") as caught:
        LiteralsMasker("known", [secret])
    assert "xff" not in str(caught.value)
    assert "short-7" not in str(caught.value)


def test_it_tells_nothing_of_what_it_knows():
    assert PLAIN not in repr(MASKER)
    assert MASKER.version == LiteralsMasker("known", [b"another-one"], How.DENY).version


def test_a_profile_names_where_they_are(tmp_path):
    laptop, file = Laptop(tmp_path), tmp_path / "known.secret"
    laptop.policy(rule("reads", "permit", actions=["listUsers"]))
    laptop.masking([{"profile": "known", "literals": [f"file:{file}"], "how": "last4"}])
    with pytest.raises(ConfigurationInvalid, match="known.secret cannot be read"):
        laptop.made()
    file.write_text(f"{PLAIN}\n")
    file.chmod(0o600)
    (masker,) = laptop.made().profiles["known"].maskers
    assert masked(json.dumps([PLAIN]).encode(), (masker,), Hand()) == b'["************se-7"]'
    file.write_text("short")
    with pytest.raises(ConfigurationInvalid, match="less than 8") as caught:
        laptop.made()
    assert "short" not in str(caught.value)
