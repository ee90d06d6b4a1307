"""A token that could be read in two ways is read in none."""

import base64
import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jitgate.identity.unverified import (
    MAX_CONTAINERS,
    MAX_TOKEN,
    UnverifiedToken,
    base64url_bytes,
    json_object,
    read_token,
)
from jitgate.values import Denial, Refusal

HEADER = {"alg": "ES256", "kid": "k1", "typ": "JWT"}
CLAIMS = {"iss": "https://issuer.example", "sub": "bot-7"}
SIGNATURE = "c2lnbmF0dXJl"


def segment(data):
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(header=HEADER, claims=CLAIMS, signature=SIGNATURE):
    return f"{segment(header)}.{segment(claims)}.{signature}"


def reason(text):
    outcome = read_token(text)
    assert isinstance(outcome, Refusal)
    assert outcome.denial is Denial.TOKEN_REFUSED
    return outcome.detail


def test_a_token_is_its_header_and_claims():
    outcome = read_token(token())
    assert isinstance(outcome, UnverifiedToken)
    assert (outcome.header, outcome.claims) == (HEADER, CLAIMS)
    assert (outcome.algorithm, outcome.key_id) == ("ES256", "k1")


def test_a_token_needs_no_key_id():
    outcome = read_token(token({"alg": "ES256"}))
    assert isinstance(outcome, UnverifiedToken)
    assert outcome.key_id is None


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        (HEADER | {"typ": "JWT"}, "jwt"),
        (HEADER | {"typ": "application/AT+jwt"}, "at+jwt"),
        ({"alg": "ES256"}, ""),
    ],
)
def test_the_type_is_told_in_one_spelling(header, kind):
    outcome = read_token(token(header))
    assert isinstance(outcome, UnverifiedToken)
    assert outcome.type == kind


@pytest.mark.parametrize("typ", ["", None, 7, ["JWT"]])
def test_a_type_that_is_no_word_is_refused(typ):
    assert "typ" in reason(token({**HEADER, "typ": typ}))


@pytest.mark.parametrize("name", ["crit", "jwk", "jku", "x5u", "x5c", "b64"])
@pytest.mark.parametrize("value", [None, True, [], "https://evil.example/keys"])
def test_a_header_that_brings_its_own_rules_or_keys_is_refused(name, value):
    assert name in reason(token({**HEADER, name: value}))


@pytest.mark.parametrize("header", [{}, {"alg": None}, {"alg": 256}, {"alg": ["ES256"]}])
def test_a_header_without_an_algorithm_is_refused(header):
    assert "algorithm" in reason(token(header))


@pytest.mark.parametrize("name", ["kid", "cty", "x5t", "x5t#S256"])
@pytest.mark.parametrize("value", [None, 1, ["k1"], {"k": 1}])
def test_a_parameter_that_must_be_a_string_and_is_none_is_refused(name, value):
    assert f"{name} is not a string" in reason(token({**HEADER, name: value}))


@pytest.mark.parametrize(
    "text", ["", ".", "a.b", "a.b.c.d", "a.b.c.d.e", "hunter2", token() + ".", "." + token()]
)
def test_anything_but_three_segments_is_refused(text):
    assert "three segments" in reason(text)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text + "=",
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text.replace("c2", "c2\n", 1),
        lambda text: text[:-1] + "+",
        lambda text: text[:-1] + "/",
        lambda text: text + "A",
        lambda text: text[:-1] + "é",
        lambda text: text[:-1] + "\udc80",
        lambda text: text[:-1] + "\uff21",
    ],
)
def test_a_second_spelling_of_the_bytes_is_refused(spoil):
    assert "base64url" in reason(spoil(token()))


def test_unused_bits_must_be_zero():
    assert base64url_bytes("QQ") == b"A"
    assert base64url_bytes("QR") is None
    assert base64url_bytes("QQ==") is None


@given(st.binary())
def test_bytes_have_one_spelling(data):
    assert base64url_bytes(base64.urlsafe_b64encode(data).rstrip(b"=").decode()) == data


@given(st.text())
def test_whatever_is_taken_is_the_one_spelling(text):
    data = base64url_bytes(text)
    if data is not None:
        assert base64.urlsafe_b64encode(data).rstrip(b"=").decode() == text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'"a"',
        b"null",
        b"{",
        b"{}{}",
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":[{"b":1,"b":2}]}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":"\\ud800"}',
        b'{"\\udc00":1}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\xff"}',
        b'{"a":"\xc0\x80"}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"a":' + b"9" * 5000 + b"}",
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":"\x00"}',
    ],
)
def test_json_with_another_reading_is_no_object(data):
    assert json_object(data) is None
    assert "JSON" in reason(token(claims=data))
    assert "JSON" in reason(token(header=data))


def test_json_is_read_as_it_stands():
    assert json_object('{"a": "é\\ud83d\\ude00", "b": [1, 1.5, {}]}'.encode()) == {
        "a": "é😀",
        "b": [1, 1.5, {}],
    }


@pytest.mark.parametrize(
    "number", ["1e309", "-1E+309", "1e0309", "0.1e999999", "9" * 320 + ".5", "1" + "0" * 309 + "e0"]
)
def test_a_number_beyond_all_is_no_json_of_ours(number):
    assert json_object(f'{{"a":{number}}}'.encode()) is None


@pytest.mark.parametrize(
    "number", ["1e308", "1.5e99", "1e-999", "0." + "1" * 250, "9" * 199 + "e99"]
)
def test_a_number_that_a_float_can_be_is_taken(number):
    assert json_object(f'{{"a":{number}}}'.encode()) == {"a": float(number)}


NUMBERS = st.from_regex(
    r"-?(0|[1-9][0-9]{0,330})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,4})?", fullmatch=True
)


@given(NUMBERS)
def test_no_number_is_taken_for_an_infinite_one(number):
    value = json_object(f'{{"a":{number}}}'.encode())
    finite = number.lstrip("-").isdigit() or math.isfinite(float(number))
    assert (value is not None) == finite


@example("\\ud800")
@example("\\\\\\uDc0e")
@example("\\ud8c8\\ud8c8")
@given(st.text(alphabet='du8cD\\"ef0a', max_size=12))
def test_half_a_surrogate_pair_is_found_however_it_is_written(text):
    data = f'{{"a":"{text}"}}'.encode()
    value = json_object(data)
    try:
        json.dumps(json.loads(data, strict=True), ensure_ascii=False).encode()
    except ValueError:
        assert value is None


def test_a_token_holds_so_many_objects_and_lists_and_no_more():
    for number, taken in ((MAX_CONTAINERS - 2, True), (MAX_CONTAINERS - 1, False)):
        claims = json.dumps({"a": [{}] * number}).encode()
        assert isinstance(read_token(token(claims=claims)), UnverifiedToken) is taken
    assert "1024 objects and lists" in reason(token(claims=claims))


def test_a_token_may_be_of_the_greatest_size_and_no_greater():
    room = MAX_TOKEN - len(token(signature=""))
    assert isinstance(read_token(token(signature="A" * (room - room % 4))), UnverifiedToken)
    assert "longer" in reason("A" * (MAX_TOKEN + 1))


@given(st.text(max_size=200) | st.binary(max_size=100).map(lambda data: token(claims=data)))
def test_any_text_is_a_token_or_a_refusal(text):
    assert isinstance(read_token(text), UnverifiedToken | Refusal)


def test_neither_a_token_nor_its_refusal_shows_it():
    text = token(claims={"sub": "hunter2"})
    assert "hunter2" not in repr(read_token(text))
    assert segment({"sub": "hunter2"}) not in repr(read_token(text))
    assert "hunter2" not in repr(read_token("hunter2"))
