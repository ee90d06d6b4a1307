"""The fingerprint: the same for the same call, another for any difference that counts."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.fingerprint import counting_fields, fingerprint
from jitgate.core.injection import COUNTING, INERT, NOTHING_ISSUED, upstream_head
from jitgate.values import Credential, Operation, RequestHead

HEAD = RequestHead(
    "POST",
    "/v1/things/7?a=1&b=2",
    ((b"Host", b"api.example"), (b"Content-Type", b"application/json"), (b"Accept", b"*/*")),
    2,
)
DECLARED = frozenset({b"x-tenant"})


def of(head=HEAD, body=b"{}", declared=DECLARED):
    return fingerprint(head, body, declared)


def with_field(name, value=b"x"):
    return HEAD._replace(headers=(*HEAD.headers, (name, value)))


DIFFERENT = {
    "method": (HEAD._replace(method="PUT"), b"{}"),
    "host": (HEAD._replace(headers=((b"Host", b"api.other"), *HEAD.headers[1:])), b"{}"),
    "path": (HEAD._replace(target="/v1/things/8?a=1&b=2"), b"{}"),
    "query": (HEAD._replace(target="/v1/things/7?a=1&b=3"), b"{}"),
    "order of the query": (HEAD._replace(target="/v1/things/7?b=2&a=1"), b"{}"),
    "query moved into the path": (HEAD._replace(target="/v1/things/7a=1&b=2"), b"{}"),
    "body": (HEAD, b"[]"),
    "length of the body": (HEAD, b"{} "),
    "content type": (HEAD._replace(headers=(HEAD.headers[0], (b"Content-Type", b"a/b"))), b"{}"),
    "no content type": (HEAD._replace(headers=HEAD.headers[:1]), b"{}"),
    "a precondition": (with_field(b"If-Match", b'"1"'), b"{}"),
    "a preference": (with_field(b"Prefer", b"respond-async"), b"{}"),
    "a field that the target declares": (with_field(b"X-Tenant"), b"{}"),
    "the same field twice": (with_field(b"Content-Type", b"application/json"), b"{}"),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_what_counts_changes_it(what):
    assert of(*DIFFERENT[what]) != of()


def test_no_two_of_these_differences_are_the_same():
    every = [of(), *(of(*each) for each in DIFFERENT.values())]
    assert len(set(every)) == len(every)


@pytest.mark.parametrize("name", sorted(INERT))
def test_what_is_inert_does_not(name):
    assert of(with_field(name)) == of()


@pytest.mark.parametrize("name", sorted(COUNTING))
def test_no_field_both_counts_and_is_inert(name):
    assert name not in INERT
    assert of(with_field(name)) != of()


def test_how_a_name_is_written_does_not_count():
    head = HEAD._replace(
        headers=((b"host", b"api.example"), (b"CONTENT-type", b"application/json"))
    )
    assert of(head) == of()


def test_what_the_gateway_adds_does_not_count():
    operation = Operation(
        "things", "POST", {}, "POST", "api.example:443", "/v1/things/7", "a=1&b=2"
    )
    credential = Credential(((b"Authorization", b"Bearer x"), (b"DPoP", b"y")), (b"x",))
    bare, full = (
        upstream_head(HEAD, operation, each, token=token, declared=DECLARED, masked=False)
        for each, token in ((NOTHING_ISSUED, "jitgate/x-1"), (credential, "jitgate/x-2"))
    )
    assert bare != full
    assert of(bare) == of(full) == of()


def test_what_masking_strips_is_stripped_before_it_is_taken():
    operation = Operation("things", "GET", {}, "GET", "api.example:443", "/v1/things/7")
    asked = RequestHead("GET", "/v1/things/7", ((b"If-None-Match", b'"1"'),))
    plain = RequestHead("GET", "/v1/things/7", ())
    stripped, without = (
        upstream_head(head, operation, NOTHING_ISSUED, token="t", declared=frozenset(), masked=True)
        for head in (asked, plain)
    )
    assert of(stripped, b"") == of(without, b"")


parts = st.binary(max_size=6).map(lambda data: data.hex().encode())
heads = st.builds(
    lambda method, path, query, fields: RequestHead(
        method, f"/{path}?{query}", ((b"Host", b"h"), *fields)
    ),
    st.sampled_from(["GET", "POST"]),
    st.text("ab/", max_size=4),
    st.text("ab&=", max_size=4),
    st.lists(st.tuples(st.sampled_from(sorted(COUNTING)), parts).map(tuple), max_size=3).map(tuple),
)


def told(head, body):
    """What counts, in plain words: the definition that the digest has to agree with."""
    path, _, query = head.target.partition("?")
    return head.method, path, query, counting_fields(head.headers, frozenset()), body


@given(heads, st.binary(max_size=3), heads, st.binary(max_size=3))
def test_it_is_the_same_exactly_where_everything_that_counts_is(one, body, two, other):
    same = told(one, body) == told(two, other)
    assert (fingerprint(one, body, frozenset()) == fingerprint(two, other, frozenset())) == same


def test_it_is_what_the_docs_say():
    """docs/recording-format.md lets an auditor who has the site key compute it."""
    packed = [
        b"jitgate fingerprint 1",
        b"POST",
        b"api.example",
        b"/v1/things/7",
        b"a=1&b=2",
        (1).to_bytes(8),
        b"content-type",
        b"application/json",
        (2).to_bytes(8),
        hashlib.sha256(b"{}").digest(),
    ]
    data = b"".join(len(part).to_bytes(8) + part for part in packed)
    assert of() == hashlib.sha256(data).digest()
