"""One fixed header, and every form in which its secret could come back."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from jitgate.credentials.static import StaticHeader
from jitgate.interfaces import ICredentialSource
from jitgate.values import Operation

OPERATION = Operation(
    target="things", action="GET", resource={}, method="GET", authority="api.example", path="/"
)


def issued(source):
    try:
        source.issue(OPERATION).send(None)
    except StopIteration as answer:
        return answer.value
    raise AssertionError("it waited")


@pytest.mark.parametrize(
    ("value", "secrets"),
    [
        (b"hunter2", [b"hunter2"]),
        (b"Bearer hunter2", [b"Bearer hunter2", b"hunter2"]),
        (b"bearer  hunter2", [b"bearer  hunter2", b"hunter2"]),
        (b"SSWS 00abc", [b"SSWS 00abc", b"00abc"]),
        (b"token ghp_x", [b"token ghp_x", b"ghp_x"]),
        (
            b"Basic Ym9iOmh1bnRlcjI=",
            [b"Basic Ym9iOmh1bnRlcjI=", b"Ym9iOmh1bnRlcjI=", b"bob:hunter2", b"hunter2"],
        ),
        (
            b"BASIC Ym9iOmh1bnRlcjI",
            [b"BASIC Ym9iOmh1bnRlcjI", b"Ym9iOmh1bnRlcjI", b"bob:hunter2", b"hunter2"],
        ),
        (b"Basic Ym9iOg==", [b"Basic Ym9iOg==", b"Ym9iOg==", b"bob:"]),
        (b"Basic !!", [b"Basic !!", b"!!"]),
    ],
)
def test_every_form_of_the_secret_is_named(value, secrets):
    credential = issued(StaticHeader("Authorization", value))
    assert credential.headers == ((b"Authorization", value),)
    assert list(credential.secrets) == secrets
    assert credential.facts == {"kind": "static", "header": "Authorization"}


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_basic_password_is_always_among_the_secrets(name, password):
    pair = name.replace(":", "") + ":" + password
    raw = pair.encode(errors="surrogatepass")
    value = b"Basic " + base64.b64encode(raw)
    assert password.encode(errors="surrogatepass") in issued(StaticHeader("A", value)).secrets


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b"hunter2\n",
        b"hunter2\r\nX: y",
        b"hunter2\x00",
        b"\thunter2",
        b"hunter2 ",
        b"hunter2\x7f",
        "hünter2".encode(),
        b"hunter2\xff",
    ],
)
def test_a_value_that_is_no_header_is_refused_without_being_shown(value):
    with pytest.raises(ValueError, match="visible ASCII") as caught:
        StaticHeader("Authorization", value)
    assert "nter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "X Y", "X:", "X\n", "Ü"])
def test_a_name_that_is_no_header_is_refused(name):
    with pytest.raises(ValueError, match="name of a header"):
        StaticHeader(name, b"hunter2")


def test_it_provides_the_port_and_shows_no_secret():
    source = StaticHeader("Authorization", b"Bearer hunter2")
    assert verifyObject(ICredentialSource, source)
    assert "hunter2" not in repr(source) + repr(issued(source))
