"""A request as it may leave: only what is hidden changes, and what vouches for a body goes with it."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.hiding import STARS
from jitgate.core.masked_requests import masked_request
from jitgate.core.masking import Maskers
from jitgate.errors import MaskingFault
from jitgate.maskers.detectors import DetectorMasker
from jitgate.maskers.names import NameMasker
from jitgate.values import Operation, RequestHead

CARD = "4111111111111111"
MASKERS = (NameMasker("out", ("ssn",)), DetectorMasker("out", ("payment-card",)))
TYPE = (b"Content-Type", b"application/json")
VOUCHING = ((b"Content-MD5", b"x"), (b"Digest", b"x"), (b"Signature", b"x"))
DECLARED = frozenset({b"content-md5", b"digest", b"signature", b"x-own", b"content-encoding"})


def masked(body=b"", headers=(TYPE,), query="", *, maskers=MASKERS, passes=False):
    head = RequestHead("POST", f"/a?{query}" if query else "/a", headers, len(body))
    operation = Operation("t", "POST", {}, "POST", "a.example", "/a", query)
    made = masked_request(head, operation, body, Maskers(maskers), declared=DECLARED, passes=passes)
    return head, *made


def test_what_vouches_for_a_body_leaves_with_that_body_alone():
    _, head, body = masked(b'{"ssn":"x"}', (TYPE, *VOUCHING, (b"X-Own", b"1")))
    assert head.headers == (TYPE, (b"X-Own", b"1"))
    assert head.length == len(body)
    was, head, _ = masked(b'{"a":"x"}', (TYPE, *VOUCHING))
    assert head is was


def test_a_field_that_the_target_declares_is_looked_at_and_others_are_not():
    _, head, _ = masked(headers=((b"X-Own", CARD.encode()), (b"X-Other", CARD.encode())))
    assert head.headers == ((b"X-Own", STARS.encode()), (b"X-Other", CARD.encode()))


@pytest.mark.parametrize("value", [f"application/json; a={CARD}", "application/json; ssn=1"])
def test_what_says_what_the_body_is_still_does(value):
    _, head, _ = masked(b"{}", ((b"Content-Type", value.encode()),))
    assert CARD.encode() not in head.headers[0][1]
    assert head.headers[0][1].startswith(b"application/json;")


def test_a_type_that_holds_what_is_hidden_is_a_fault():
    with pytest.raises(MaskingFault, match="Content-Type"):
        masked(b"{}", ((b"Content-Type", f"application/json; charset={CARD}".encode()),))


def test_a_body_that_is_coded_leaves_only_where_that_holds_no_secret():
    coded = (TYPE, (b"Content-Encoding", b"gzip"))
    with pytest.raises(MaskingFault, match="coded"):
        masked(gzip.compress(b"{}"), coded)
    body = gzip.compress(b'{"ssn":1}')
    assert masked(body, coded, passes=True)[2] == body


def test_nobody_looks_where_nobody_is_named():
    was, head, body = masked(b"\xff", ((b"Content-Type", b"?"),), CARD, maskers=())
    assert (head, body) == (was, b"\xff")


leaves = st.one_of(st.none(), st.booleans(), st.integers(0, 99), st.text(max_size=5))
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", "b", "ssn"]), inner, max_size=3),
    ),
    max_leaves=8,
)


def hidden(value):
    """What a reader may see of it, by the simplest way there is."""
    if isinstance(value, dict):
        return {name: 0 if name == "ssn" else hidden(each) for name, each in value.items()}
    return [hidden(each) for each in value] if isinstance(value, list) else value


@given(values, st.booleans())
def test_only_what_is_hidden_changes(value, escaped):
    body = json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    was, head, shown = masked(body)
    told = json.loads(shown)
    assert hidden(told) == hidden(value)
    if hidden(value) == value:
        assert (head, shown) == (was, body)
    assert head.length == len(shown)
    again = masked(shown)
    assert again[2] == shown
