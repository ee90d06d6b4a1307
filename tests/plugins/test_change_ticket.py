"""The shipped facts: what a ticket system says of a call, and nothing where it does not say."""

from __future__ import annotations

import threading
import time

import pytest
from pytest_twisted import ensureDeferred
from support.counterparts import TestCA
from support.ports import agent
from support.wire import Origin, answering

from jitgate import plugins
from jitgate.errors import OptionsInvalid, OurFault
from jitgate.shipped import shipped
from jitgate.testing import provided
from jitgate.testing.facts import FactsContract
from jitgate.values import Operation

FILE = shipped("plugins") / "change_ticket.py"
PLACES = "/changes?who={subject}&what={action}&on={resource.userId}"
CALL = Operation("okta", "deleteUser", {"userId": "00u1"}, "DELETE", "a.example:443", "/")


def facts(url="https://tickets.example" + PLACES, **options):
    (made,) = provided(FILE, url=url, **options)
    return made


class TestItsPromises(FactsContract):
    def make(self):
        return facts()

    def others(self):
        others = [{"deadline": "1s"}, {"max_age": "0s"}, {"url": "https://tickets.example/x"}]
        return [facts(**each) for each in others]


# --- asked of a real server


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return TestCA.create(tmp_path_factory.mktemp("tickets"), name="tickets")


class System:
    """A ticket system that is up, and the facts that ask it."""

    def __init__(self, origin, ca):
        self.origin, self.ca = origin, ca

    def asked(self, places=PLACES, host="localhost", **options):
        url = f"https://{host}:{self.origin.port}{places}"
        options = {"trust": str(self.ca.pem), "deadline": "3s"} | options
        return facts(url=url, **options)


@pytest.fixture
def system(ca):
    with Origin(ca.leaf("localhost"), answering(b'{"approved":true,"number":"CHG-1"}')) as origin:
        yield System(origin, ca)


@ensureDeferred
async def test_what_the_system_answers_is_known(system):
    known = await system.asked().gather(CALL, agent())
    assert known == {"approved": True, "number": "CHG-1"}
    (received,) = system.origin.received
    assert received.line == "GET /changes?who=bot-7&what=deleteUser&on=00u1 HTTP/1.1"


@ensureDeferred
async def test_it_says_who_asks(system, tmp_path):
    secret = tmp_path / "token"
    secret.touch(mode=0o600)
    secret.write_text("Bearer not-a-real-one\n")
    await system.asked(authorization=f"file:{secret}").gather(CALL, agent())
    assert system.origin.received[0].header("Authorization") == "Bearer not-a-real-one"


def raw(data):
    def handle(request, tls):
        tls.sendall(data)

    return handle


def endless(request, tls):
    tls.sendall(b"HTTP/1.1 200 OK\r\n\r\n{")
    while True:
        tls.sendall(b" " * 65536)


UNKNOWN = {
    "not found": (answering(b'{"approved":true}', status=404), "answered 404"),
    "broken": (answering(b'{"approved":true}', status=500), "answered 500"),
    "elsewhere": (
        raw(b"HTTP/1.1 302 Found\r\nLocation: /approved\r\nContent-Length: 0\r\n\r\n"),
        "answered 302",
    ),
    "no content": (raw(b"HTTP/1.1 204 No Content\r\n\r\n"), "answered 204"),
    "no JSON": (answering(b"<html>approved</html>", "text/html"), "no JSON"),
    "no object": (answering(b"true"), "no JSON object"),
    "half an object": (answering(b'{"approved":true'), "no JSON"),
    "nothing": (answering(b""), "no JSON"),
    "too long": (answering(b'{"a":"' + b"x" * 70_000 + b'"}'), "too long"),
    "endless": (endless, "too long"),
    "broken off": (raw(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"a":1}'), "cannot be asked"),
    "no HTTP": (raw(b"220 smtp.example ESMTP\r\n\r\n"), "cannot be asked"),
    "hangs up": (lambda request, tls: None, "cannot be asked"),
}


@pytest.mark.parametrize("how", UNKNOWN)
@ensureDeferred
async def test_what_is_no_answer_is_not_known(system, how):
    system.origin.handler, says = UNKNOWN[how]
    with pytest.raises(OurFault, match=says):
        await system.asked().gather(CALL, agent())
    assert len(system.origin.received) == 1  # no redirect is followed, and nothing tried again


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"])
@ensureDeferred
async def test_it_is_not_waited_for_beyond_its_deadline(system, begun):
    hold = threading.Event()

    def hangs(request, tls):
        tls.sendall(begun)
        hold.wait(10)

    system.origin.handler = hangs
    before = time.monotonic()
    with pytest.raises(OurFault, match="did not answer within 0.3 s"):
        await system.asked(deadline="300ms").gather(CALL, agent())
    assert time.monotonic() - before < 5
    hold.set()


@ensureDeferred
async def test_who_is_not_the_system_is_not_believed(system, ca, tmp_path):
    other = TestCA.create(tmp_path, name="other")
    for asked in (system.asked(trust=str(other.pem)), system.asked(host="127.0.0.1")):
        with pytest.raises(OurFault, match="cannot be asked"):
            await asked.gather(CALL, agent())
    assert system.origin.received == []


@ensureDeferred
async def test_who_is_not_there_does_not_answer():
    with pytest.raises(OurFault, match="cannot be asked"):
        await facts("https://localhost:1/changes").gather(CALL, agent())


# --- what it asks for


def key(places, subject=None, resource=None, target="okta"):
    made = facts("https://tickets.example" + places)
    operation = Operation(target, "deleteUser", resource or {}, "DELETE", "a:443", "/")
    return made.key(operation, subject or agent())


@pytest.mark.parametrize(
    ("places", "value", "asked"),
    [
        ("/c/{resource.id}", "00u1", "/c/00u1"),
        ("/c/{resource.id}", "../approved", "/c/..%2Fapproved"),
        ("/c/{resource.id}/x", "a/b?c=d&e#f", "/c/a%2Fb%3Fc%3Dd%26e%23f/x"),
        ("/c?id={resource.id}", "1&approved=true", "/c?id=1%26approved%3Dtrue"),
        ("/c?id={resource.id}", "{subject}", "/c?id=%7Bsubject%7D"),
        ("/c/{resource.id}", "Zoë", "/c/Zo%C3%AB"),
    ],
)
def test_no_value_says_more_than_itself(places, value, asked):
    assert key(places, resource={"id": value}) == f"https://tickets.example{asked}"


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_value_that_would_name_another_path_asks_nothing(value):
    assert key("/c/{resource.id}/x", resource={"id": value}) is None


@ensureDeferred
async def test_a_call_that_lacks_what_is_asked_by_asks_nothing(system):
    with pytest.raises(OurFault, match="does not say all"):
        await system.asked("/c/{resource.other}").gather(CALL, agent())
    assert system.origin.received == []


def test_calls_that_ask_for_the_same_share_an_answer_and_no_others():
    places = "/c?{subject}&{issuer}&{target}&{action}&{resource.id}"
    one = key(places, resource={"id": "1"})
    assert one == key(places, resource={"id": "1", "more": "x"})
    others = [
        key(places, resource={"id": "2"}),
        key(places, resource={"id": "1"}, target="things"),
        key(places, resource={"id": "1"}, subject=agent(id="bot-8")),
        key(places, resource={"id": "1"}, subject=agent(issuer="https://other.example")),
    ]
    assert len({one, *others}) == 5


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "options.url: this is missing"),
        ({"url": "http://tickets.example/x"}, "an https:// address was expected"),
        ({"url": "https://{subject}.example/x"}, "an https:// address was expected"),
        ({"url": "https://tickets.example/{who}"}, "there is no {who}: there are {subject}"),
        ({"url": "https://t.example/{resource.}"}, "there is no {resource.}"),
        ({"url": "https://t.example/a b"}, "an https:// address was expected"),
        ({"url": "https://t.example/", "deadline": "11s"}, "options.deadline"),
        ({"url": "https://t.example/", "max_age": "2h"}, "options.max_age"),
        (
            {"url": "https://t.example/", "authorization": "Bearer x"},
            "file:PATH, env:NAME or credential:NAME was expected",
        ),
        ({"url": "https://t.example/", "autorization": "x"}, "did you mean 'authorization'?"),
    ],
)
def test_options_that_it_cannot_use_stop_the_start(options, says):
    with pytest.raises(OptionsInvalid) as raised:
        plugins.load(FILE, options)
    assert says in "\n".join(raised.value.problems)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "[::1]:8000"])
def test_on_this_machine_plain_http_will_do(host):
    assert facts(f"http://{host}/x").key(CALL, agent()) == f"http://{host}/x"
