"""Whatever a token endpoint answers is a token, or one of our faults, and a plain sentence."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.web.http_headers import Headers

from jitgate.credentials.okta_app import _come_back
from jitgate.credentials.token_answers import (
    LONGEST_LIFE,
    Token,
    Unwanted,
    code_of,
    refusal,
    token_in,
)
from jitgate.errors import CredentialUnavailable
from jitgate.fetching import Fetched

NOW = 1_800_000_000.7
SCOPES = ("okta.users.read",)
GOOD = {
    "token_type": "DPoP",
    "expires_in": 3600,
    "access_token": "hunter2.token~",
    "scope": "okta.users.read",
}

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
CHANGED = st.dictionaries(
    st.sampled_from([*GOOD, "error"]), ANY | st.sampled_from([*GOOD.values(), 10**400, "DPoP"])
)
BODIES = st.binary(max_size=60) | (ANY | CHANGED.map(GOOD.__or__)).map(
    lambda members: json.dumps(members).encode()
)
DATES = st.sampled_from(
    [
        b"Fri, 31 Dec 99999999999999999999 23:59:59 GMT",
        b"Fri, 31 Dec 9999 23:59:59 -9999",
        b"Mon, 01 Jan 0001 00:00:00 +2359",
        b"Fri, 31 Dec 1999 23:59:59 +99999999999",
        b"Fri, 31 Dec 1999 23:59:999999999999999999999 GMT",
        b"Sat, 1 Jan 2000 00:00:00",
        b"",
    ]
)
PIECES = st.lists(
    st.sampled_from([b"Fri", b",", b" ", b"31", b"Dec", b"9999", b":", b"-", b"+", b"GMT", b"0"])
).map(b"".join)
VALUES = DATES | PIECES | st.binary(max_size=30) | st.integers().map(lambda n: b"%d" % n)
NAMES = st.sampled_from([b"Date", b"Retry-After", b"X-Rate-Limit-Reset", b"DPoP-Nonce"])
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=4)


def answered(body, fields=(), status=200):
    headers = Headers()
    for name, value in fields:
        headers.addRawHeader(name, value)
    return Fetched(status, body, headers)


def taken(body, dpop=True):
    try:
        answer = answered(body)
        return token_in(
            answer, app="reader", scopes=SCOPES, dpop=dpop, asked_at=NOW, user_agent="jitgate/m-1"
        )
    except CredentialUnavailable as fault:
        return fault


@given(BODIES, st.booleans())
@example(json.dumps(GOOD | {"expires_in": 10**400}).encode(), True)
def test_any_answer_is_a_token_or_a_fault_of_ours(body, dpop):
    outcome = taken(body, dpop)
    token = outcome.token if isinstance(outcome, Unwanted) else outcome
    if isinstance(token, Token):
        assert NOW < token.expires_at <= NOW + LONGEST_LIFE
    if isinstance(outcome, Token):
        assert outcome.scopes == SCOPES


@given(BODIES, FIELDS, st.sampled_from([400, 401, 429, 503]), st.booleans())
def test_any_refusal_is_a_sentence_and_a_time_to_come_back(body, fields, status, dpop):
    answer = answered(body, fields, status)
    assert refusal(answer, NOW, dpop=dpop).endswith(".")
    until = _come_back(answer, NOW)
    assert until is None or status == 429
    assert code_of(answer).isascii()


@given(VALUES)
@example(b"Fri, 31 Dec 99999999999999999999 23:59:59 GMT")
@example(b"Fri, 31 Dec 9999 23:59:59 -9999")
@example(b"Fri, 31 Dec 1999 23:59:59 +99999999999")
def test_any_date_is_compared_with_the_clock_or_left(date):
    answer = answered(b'{"error":"invalid_client"}', [(b"Date", date)], 401)
    assert "(invalid_client)." in refusal(answer, NOW, dpop=True)


@pytest.mark.parametrize("life", ["86401", "9" * 18, "9" * 400, "9" * 4000], ids=len)
def test_a_token_that_lives_longer_than_any_does_is_unwanted(life):
    outcome = taken(json.dumps(GOOD | {"expires_in": int(life)}).encode())
    assert isinstance(outcome, Unwanted)
    assert "longer than a day" in f"{outcome}"
    assert outcome.token.expires_at == NOW + LONGEST_LIFE
