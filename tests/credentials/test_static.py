"""One fixed secret: the same for every call."""

import pytest
from zope.interface.verify import verifyObject

from jitgate.credentials.carriers import InHeader, InQuery
from jitgate.credentials.static import StaticCredentials
from jitgate.interfaces import ICredentialSource
from jitgate.values import Operation, Parameter

OPERATION = Operation(
    target="things", action="GET", resource={}, method="GET", authority="api.example", path="/"
)


def issued(source):
    try:
        source.issue(OPERATION).send(None)
    except StopIteration as answer:
        return answer.value
    raise AssertionError("it waited")


def test_it_is_issued_as_it_is_carried():
    credential = issued(StaticCredentials(InQuery("key"), b"hunter2"))
    assert credential.query == Parameter("key", b"hunter2")
    assert credential.facts == {"kind": "static", "query": "key"}


def test_what_cannot_be_carried_is_refused_when_it_is_made():
    with pytest.raises(ValueError, match="visible ASCII"):
        StaticCredentials(InHeader("Authorization"), b"hunter2\n")


def test_it_provides_the_port_and_shows_no_secret():
    source = StaticCredentials(InHeader("Authorization"), b"Bearer hunter2")
    assert verifyObject(ICredentialSource, source)
    assert "hunter2" not in repr(source) + repr(issued(source))
