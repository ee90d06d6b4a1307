"""What carries a fixed secret, and every form in which it could come back."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.literals import LiteralMasker
from jitgate.credentials.carriers import InBasic, InBody, InHeader, InQuery
from jitgate.values import Parameter

EVERY = [InHeader("X-Api-Key"), InBasic("bot"), InQuery("api_key"), InBody("api_key")]


def carried(carrier, secret):
    return carrier.credential(secret, {"kind": "static", **carrier.where})


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
def test_every_form_of_what_a_header_holds_is_named(value, secrets):
    credential = carried(InHeader("Authorization"), value)
    assert credential.headers == ((b"Authorization", value),)
    assert list(credential.secrets) == secrets
    assert credential.facts == {"kind": "static", "header": "Authorization"}


def test_behind_a_prefix_the_secret_alone_is_named_too():
    credential = carried(InHeader("Authorization", "Token token="), b"hunter2")
    assert credential.headers == ((b"Authorization", b"Token token=hunter2"),)
    assert b"hunter2" in credential.secrets


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_basic_password_is_always_among_the_secrets(name, password):
    pair = name.replace(":", "") + ":" + password
    raw = pair.encode(errors="surrogatepass")
    value = b"Basic " + base64.b64encode(raw)
    secrets = carried(InHeader("A"), value).secrets
    assert password.encode(errors="surrogatepass") in secrets


TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)


@given(TEXT.map(lambda name: name.replace(":", "")), TEXT)
def test_basic_is_the_name_and_the_password_in_utf_8(name, password):
    ((field, value),) = carried(InBasic(name), password.encode()).headers
    assert field == b"Authorization"
    scheme, _, pair = value.partition(b" ")
    assert scheme == b"Basic"
    assert base64.b64decode(pair).decode().split(":", 1) == [name, password]


def test_a_password_is_hidden_in_each_form_that_a_target_could_echo():
    masker = LiteralMasker(carried(InBasic("bob"), "pä'ss\"word".encode()).secrets)
    pair = "bob:pä'ss\"word"
    echoes = [
        pair.encode(),
        base64.b64encode(pair.encode()),
        json.dumps("pä'ss\"word")[1:-1].encode(),
        json.dumps("pä'ss\"word", ensure_ascii=False)[1:-1].encode(),
        quote("pä'ss\"word").encode(),
    ]
    for echo in echoes:
        hidden = masker.hide_in(b"<" + echo + b">")
        assert b"ss" not in hidden, echo
        assert b"=" not in hidden, echo


@pytest.mark.parametrize(
    ("carrier", "part"), [(InQuery("api_key"), "query"), (InBody("api_key"), "body")]
)
def test_in_a_query_or_a_body_it_stands_under_its_name(carrier, part):
    credential = carried(carrier, b"a/secret+1=")
    assert getattr(credential, part) == Parameter("api_key", b"a/secret+1=")
    assert (credential.headers, tuple(credential.secrets)) == ((), (b"a/secret+1=",))
    assert credential.facts == {"kind": "static", part: "api_key"}
    masker = LiteralMasker(credential.secrets)
    for echo in (b"a/secret+1=", b"a%2Fsecret%2B1%3D", b"a%2fsecret%2b1%3d", b"a\\/secret+1="):
        assert b"secret" not in masker.hide_in(b"/x?api_key=" + echo)


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
@pytest.mark.parametrize("carrier", [each for each in EVERY if not isinstance(each, InBasic)])
def test_a_value_that_cannot_be_carried_is_refused_without_being_shown(carrier, value):
    with pytest.raises(ValueError, match="visible ASCII") as caught:
        carried(carrier, value)
    assert "nter2" not in str(caught.value)


@pytest.mark.parametrize(
    "password", [b"", b"hunter2\n", b"hunter2\x00", "hunter2\x85".encode(), b"hunter2\xff"]
)
def test_a_password_that_is_no_text_is_refused_without_being_shown(password):
    with pytest.raises(ValueError, match="password") as caught:
        carried(InBasic("bob"), password)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize("name", ["", "X Y", "X:", "X\n", "Ü"])
def test_a_name_that_is_no_header_is_refused(name):
    with pytest.raises(ValueError, match="name of a header"):
        InHeader(name)


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a&b", "a%20b", "a+b", "ä", 'a"b', "a\n"])
@pytest.mark.parametrize("carrier", [InQuery, InBody])
def test_a_name_that_would_be_escaped_is_refused(carrier, name):
    with pytest.raises(ValueError, match="name of a parameter"):
        carrier(name)


@pytest.mark.parametrize("name", ["a:b", "a\nb", "a\x7f"])
def test_a_user_name_holds_no_colon_and_ends_no_line(name):
    with pytest.raises(ValueError, match="no user name"):
        InBasic(name)


@pytest.mark.parametrize("carrier", EVERY)
def test_what_is_carried_shows_no_secret(carrier):
    shown = repr(carried(carrier, b"hunter2"))
    assert "hunter2" not in shown
    assert base64.b64encode(b"bot:hunter2").decode() not in shown
