"""Fixed secrets in all their places, before a target that tells everything that it was sent."""

from __future__ import annotations

import base64
import json
import os
import signal
from pathlib import Path
from urllib.parse import parse_qsl, quote

import orjson
import pytest
import requests
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target, wait_for
from support.tokens import Tokens
from support.wire import Origin, Tunnel

SECRETS = {
    "header": "Bearer in-a-header/0001=",
    "basic": "in-basic-pässword-0002",
    "query": "in-a-query+0003/=",
    "body": 'in-a-body"0004\\',
}
FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
JSON = "Content-Type: application/json\r\n"


def echo(request, tls):
    """Answers with all that came: as it stands, decoded, and in a redirect."""
    line = request.line.split(" ")[1]
    pairs = [f"{name}: {value}" for name, value in parse_qsl(line.partition("?")[2])]
    basic = (request.header("Authorization") or "").partition("Basic ")[2]
    told = "\n".join([request.head.decode("latin-1"), *pairs]).encode()
    told += b"\n" + request.body + b"\n" + base64.b64decode(basic)
    where = f"Location: /there{line}\r\nX-Was: {quote(line)}\r\n"
    head = f"HTTP/1.1 302 Found\r\nContent-Length: {len(told)}\r\n{where}\r\n"
    tls.sendall(head.encode() + told)
    return True


class Site:
    """A gateway before one origin that has a host for each place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ca = TestCA.create(folder, name="origin")
        self.tokens = Tokens(folder)
        self.origin = Origin(ca.leaf(*(f"{place}.example" for place in SECRETS)), echo)
        self.trust = ca.pem

    def settings(self):
        handed = self.folder / "handed"
        handed.mkdir()
        for place, file in (("header", self.folder / "header"), ("basic", handed / "bot.password")):
            file.touch(mode=0o400 if place == "basic" else 0o600)
            file.write_text(SECRETS[place] + "\n")
        credentials = {
            "header": {"header": "X-API-Key", "value": "file:./header"},
            "basic": {"basic": {"username": "bot", "password": "credential:bot.password"}},
            "query": {"query": "api_key", "value": "env:A_QUERYS_KEY"},
            "body": {"body": "token", "value": "env:A_BODYS_TOKEN"},
        }
        targets = [
            target(
                self.origin.port,
                self.trust,
                name=place,
                hosts=[f"{place}.example"],
                credential={"type": "static", **credential},
            )
            for place, credential in credentials.items()
        ]
        return settings(self.folder, self.tokens.jwks, targets)

    def tunnel(self, place):
        host = f"{place}.example"
        token = self.tokens.token()
        how = {"authority": f"{host}:443", "sni": host}
        return Tunnel(self.gateway.proxy, self.gateway.ca, token, **how)

    def ask(self, place, method, path, headers="", body=b""):
        """What the origin got, once no byte that came back is found to hold a secret."""
        self.origin.received.clear()
        with self.tunnel(place) as tunnel:
            length = f"Content-Length: {len(body)}\r\n" if body else ""
            head = f"{method} {path} HTTP/1.1\r\nHost: {place}.example\r\n{headers}{length}\r\n"
            tunnel.send(head.encode() + body)
            reply = tunnel.reply(method)
        assert_hidden(repr((reply.headers, reply.body.decode("latin-1"))))
        (received,) = self.origin.received or [None]
        return reply, received


def assert_hidden(text):
    for secret in SECRETS.values():
        core = secret.rpartition(" ")[2]
        for form in (
            core,
            json.dumps(core)[1:-1],
            quote(core, safe=""),
            core.encode().decode("latin-1"),
        ):
            assert form not in text
            assert repr(form)[1:-1] not in text
    assert base64.b64encode(f"bot:{SECRETS['basic']}".encode()).decode() not in text


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    made = Site(tmp_path_factory.mktemp("fixed"))
    environment = {
        "A_QUERYS_KEY": SECRETS["query"],
        "A_BODYS_TOKEN": SECRETS["body"],
        "CREDENTIALS_DIRECTORY": str(made.folder / "handed"),
    }
    with made.origin, GatewayProcess(made.folder, made.settings(), env=environment) as gateway:
        made.gateway = gateway
        yield made
    said = "".join(gateway.output)
    assert "Traceback" not in said
    assert_hidden(said)
    assert_hidden("".join(file.read_text() for file in gateway.recordings.glob("logs/*/*.jsonl")))


# --- where they are sent


def test_in_a_header(site):
    reply, received = site.ask("header", "GET", "/a")
    assert reply.status == 302
    assert received.header("X-API-Key") == SECRETS["header"]


def test_as_basic(site):
    _, received = site.ask("basic", "GET", "/a")
    pair = base64.b64decode(received.header("Authorization").removeprefix("Basic "))
    assert pair.decode() == f"bot:{SECRETS['basic']}"


def test_in_the_query(site):
    _, received = site.ask("query", "GET", "/a?b=1%202")
    assert received.line == f"GET /a?b=1%202&api_key={quote(SECRETS['query'], safe='')} HTTP/1.1"
    *_, outcome = site.gateway.entries("outcome")
    assert outcome["credential"] == {"kind": "static", "query": "api_key"}
    *_, decision = site.gateway.entries("decision")
    assert decision["operation"]["url"] == "https://query.example/a?b=1%202"


def test_in_a_form(site):
    _, received = site.ask("body", "POST", "/a", FORM, b"a=1%202")
    assert received.body == f"a=1%202&token={quote(SECRETS['body'], safe='')}".encode()
    assert received.header("Content-Length") == str(len(received.body))


def test_in_an_object_of_which_every_other_byte_stays(site):
    _, received = site.ask("body", "PUT", "/a", JSON, b'{"a": 1.10, "b": 12345678901234567890}')
    assert received.body.startswith(b'{"a": 1.10, "b": 12345678901234567890')
    assert json.loads(received.body)["token"] == SECRETS["body"]


def test_a_call_that_has_no_body_for_it_is_not_sent(site):
    for method, headers, body in [("GET", "", b""), ("POST", "", b"x"), ("POST", JSON, b"[1]")]:
        reply, received = site.ask("body", method, "/a", headers, body)
        assert (reply.status, received) == (400, None)


# --- what the agent sends there

PLACEHOLDERS = [
    "Authorization: SSWS00dummytoken\r\n",
    "Authorization: SSWS 00dummytoken\r\nAuthorization: Bearer dummytoken\r\n",
    "authorization: Bearer dummytoken\r\n",
    "AUTHORIZATION:dummytoken\r\n",
    "X-API-Key: dummytoken\r\nx-api-key: dummytoken\r\n",
    "Cookie: sid=dummytoken\r\ncookie: dummytoken\r\n",
    "Proxy-Authorization: Basic dummytoken\r\n",
    "X-Auth-Token: dummytoken\r\nPrivate-Token: dummytoken\r\nApi-Key: dummytoken\r\n",
]


@pytest.mark.parametrize("place", SECRETS)
@pytest.mark.parametrize("headers", PLACEHOLDERS)
def test_whatever_an_sdk_sends_as_its_own_credential_stays_behind(site, place, headers):
    body = b'{"a": 1}' if place == "body" else b""
    kind = JSON if body else ""
    method = "POST" if body else "GET"
    reply, received = site.ask(place, method, "/a", headers + kind, body)
    assert reply.status == 302
    assert b"dummytoken" not in received.head + received.body
    fields = [line.partition(b":")[0].lower() for line in received.head.split(b"\r\n")]
    assert fields.count(b"authorization") == (place == "basic")
    assert fields.count(b"x-api-key") == (place == "header")
    assert b"cookie" not in fields


@pytest.mark.parametrize("written", ["api_key=dummytoken", "%61pi%5fkey=dummytoken", "api_key"])
def test_what_it_sends_in_the_query_stays_behind(site, written):
    _, received = site.ask("query", "GET", f"/a?{written}&b=1&{written}")
    assert received.line.startswith("GET /a?b=1&api_key=in-a-query")
    assert b"dummytoken" not in received.head


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (FORM, b"token=dummytoken&a=1"),
        (FORM, b"a=1&tok%65n=dummytoken"),
        (JSON, b'{"token": {"of": ["dummytoken"]}, "a": 1}'),
        (JSON, rb'{"a": 1, "\u0074oken": "dummytoken"}'),
    ],
)
def test_what_it_sends_in_the_body_stays_behind(site, headers, body):
    _, received = site.ask("body", "POST", "/a", headers, body)
    assert b"dummytoken" not in received.body
    assert received.body.count(b"token") == 1
    assert b"dummytoken" not in orjson.dumps(site.gateway.all_entries())


@pytest.mark.parametrize(
    ("place", "path", "headers", "body"),
    [
        ("query", "/a", FORM, b"api_key=dummytoken&a=1"),
        ("query", "/a", JSON, b'{"api_key": "dummytoken"}'),
        ("query", "/a", "", b"api_key=dummytoken"),
        ("query", "/a", "Content-Type: multipart/form-data; boundary=x\r\n", b"--x--"),
        ("body", "/a?token=dummytoken", FORM, b"a=1"),
    ],
)
def test_its_name_in_the_other_place_goes_nowhere(site, place, path, headers, body):
    """A target may read query and body as one, and take the agent's for the credential."""
    site.origin.received.clear()
    reply, received = site.ask(place, "POST", path, headers, body)
    assert reply.status == 400
    assert received is None


def test_a_library_that_insists_on_a_key_needs_none(site):
    """What requests makes of parameters and forms, through the proxy that it is told of."""
    host, port = site.gateway.proxy
    session = requests.Session()
    session.trust_env = False
    session.proxies = {"https": f"http://sdk:{site.tokens.token()}@{host}:{port}"}
    session.verify = str(site.gateway.ca)
    site.origin.received.clear()
    calls = [
        ("GET", "query", {"params": {"q": "a b&c", "api_key": "dummytoken"}}),
        ("POST", "body", {"data": {"q": "a b&c", "token": "dummytoken"}}),
        ("POST", "body", {"json": {"q": "a b&c", "token": "dummytoken"}}),
        ("GET", "basic", {"auth": ("bot", "dummytoken")}),
    ]
    for method, place, how in calls:
        url = f"https://{place}.example/a"
        answer = session.request(method, url, allow_redirects=False, timeout=20, **how)
        assert answer.status_code == 302, answer.text
        assert_hidden(answer.text + repr(answer.headers))
    query, form, member, basic = site.origin.received
    key, token = SECRETS["query"], SECRETS["body"]
    assert parse_qsl(query.line.split(" ")[1].partition("?")[2]) == [
        ("q", "a b&c"),
        ("api_key", key),
    ]
    assert parse_qsl(form.body.decode()) == [("q", "a b&c"), ("token", token)]
    assert json.loads(member.body) == {"q": "a b&c", "token": token}
    assert "dummytoken" not in basic.head.decode()


# --- reading them again


def test_a_reload_reads_files_anew_and_keeps_what_the_environment_was(site):
    file = site.folder / "header"
    before = sum("Reloaded " in line for line in site.gateway.output)
    file.write_text("Bearer another-one-0005")
    os.kill(site.gateway.process.pid, signal.SIGHUP)
    wait_for(lambda: sum("Reloaded " in line for line in site.gateway.output) > before)
    _, received = site.ask("header", "GET", "/a")
    assert received.header("X-API-Key") == "Bearer another-one-0005"
    test_in_the_query(site)
    test_in_a_form(site)
    test_as_basic(site)
