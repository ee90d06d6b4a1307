"""What is exported of the real gateway's recording is what its client got, byte for byte."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import sys
from urllib.parse import urlsplit

import orjson
import pytest
from haralyzer import HarParser
from support.counterparts import TestCA
from support.exports import har_problems, ocsf_problems
from support.gateway import GatewayProcess, settings, target, wait_for
from support.masking import VALUE
from support.tokens import Tokens
from support.wire import Origin, Tunnel

from jitgate.exports.following import Follower
from jitgate.exports.ocsf import event

JSON = b'{"client_secret":"%b","n":[1.50],"u":"\xc3\xa4\xe2\x80\xae"}' % VALUE.encode()
LARGE = b"line of a text\n" * 100_000
ANSWERS = {
    "/json": (200, b"application/json", JSON),
    "/masked": (200, b"application/json", JSON.replace(b"1.50", b"2.50")),
    "/utf16": (200, b"text/plain; charset=utf-16", "hä?".encode("utf-16")),
    "/image": (200, b"image/png", bytes(range(256))),
    "/controls": (200, b"text/plain", b"a\x00b\x1b[2J\x7f"),
    "/empty": (204, b"text/plain", b""),
    "/moved": (302, b"text/html", b"<a href='/json'>there</a>"),
    "/large": (200, b"text/plain", LARGE),
    "/broken": (500, b"text/html; charset=latin-1", b"<h1>\xe9</h1>"),
}
SHOWN = {"/masked"}
"""Where the target's secret is hidden from the agent."""

RULES = [
    {
        "name": "masked",
        "reason": "It has a secret.",
        "match": {"groups": ["it-agents"], "paths": ["/masked"]},
        "effect": "permit",
        "mask": "all",
    },
    {
        "name": "all",
        "reason": "A test.",
        "match": {"groups": ["it-agents"]},
        "effect": "permit",
    },
    {
        "name": "never",
        "reason": "<b>No</b>",
        "match": {"groups": ["it-agents"], "paths": ["/never"]},
        "effect": "deny",
    },
]


# What the folder's conftest makes for its other modules is not needed here.
@pytest.fixture(autouse=True)
def plain_answers():
    """The gateway here has an origin of its own."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """And is looked after by itself."""


def answer(request, tls):
    status, kind, body = ANSWERS[request.line.split(" ")[1].partition("?")[0]]
    fields = [b"HTTP/1.1 %d X" % status, b"Content-Type: " + kind]
    if request.line.startswith("POST"):
        fields.append(b"Content-Encoding: gzip")
        body = gzip.compress(body)
    fields += [b"Location: https://api.example/json", b"Set-Cookie: a=b; Path=/"]
    fields += [] if status == 204 else [b"Content-Length: %d" % len(body)]
    tls.sendall(b"\r\n".join([*fields, b"", b""]) + body)
    return True


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What an agent got, by path, and the gateway, which is still running."""
    folder = tmp_path_factory.mktemp("export")
    ca, tokens, got = TestCA.create(folder, name="origin"), Tokens(folder), {}
    (folder / "policy.yaml").write_bytes(orjson.dumps(RULES))
    (folder / "masking.yaml").write_bytes(orjson.dumps([{"profile": "all", "names": ["*secret"]}]))
    with Origin(ca.leaf("api.example"), answer) as origin:
        more = {"masking": ["./masking.yaml"]}
        configuration = settings(folder, tokens.jwks, [target(origin.port, ca.pem)], **more)
        with (
            GatewayProcess(folder, configuration) as gateway,
            Tunnel(gateway.proxy, gateway.ca, tokens.token()) as tunnel,
        ):
            for path in ANSWERS:
                got[path] = tunnel.ask("GET", path)
                assert got[path].status == ANSWERS[path][0], got[path]
            got["/json?a=%C3%A4&token=hush"] = tunnel.ask("GET", "/json?a=%C3%A4&token=hush")
            got["/never"] = tunnel.ask("GET", "/never")
            body = b'{"password":"%b","name":"Ada"}' % VALUE.encode()
            kind = "Content-Type: application/json\r\n"
            got["/json#post"] = tunnel.ask("POST", "/json", body, kind)
            wait_for(lambda: len(gateway.entries("outcome")) == len(got))
            yield got, gateway


def exported(gateway, *arguments):
    """What `jitgate export` writes to its standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "jitgate", "export", *arguments],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout


@pytest.fixture(scope="module")
def archive(told):
    _got, gateway = told
    session = gateway.entries("outcome")[0]["session"]
    return json.loads(exported(gateway, "har", session, str(gateway.recordings)))


def body_of(entry):
    content = entry["response"]["content"]
    if content.get("encoding") == "base64":
        return base64.b64decode(content["text"], validate=True)
    return content["text"].encode()


def test_the_archive_is_what_the_client_got_byte_for_byte(told, archive):
    got, _ = told
    entries = archive["log"]["entries"]
    assert len(entries) == len(got)
    for entry, (asked, reply) in zip(entries, got.items(), strict=True):
        response = entry["response"]
        assert urlsplit(entry["request"]["url"]).path == urlsplit(asked).path
        assert response["status"] == reply.status
        assert response["bodySize"] == response["content"]["size"] == len(reply.body)
        if asked == "/large":
            assert body_of(entry) == reply.body[: 1024 * 1024]
            assert "The first 1048576 of 1500000 bytes" in response["content"]["comment"]
        else:
            assert body_of(entry) == reply.body, asked
        framing = {"content-length", "transfer-encoding", "connection"}
        fields = [(each["name"], each["value"]) for each in response["headers"]]
        assert fields == [pair for pair in reply.headers if pair[0].lower() not in framing]


def test_text_stands_as_text_and_nothing_else_does(archive):
    kept = {urlsplit(each["request"]["url"]).path: each for each in archive["log"]["entries"]}
    coded = {p for p, each in kept.items() if "encoding" in each["response"]["content"]}
    assert coded == {"/image", "/controls", "/utf16", "/broken"}


def test_what_was_asked_stands_there_masked(archive):
    entries = archive["log"]["entries"]
    (asked,) = [each["request"] for each in entries if each["request"]["queryString"]]
    names = [(each["name"], each["value"]) for each in asked["queryString"]]
    assert names == [("a", "ä"), ("token", "***")]
    (post,) = [each["request"] for each in entries if each["request"]["method"] == "POST"]
    fields = {each["name"].lower(): each["value"] for each in post["headers"]}
    assert fields["content-type"] == post["postData"]["mimeType"] == "application/json"
    assert fields["user-agent"].split()[-1].startswith("jitgate/x-")
    sent = json.loads(post["postData"]["text"])
    assert sent["name"] == "Ada"
    assert VALUE not in post["postData"]["text"]
    assert post["bodySize"] == len('{"password":"","name":"Ada"}') + len(VALUE)
    denied = entries[-2]
    assert denied["_jitgate"]["rule"] == "never"
    assert (denied["_jitgate"]["effect"], denied["_jitgate"]["outcome"]) == ("deny", "denied")


def test_readers_that_nobody_here_wrote_take_it(told, archive):
    got, _ = told
    assert har_problems(archive) == []
    (page,) = HarParser(archive).pages
    assert len(page.entries) == len(got)
    for entry, reply in zip(page.entries, got.values(), strict=True):
        assert entry.response.status == reply.status
        assert entry.time >= 0
        assert entry.startTime.utcoffset().total_seconds() == 0


def test_events_are_what_ocsf_says_an_api_activity_is(told):
    got, gateway = told
    lines = exported(gateway, "ocsf", str(gateway.recordings)).splitlines()
    events = [json.loads(line) for line in lines]
    assert [ocsf_problems(each) for each in events] == [[]] * len(got)
    assert [each["http_response"]["code"] for each in events] == [r.status for r in got.values()]
    assert [each["action"] for each in events].count("Denied") == 1
    assert [each["status"] for each in events].count("Failure") == 2
    assert {each["dst_endpoint"]["hostname"] for each in events} == {"api.example"}


def test_no_export_holds_a_value_that_was_hidden(told):
    """What the agent sent in the open and got in the open is on record; what was hidden is not."""
    got, gateway = told
    masked = next(e for e in gateway.entries("outcome") if e["masks"])["exchange"]
    posted = gateway.entries("outcome")[-1]["exchange"]
    where, key = str(gateway.recordings), str(gateway.folder / "state" / "site.vkey")
    assert VALUE.encode() not in got["/masked"].body
    for exchange in (masked, posted):
        archive = json.loads(exported(gateway, "har", exchange, where))
        (entry,) = archive["log"]["entries"]
        page = report(gateway, exchange, where, "--key", key)
        assert VALUE not in json.dumps(entry["request"])
        assert VALUE.encode() not in page.split(b"response head:")[0]
    assert VALUE not in json.dumps(json.loads(exported(gateway, "har", masked, where)))
    assert VALUE.encode() not in report(gateway, masked, where, "--key", key)
    events = exported(gateway, "ocsf", where)
    assert VALUE.encode() not in events
    assert b"hush" not in events


def report(gateway, *arguments):
    """The report of a recording that is still written: not all of it is witnessed yet."""
    done = subprocess.run(
        [sys.executable, "-m", "jitgate", "export", "html", *arguments],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, b""), done
    return done.stdout


def test_a_follower_tells_each_exchange_once_when_the_gateway_has_stopped(told):
    """The last test of the module: it stops the gateway."""
    _got, gateway = told
    follower = Follower(gateway.recordings)
    before = [told.id for told in follower.more()]
    gateway.stop()
    after = list(follower.more())
    ids = [entry["exchange"] for entry in gateway.entries("outcome")]
    assert [*before, *(told.id for told in after)] == ids
    assert [ocsf_problems(event(told, "1")) for told in after] == [[]] * len(after)
    assert list(follower.more()) == []
