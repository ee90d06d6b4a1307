"""The shipped source of people: what a directory says of them, and nothing where it does not say."""

from __future__ import annotations

import threading

import orjson
import pytest
from pytest_twisted import ensureDeferred
from support.counterparts import TestCA
from support.wire import Origin, answering

from jitgate.errors import OptionsInvalid, PeopleUnknown
from jitgate.shipped import shipped
from jitgate.testing import provided
from jitgate.testing.people import PeopleContract

FILE = shipped("plugins") / "active_people.py"
PEOPLE = {"alice@acme.com": True, "eve@acme.com": False}


def people(url="https://directory.example/people/{person}", **options):
    (made,) = provided(FILE, url=url, **options)
    return made


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return TestCA.create(tmp_path_factory.mktemp("directory"), name="directory")


class Directory:
    """A directory that is up, and who asks it."""

    def __init__(self, ca):
        self.ca = ca
        self.origin = Origin(ca.leaf("localhost"), self.tells)

    def tells(self, request, tls):
        name = request.line.split(" ")[1].rpartition("/")[2].replace("%40", "@")
        return answering(orjson.dumps({"active": PEOPLE.get(name, "unheard of")}))(request, tls)

    def asked(self, **options):
        url = f"https://localhost:{self.origin.port}/people/{{person}}"
        return people(url, **{"trust": str(self.ca.pem)} | options)


@pytest.fixture
def directory(ca):
    made = Directory(ca)
    with made.origin:
        yield made


class TestItsPromises(PeopleContract):
    @pytest.fixture(autouse=True)
    def asked_of(self, directory):
        self.directory = directory

    def make(self):
        return self.directory.asked()

    def others(self):
        return [self.directory.asked(**each) for each in ({"deadline": "1s"}, {"active": ["yes"]})]

    def inactive(self):
        return "eve@acme.com"

    def cannot_tell(self):
        return people("https://localhost:1/{person}")


@ensureDeferred
async def test_who_is_active_is_what_the_directory_says(directory):
    asked = directory.asked()
    for name, active in PEOPLE.items():
        assert await asked.is_active(name) is active
    lines = [each.line for each in directory.origin.received]
    assert lines[0] == "GET /people/alice%40acme.com HTTP/1.1"


@ensureDeferred
async def test_a_word_of_the_directorys_own_may_tell(directory):
    directory.origin.handler = answering(b'{"status":"ACTIVE","active":false}')
    assert await directory.asked(member="status", active=["ACTIVE"]).is_active("a") is True
    directory.origin.handler = answering(b'{"status":"SUSPENDED","active":true}')
    assert await directory.asked(member="status", active=["ACTIVE"]).is_active("a") is False


@pytest.mark.parametrize(
    "handler",
    [
        answering(b'{"active":true}', status=404),
        answering(b'{"active":true}', status=500),
        answering(b"<html>"),
        answering(b"[true]"),
        answering(b"{}"),
        answering(b'{"active":1}'),
        answering(b'{"active":null}'),
        answering(b'{"active":true,"more":"' + b"x" * 300_000 + b'"}'),
    ],
)
@ensureDeferred
async def test_what_is_no_answer_tells_nothing(directory, handler):
    directory.origin.handler = handler
    with pytest.raises(PeopleUnknown):
        await directory.asked().is_active("alice@acme.com")


@pytest.mark.parametrize("name", ["", ".", ".."])
@ensureDeferred
async def test_a_name_that_would_be_another_path_asks_nothing(directory, name):
    with pytest.raises(PeopleUnknown):
        await directory.asked().is_active(name)
    assert directory.origin.received == []


@ensureDeferred
async def test_no_name_says_more_than_itself(directory):
    directory.origin.handler = answering(b"{}")
    with pytest.raises(PeopleUnknown):
        await directory.asked().is_active("../admin?x=1#y")
    assert directory.origin.received[0].line == "GET /people/..%2Fadmin%3Fx%3D1%23y HTTP/1.1"


@ensureDeferred
async def test_it_is_not_waited_for_beyond_its_deadline(directory):
    hold = threading.Event()

    def hangs(request, tls):
        hold.wait(10)

    directory.origin.handler = hangs
    with pytest.raises(PeopleUnknown):
        await directory.asked(deadline="300ms").is_active("alice@acme.com")
    hold.set()


@pytest.mark.parametrize(
    "options",
    [
        {"url": "http://directory.example/{person}"},
        {"url": "https://directory.example/people"},
        {"url": "https://{person}.example/"},
        {"url": "https://directory.example/{person}/{person}"},
        {"active": []},
        {"active": [1]},
        {"deadline": "1m"},
    ],
)
def test_what_cannot_be_meant_is_refused(options):
    with pytest.raises(OptionsInvalid):
        people(**options)
