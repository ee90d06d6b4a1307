"""Whatever a token endpoint answers is a token, or one of our faults, and a plain sentence."""

import json

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.web.http_headers import Headers

from jitgate.core.rates import LONGEST, SPREAD
from jitgate.credentials.room import Room
from jitgate.credentials.token_answers import (
    LONGEST_LIFE,
    MOST_TOKENS,
    Token,
    Unwanted,
    Wanted,
    code_of,
    refusal,
    token_in,
)
from jitgate.errors import CredentialBusy, CredentialUnavailable
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
        return token_in(answered(body), Wanted("reader", SCOPES, dpop, NOW))
    except CredentialUnavailable as fault:
        return fault


def held(outcome):
    if isinstance(outcome, Token):
        return (outcome,)
    return outcome.tokens if isinstance(outcome, Unwanted) else ()


@given(BODIES, st.booleans())
@example(json.dumps(GOOD | {"expires_in": 10**400}).encode(), True)
def test_any_answer_is_a_token_or_a_fault_of_ours(body, dpop):
    outcome = taken(body, dpop)
    for token in held(outcome):
        assert NOW < token.expires_at <= NOW + LONGEST_LIFE
    if isinstance(outcome, Token):
        assert outcome.scopes == SCOPES


@given(BODIES, FIELDS, st.sampled_from([400, 401, 429, 503]), st.booleans())
def test_any_refusal_is_a_sentence_and_a_time_to_come_back(body, fields, status, dpop):
    answer = answered(body, fields, status)
    assert refusal(answer, NOW, dpop=dpop).endswith(".")
    clock = Clock()
    clock.advance(NOW)
    try:
        Room("reader", clock, lambda: 1.0).heard(answer)
    except CredentialBusy as busy:
        assert status == 429
        assert NOW < busy.until <= NOW + LONGEST + SPREAD
    else:
        assert status != 429
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
    (token,) = outcome.tokens
    assert token.expires_at == NOW + LONGEST_LIFE


def a_jwt(**claims):
    return jwt.encode(claims, "a-key-of-32-bytes-that-signs-this", "HS256")


@pytest.mark.parametrize(
    "claims",
    [
        {"scp": ["okta.roles.manage"]},
        {"scp": ["okta.users.read", "okta.roles.manage"]},
        {"scp": []},
        {"scp": "okta.roles.manage"},
        {"scp": None},
        {"scp": [["okta.users.read"]]},
        {"scp": {"okta.users.read": 1}},
        {"scope": "okta.users.read okta.roles.manage"},
        {"scope": ""},
        {"scope": 7},
        {"scp": ["okta.users.read"], "scope": "okta.roles.manage"},
    ],
)
def test_where_the_answer_names_no_scopes_those_of_the_token_are_the_ones_asked_for(claims):
    members = {name: value for name, value in GOOD.items() if name != "scope"}
    outcome = taken(json.dumps(members | {"access_token": a_jwt(**claims)}).encode())
    assert isinstance(outcome, Unwanted)
    assert "other scopes" in f"{outcome}"
    assert [each.scopes for each in outcome.tokens] == [()]


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"scp": ["okta.users.read"]},
        {"scp": "okta.users.read", "scope": "okta.users.read"},
        {"scope": "okta.users.read"},
    ],
)
def test_a_token_that_names_the_scopes_asked_for_or_none_is_taken(claims):
    members = {name: value for name, value in GOOD.items() if name != "scope"}
    outcome = taken(json.dumps(members | {"access_token": a_jwt(**claims)}).encode())
    assert isinstance(outcome, Token)
    assert outcome.scopes == SCOPES


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("AT.7", True),
        ("j" * 128, True),
        ("j" * 129, False),
        ("", False),
        ("a b", False),
        ("\x1b[31m", False),
        ("a\n", False),
        ("\u00fc", False),
        (7, False),
    ],
)
def test_the_id_of_a_token_is_shown_where_any_record_can_show_it(name, shown):
    outcome = taken(json.dumps(GOOD | {"access_token": a_jwt(jti=name)}).encode())
    assert isinstance(outcome, Token)
    assert outcome.id == (name if shown else None)


UNUSABLE = {
    "two readings": b'{"access_token":"hunter2.A~","scope":"a","scope":"a"}',
    "cut short": b'{"access_token":"hunter2.A~","token_ty',
    "a number that JSON does not have": b'{"expires_in":NaN,"access_token" : "hunter2.A~"}',
    "no UTF-8": b'{"access_token":"hunter2.A~","a":"\xff"}',
    "more behind": b'{"access_token":"hunter2.A~"}{}',
    "in a list": b'[{"access_token":\n"hunter2.A~"}]',
    "escaped": b'{"access_token":"hunter2\\u002eA~","a":1,"a":1}',
}


@pytest.mark.parametrize("body", UNUSABLE.values(), ids=UNUSABLE)
def test_a_token_in_an_answer_that_cannot_be_used_is_unwanted(body):
    outcome = taken(body)
    assert [each.secret for each in held(outcome)] == [b"hunter2.A~"]
    assert "hunter2" not in f"{outcome!r}"


def test_of_tokens_that_nobody_asked_for_each_is_named_once_and_only_so_many():
    texts = [b'"access_token":"t%d"' % (number // 2) for number in range(4 * MOST_TOKENS)]
    outcome = taken(b"{" + b",".join(texts) + b"}")
    assert [each.secret for each in held(outcome)] == [b"t%d" % n for n in range(MOST_TOKENS)]


@pytest.mark.parametrize("text", [b'""', b'"\\ud800"', b'"\xff"', b"7", b'"a'])
def test_what_is_no_text_is_no_token(text):
    assert held(taken(b'{"access_token":' + text)) == ()
