"""What a value shows of itself in a log or a traceback: never what a credential is made of."""

from __future__ import annotations

import pytest

from jitgate.core import http1_events as events
from jitgate.core.injection import upstream_head
from jitgate.flow.admission import Knock
from jitgate.flow.sending import Departure
from jitgate.proxy.pages import Asked
from jitgate.values import (
    Credential,
    Fields,
    Operation,
    Parameter,
    RequestHead,
    ResponseHead,
    Subject,
)

SECRET = b"hunter2"
FIELDS = ((b"Authorization", b"DPoP " + SECRET), (b"DPoP", SECRET))
CREDENTIAL = Credential(FIELDS, (SECRET,), query=Parameter("api_key", SECRET))
ASKED = RequestHead("GET", "/things?a=b", Fields(FIELDS))
LEAVING = upstream_head(
    ASKED,
    Operation("t", "a", {}, "GET", "a.example:443", "/things", "a=b"),
    CREDENTIAL,
    token="jitgate/x-1",
    declared=frozenset(),
    masked=False,
)
ANSWER = ResponseHead(200, ((b"Set-Cookie", SECRET),))


@pytest.mark.parametrize(
    "value",
    [
        CREDENTIAL,
        ASKED,
        LEAVING,
        ANSWER,
        Fields(FIELDS),
        Departure(None, None, CREDENTIAL, LEAVING, None, None),
        events.Request(ASKED, None, True, 1),
        events.Response(ANSWER),
        events.Data(SECRET),
        events.End(FIELDS),
        events.Tunnel(events.Request(ASKED, None, True, 1), SECRET),
        Asked(Subject("https://issuer.example", "bot", (), 0.0), "s-1", FIELDS),
        Knock("a.example:443", SECRET.decode()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_value_shows_a_credential(value):
    assert SECRET.decode() in "".join(map(str, parts(value)))
    assert SECRET.decode() not in f"{value!r}{value}"
    assert SECRET.decode() not in f"{(value,)}{[value]}"


def parts(value):
    """All that a value holds, however deep."""
    if isinstance(value, tuple):
        return [each for part in value for each in parts(part)]
    names = getattr(value, "__dataclass_fields__", None)
    return [value] if names is None else parts(tuple(getattr(value, name) for name in names))


def test_a_head_shows_what_was_asked_and_which_fields_it_has():
    assert repr(LEAVING) == (
        "RequestHead('GET', '/things?', "
        "'Host, User-Agent, Accept-Encoding, Authorization, DPoP', 0)"
    )
    assert repr(ANSWER) == "ResponseHead(200, 'Set-Cookie', 0)"
    assert repr(Fields([(b"A\xff", b"x")])) == r"Fields(A\xff)"


def test_fields_are_asked_once_when_they_come_again_and_not_remembered_before():
    asked = []

    def ask(fields, word):
        asked.append(word)
        return len(fields), word

    fields = Fields(FIELDS)
    assert [fields.once(ask, "a"), fields.once(ask, "a")] == [(len(FIELDS), "a")] * 2
    assert asked == ["a", "a"]
    fields.come_again()
    told = [fields.once(ask, word) for word in "abab"]
    fields.come_again()
    assert told == [(len(FIELDS), "a"), (len(FIELDS), "b")] * 2
    assert fields.once(ask, "a") == (len(FIELDS), "a")
    assert asked == ["a", "a", "a", "b"]
