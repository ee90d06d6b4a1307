"""The real gateway before an origin that codes, cuts and names its answers in every way."""

from __future__ import annotations

import json

import orjson
import pytest
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target, wait_for
from support.http2 import Agent2, asking
from support.masking import ENCODERS, VALUE
from support.tokens import Tokens
from support.wire import Origin, Tunnel

STARS = "*" * 16
PROFILE = {"profile": "all", "names": ["*secret"], "passes": ["OPTIONS"]}
CARD = "4111111111111111"
OUTGOING = [
    {"profile": "shown", "detectors": ["payment-card"], "of": "requests"},
    {"profile": "kept-in", "detectors": ["payment-card"], "of": "requests", "how": "deny"},
]
RULE = {
    "name": "all",
    "reason": "A test.",
    "match": {"groups": ["it-agents"]},
    "effect": "permit",
    "mask": "all",
}
OUT = [
    {**RULE, "name": name, "mask": name, "match": {"paths": [f"/{name}"], "groups": ["it-agents"]}}
    for name in ("shown", "kept-in")
]


# What the folder's conftest makes for its other modules is not needed here.
@pytest.fixture(autouse=True)
def plain_answers():
    """The gateway here has an origin of its own."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """And is looked after by itself."""


class Masked:
    """A gateway that masks, an origin that answers as it is told, and an agent."""

    answer = b""

    def handle(self, request, tls):
        self.request = request
        head, _, body = self.answer.partition(b"\r\n\r\n")
        tls.sendall(head + b"\r\n\r\n")
        for at in range(0, len(body), 50):
            tls.sendall(body[at : at + 50])
        return True

    def ask(self, method, path, body, *headers, status=200, chunked=False):
        fields = [b"HTTP/1.1 %d X" % status, *headers]
        if chunked:
            fields.append(b"Transfer-Encoding: chunked")
            pieces = [body[at : at + 33] for at in range(0, len(body), 33)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])
        else:
            fields.append(b"Content-Length: %d" % len(body))
        self.answer = b"\r\n".join([*fields, b"", b""]) + body
        before = len(self.gateway.entries("outcome"))
        with Tunnel(self.gateway.proxy, self.gateway.ca, self.tokens.token()) as tunnel:
            reply = tunnel.ask(method, path)
        (outcome,) = wait_for(lambda: self.gateway.entries("outcome")[before:])
        return reply, outcome


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masking")
    ca, made = TestCA.create(folder, name="origin"), Masked()
    made.tokens = Tokens(folder)
    (folder / "policy.yaml").write_bytes(orjson.dumps([RULE, *OUT]))
    (folder / "masking.yaml").write_bytes(orjson.dumps([PROFILE, *OUTGOING]))
    with Origin(ca.leaf("api.example"), made.handle) as origin:
        more = {"masking": ["./masking.yaml"]}
        configuration = settings(folder, made.tokens.jwks, [target(origin.port, ca.pem)], **more)
        with GatewayProcess(folder, configuration) as made.gateway:
            yield made
    lines = made.gateway.output
    assert not [line for line in lines if "Traceback" in line or "#critical]" in line], lines


TEXT = json.dumps({"client_secret": VALUE, "n": [1.50], "more": ["x" * 99] * 20})


@pytest.mark.parametrize("coding", ENCODERS)
@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("charset", ["utf-8", "utf-16-le"])
def test_what_is_coded_comes_decoded_and_masked(masked, coding, chunked, charset):
    name, encode = ENCODERS[coding]
    reply, outcome = masked.ask(
        "GET",
        "/",
        encode(TEXT.encode(charset)),
        b"Content-Type: application/json",
        b"Content-Encoding: " + name,
        b'ETag: "x"',
        chunked=chunked,
    )
    assert reply.status == 200
    assert reply.body.decode(charset) == TEXT.replace(VALUE, STARS)
    assert {"Content-Encoding", "ETag"}.isdisjoint(dict(reply.headers))
    assert outcome["masks"] == {"all": 1}
    (hit,) = outcome["masked"]
    assert (hit["path"], hit["rule"]) == ("$['client_secret']", "all")
    assert len(hit["hmac"]) == 64


@pytest.mark.parametrize("status", [200, 400, 404, 422, 500, 302])
def test_whatever_the_status_body_and_fields_are_masked(masked, status):
    location = f"Location: https://a.example/?secret={VALUE}".encode()
    kind = b"Content-Type: application/problem+json"
    reply, outcome = masked.ask("GET", "/", TEXT.encode(), kind, location, status=status)
    assert reply.status == status
    assert VALUE.encode() not in reply.body
    assert dict(reply.headers)["Location"] == f"https://a.example/?secret={STARS}"
    assert VALUE not in orjson.dumps(outcome).decode()


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_what_cannot_be_looked_at_is_withheld(masked, method):
    page = f"<secret>{VALUE}</secret>".encode()
    reply, outcome = masked.ask(method, "/", page, b"Content-Type: application/xml", chunked=True)
    assert reply.status == (502 if method == "GET" else 403)
    assert b"application/xml is not looked at" in reply.body
    assert b"answered with status 200" in reply.body
    assert VALUE.encode() not in reply.body
    assert outcome["denial"] == "response-withheld"


def test_what_its_profile_says_holds_no_secret_passes(masked):
    reply, _ = masked.ask("OPTIONS", "/", b"<md/>", b"Content-Type: application/xml")
    assert (reply.status, reply.body) == (200, b"<md/>")
    reply, _ = masked.ask("OPTIONS", "/", TEXT.encode(), b"Content-Type: application/json")
    assert VALUE.encode() not in reply.body


@pytest.mark.parametrize("kind", ["application/x-ndjson", "text/event-stream", "text/plain"])
def test_texts_in_a_row(masked, kind):
    made = "data: {}\n\n" if kind == "text/event-stream" else "{}\n"
    text = made.replace("{}", TEXT) * (1 if kind == "text/plain" else 5)
    head = f"Content-Type: {kind}".encode()
    reply, outcome = masked.ask("GET", "/", text.encode(), head, chunked=True)
    assert reply.body.decode() == text.replace(VALUE, STARS)
    assert outcome["outcome"] == "completed"


def test_what_an_agent_sends_is_masked_before_it_leaves(masked):
    masked.answer = (
        b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
    kind = "Content-Type: application/json\r\nX-Other: a\r\n"
    with Tunnel(masked.gateway.proxy, masked.gateway.ca, masked.tokens.token()) as tunnel:
        sent = f'{{"a": 1.10, "b": "{CARD}"}}'.encode()
        reply = tunnel.ask("POST", f"/shown?q={CARD}", sent, kind)
        assert (reply.status, reply.body) == (200, b"{}")
        request = masked.request
        assert request.body == f'{{"a": 1.10, "b": "{STARS}"}}'.encode()
        assert request.header("Content-Length") == f"{len(request.body)}"
        assert request.line == f"POST /shown?q={STARS} HTTP/1.1"
        masked.request = None
        reply = tunnel.ask("POST", "/kept-in", sent, kind)
        assert reply.status == 403
        assert b"lets no request hold" in reply.body
        reply = tunnel.ask("POST", "/shown", sent, "Content-Type: image/png\r\n")
        assert (reply.status, masked.request) == (403, None)


def test_so_it_is_in_http_2(masked):
    masked.answer = (
        b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
    kind = (b"content-type", b"application/json")
    with Tunnel(
        masked.gateway.proxy, masked.gateway.ca, masked.tokens.token(), alpn=("h2",)
    ) as tunnel:
        agent = Agent2(tunnel)
        for path, status in ((b"/shown", 200), (b"/kept-in", 403)):
            masked.request = None
            number = agent.open(asking(b"POST", path, kind))
            for piece in (b'{"b": "4111', b"1111", b'11111111"}'):
                agent.give(number, piece)
            agent.give(number, b"", ends=True)
            assert agent.answer(number).status == status
            if status == 200:
                assert masked.request.body == f'{{"b": "{STARS}"}}'.encode()
            else:
                assert masked.request is None
