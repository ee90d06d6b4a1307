"""What a CONNECT is read for: a name that could be a token is none."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jwts import SigningKey

from jitgate.core.http1_reading import RequestReader
from jitgate.errors import MalformedRequest
from jitgate.proxy.knocks import NAME_CHARS, knock_of

TOKEN = SigningKey.es256("k1").sign({"sub": "bot-7"})


def knock(name, password="secret"):
    pair = base64.b64encode(f"{name}:{password}".encode()).decode()
    reader = RequestReader()
    (event,) = reader.feed(
        b"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n"
        + f"Proxy-Authorization: Basic {pair}\r\n\r\n".encode()
    )
    return knock_of(event)[0]


@pytest.mark.parametrize(
    "name",
    [
        "run",
        "run-0123456789abcdef",
        "ci.acme.example",
        "build-0123456789.acme-agents.ci",
        "eyJ",
        "Adas Lauf \u00fc\u4e2d",
        "x" * NAME_CHARS,
    ],
)
def test_a_name_is_read_beside_the_token(name):
    read = knock(name)
    assert (read.authority, read.name, read.token) == ("api.example:443", name, "secret")


def test_a_name_may_be_left_out():
    assert (knock("").name, knock("").token) == (None, "secret")


@pytest.mark.parametrize(
    "name",
    [
        TOKEN,
        TOKEN[:60],
        f"run-{TOKEN}",
        f"Bearer {TOKEN}",
        "eyJhbGciOiJub25lIn0.e30.",
        "eyJh.",
        "aaaaaaaa.bbbbbbbb.cccccccc",
        "run aaaaaaaa.bbbb-_bb.cccccccc run",
        "a.b..aaaaaaaa.bbbbbbbb.cccccccc",
        "x" * (NAME_CHARS + 1),
        "run\x1b[2J",
        "run\n",
        "run\u202e",
        "run\u200b",
        "run\u2028",
    ],
)
@pytest.mark.parametrize("password", ["x", "", TOKEN])
def test_a_name_that_could_be_a_token_is_refused_and_not_passed_on(name, password):
    read = knock(name, password)
    assert (read.authority, read.name, read.token) == ("", None, None)
    assert isinstance(read.fault, MalformedRequest)
    assert "The token belongs into the password" in str(read.fault)
    assert name not in str(read.fault)


PART = st.text("abcXYZ019-_", min_size=8, max_size=20)


@given(st.lists(PART, min_size=3, max_size=5), st.text("ab. ", max_size=5))
def test_no_token_is_a_name_whatever_stands_before_it(parts, before):
    assert knock(before + ".".join(parts)).name is None
