"""https://jitgate.internal through the real gateway: what an agent finds there, and what it does not."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys

import pytest
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering

US = "jitgate.internal"
RULES = [
    {
        "name": "look",
        "reason": "Agents of IT may look",
        "match": {"targets": ["okta"], "actions": ["list*", "get*"]},
        "effect": "permit",
    },
    {
        "name": "people",
        "reason": "Changes are looked at by IT",
        "match": {"targets": ["okta"], "actions": ["deactivateUser"]},
        "effect": "review",
        "approvers": {"groups": ["leads"], "quorum": 1},
    },
    {
        "name": "things",
        "reason": "Things are looked at by IT",
        "match": {"targets": ["things"]},
        "effect": "review",
        "approvers": {"groups": ["leads"], "quorum": 1},
    },
]


class Desk:
    """A gateway with an approver, and the ways to it."""

    def __init__(self, gateway, origin, tokens):
        self.gateway, self.origin, self.tokens = gateway, origin, tokens

    def ours(self, token=None, **how):
        """A tunnel to the gateway itself."""
        token = token or self.tokens.token()
        how = {"authority": f"{US}:443", "sni": US, **how}
        return Tunnel(self.gateway.proxy, self.gateway.ca, token, **how)

    def ask(self, method, path, token=None, headers="", body=b""):
        with self.ours(token) as tunnel:
            return asked(tunnel, method, path, headers, body)

    def waiting(self, body=b'{"why":"left"}'):
        """The id of an access request for a call that its agent asked to hear of later."""
        with Tunnel(self.gateway.proxy, self.gateway.ca, self.tokens.token()) as tunnel:
            prefer = "Prefer: respond-async\r\nContent-Type: application/json\r\n"
            reply = tunnel.ask("POST", "/things/7", body, prefer)
        assert reply.status == 202
        return json.loads(reply.body)["task"]["id"]

    def says(self, answer, key):
        command = [sys.executable, "-m", "jitgate", answer, key, "--config"]
        subprocess.run([*command, str(self.gateway.config)], check=True, capture_output=True)

    def plain(self, sent):
        """What is got without a tunnel."""
        with socket.create_connection(self.gateway.proxy, 10) as raw:
            raw.sendall(sent)
            data = b""
            while more := raw.recv(65536):
                data += more
        return data


def asked(tunnel, method, path, headers="", body=b"", host=US):
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    tunnel.send(
        f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}{length}\r\n".encode() + body
    )
    return tunnel.reply(method)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    ca, tokens = TestCA.create(folder, name="origin"), Tokens(folder)
    (folder / "policy.yaml").write_text(json.dumps(RULES))
    with Origin(ca.leaf("api.example"), answering(b"{}")) as origin:
        okta = target(origin.port, ca.pem) | {
            "name": "okta",
            "hosts": ["acme.okta.example"],
            "catalog": "okta",
        }
        configuration = settings(
            folder,
            tokens.jwks,
            [target(origin.port, ca.pem), okta],
            control={"approvers": {os.getuid(): "alice@acme.com"}},
            approvals={"hold": "2s", "groups": {"leads": ["alice@acme.com"]}},
        )
        with GatewayProcess(folder, configuration) as gateway:
            yield Desk(gateway, origin, tokens)
            assert not [
                line for line in gateway.output if "Traceback" in line or "#critical]" in line
            ], "".join(gateway.output)


def test_an_agent_reads_who_it_is_and_what_it_may_call(desk):
    reply = desk.ask("GET", "/")
    assert reply.status == 200
    assert reply.header("Content-Type") == "text/markdown; charset=utf-8"
    told = reply.body.decode()
    assert "You are `bot-7` of https://idp.example. Groups: `it-agents`." in told
    assert "### okta: acme.okta.example (776 operations)" in told
    assert "deactivateUser: POST /api/v1/users/{id}/lifecycle/deactivate" in told
    assert "### things: api.example\n" in told
    content = json.loads(desk.ask("GET", "/", headers="Accept: application/json\r\n").body)
    (okta,) = [each for each in content["targets"] if each["target"] == "okta"]
    permitted, reviewed, denied = okta["operations"]
    assert "listUsers" in [each["action"] for each in permitted["list"]]
    assert [each["action"] for each in reviewed["list"]] == ["deactivateUser"]
    assert permitted["count"] + reviewed["count"] + denied["count"] == 776


def test_all_of_it_on_one_connection(desk):
    with desk.ours() as tunnel:
        for _ in range(3):
            assert asked(tunnel, "GET", "/manifest.json").status == 200
            assert asked(tunnel, "HEAD", "/manifest").body == b""
            assert asked(tunnel, "GET", "/none").status == 404


def test_the_ca_is_the_one_that_made_the_leaf(desk):
    assert desk.ask("GET", "/ca.pem").body == desk.gateway.ca.read_bytes()


def test_whoever_has_no_ca_yet_gets_it_without_tls(desk):
    data = desk.plain(
        b"GET http://jitgate.internal/ca.pem HTTP/1.1\r\nHost: jitgate.internal\r\n\r\n"
    )
    assert data.partition(b"\r\n\r\n")[2] == desk.gateway.ca.read_bytes()
    data = desk.plain(b"GET http://jitgate.internal/ HTTP/1.1\r\nHost: jitgate.internal\r\n\r\n")
    assert b"Nobody yet" in data
    assert b"okta.example" not in data


def test_an_agent_asks_later_and_sends_again_once_it_is_approved(desk):
    key = desk.waiting(b'{"why":"approved"}')
    page = desk.ask("GET", f"/access-requests/{key}")
    assert (json.loads(page.body)["task"]["status"], page.header("Retry-After")) == ("pending", "5")
    desk.says("approve", key)
    content = json.loads(desk.ask("GET", f"/access-requests/{key}").body)
    assert content["task"]["status"] == "approved"
    assert content["result"]["jitgate.internal/uses_left"] == 1
    with Tunnel(desk.gateway.proxy, desk.gateway.ca, desk.tokens.token()) as tunnel:
        prefer = "Prefer: respond-async\r\nContent-Type: application/json\r\n"
        assert tunnel.ask("POST", "/things/7", b'{"why":"approved"}', prefer).status == 200
    content = json.loads(desk.ask("GET", f"/access-requests/{key}").body)
    assert content["result"]["jitgate.internal/uses_left"] == 0


def test_a_person_says_no_and_the_agent_reads_it(desk):
    key = desk.waiting(b'{"why":"denied"}')
    desk.says("deny", key)
    content = json.loads(desk.ask("GET", f"/access-requests/{key}").body)
    assert content["task"]["status"] == "denied"
    assert "alice@acme.com" in content["task"]["display"]["description"]


def test_an_agent_withdraws_its_request_where_the_202_said(desk):
    with Tunnel(desk.gateway.proxy, desk.gateway.ca, desk.tokens.token()) as tunnel:
        reply = tunnel.ask("POST", "/things/8", headers="Prefer: respond-async\r\n")
    task = json.loads(reply.body)["task"]
    assert reply.header("Location") == task["status_endpoint"]
    path = task["links"]["cancel"].removeprefix(f"https://{US}")
    page = desk.ask("POST", path, headers="Content-Type: application/json\r\n", body=b"{}")
    assert (page.status, json.loads(page.body)["task"]["status"]) == (200, "cancelled")
    assert desk.ask("POST", path).status == 409


def test_a_refusals_type_leads_to_its_page(desk):
    with Tunnel(desk.gateway.proxy, desk.gateway.ca, desk.tokens.token()) as tunnel:
        reply = tunnel.ask("POST", "/things/9")
    refusal = json.loads(reply.body)
    page = desk.ask("GET", refusal["type"].removeprefix(f"https://{US}"))
    assert b"# The operation waits for approval" in page.body
    page = desk.ask("GET", refusal["access_request"]["url"].removeprefix(f"https://{US}"))
    assert json.loads(page.body)["task"]["id"] == refusal["access_request"]["id"]


# --- attacks


def test_another_agent_cannot_tell_that_a_request_is_there(desk):
    key = desk.waiting(b'{"why":"another"}')
    stranger = desk.tokens.token("bot-8")
    other = f"a-{'0' * 16}"
    for method, tail in [("GET", ""), ("DELETE", ""), ("POST", "/cancel")]:
        mine = desk.ask(method, f"/access-requests/{key}{tail}", stranger)
        none = desk.ask(method, f"/access-requests/{other}{tail}", stranger)
        assert mine.status == none.status == 404
        assert (mine.body, mine.headers) == (none.body, none.headers)
    assert (
        json.loads(desk.ask("GET", f"/access-requests/{key}").body)["task"]["status"] == "pending"
    )


def test_an_agent_without_a_token_is_sent_away_before_tls(desk):
    with Tunnel(desk.gateway.proxy, desk.gateway.ca, None, f"{US}:443", US) as tunnel:
        assert tunnel.status == 407


@pytest.mark.parametrize("life", [-5, None])
def test_a_refused_token_reads_nothing(desk, life):
    token = "forged" if life is None else desk.tokens.token(life=life)
    for path in ("/manifest", "/ca.pem", "/access-requests/a-1"):
        reply = desk.ask("GET", path, token)
        assert (reply.status, b"token-refused" in reply.body) == (401, True)


def test_one_tunnel_is_for_one_host(desk):
    with desk.ours() as tunnel:
        assert asked(tunnel, "GET", "/manifest", host="api.example").status == 421
    with Tunnel(desk.gateway.proxy, desk.gateway.ca, desk.tokens.token()) as tunnel:
        assert asked(tunnel, "GET", "/manifest", host=US).status == 421
    assert desk.origin.received == [] or all("manifest" not in r.line for r in desk.origin.received)


def test_another_server_name_is_421_and_another_port_no_tunnel(desk):
    tunnel = desk.ours(sni=None)  # no name is taken to mean the CONNECT host
    assert asked(tunnel, "GET", "/ca.pem").status == 200
    tunnel.close()
    tunnel = unchecked(desk, "api.example")
    assert asked(tunnel, "GET", "/manifest").status == 421
    tunnel.close()
    with Tunnel(
        desk.gateway.proxy, desk.gateway.ca, desk.tokens.token(), f"{US}:8443", US
    ) as other:
        assert other.status == 403


def unchecked(desk, sni):
    """A tunnel to the gateway itself whose client asks for another server name."""
    tunnel = Tunnel.__new__(Tunnel)
    tunnel.raw = socket.create_connection(desk.gateway.proxy, 10)
    tunnel.raw.sendall(
        b"CONNECT jitgate.internal:443 HTTP/1.1\r\nHost: jitgate.internal:443\r\n"
        b"Proxy-Authorization: Bearer %b\r\n\r\n" % desk.tokens.token().encode()
    )
    tunnel.answer = tunnel._head()
    context = ssl.create_default_context(cafile=str(desk.gateway.ca))
    context.check_hostname = False
    tunnel.tls = context.wrap_socket(tunnel.raw, server_hostname=sni)
    return tunnel


@pytest.mark.parametrize(
    "path",
    [
        "/access-requests/../ca.pem",
        "/access-requests/%2e%2e/ca.pem",
        "/access-requests/%2E./ca.pem",
        "/access-requests/a%0d%0aSet-Cookie:%20x=y",
        "/access-requests/a%2fcancel",
        "/ca.pem?_method=DELETE",
        "//ca.pem",
        "/.//ca.pem",
        "http://jitgate.internal/ca.pem",
        "*",
    ],
)
def test_a_path_with_two_readings_is_refused(desk, path):
    reply = desk.ask("GET", path)
    assert reply.status == 400
    assert b"BEGIN CERTIFICATE" not in reply.body
    assert reply.header("Set-Cookie") is None


def test_a_huge_body_is_not_listened_to(desk):
    with desk.ours() as tunnel:
        head = f"POST /access-requests/a-1/cancel HTTP/1.1\r\nHost: {US}\r\n"
        tunnel.send(f"{head}Content-Length: {50 * 1024 * 1024}\r\n\r\n".encode())
        tunnel.send(b"x" * 200_000)
        assert tunnel.reply().status == 413
        with contextlib.suppress(OSError):
            for _ in range(40):
                tunnel.send(b"x" * 65536)
            assert tunnel.tls.recv(1) == b""
    taken = [each["request"]["bytes"] for each in desk.gateway.entries("outcome")]
    assert max(taken) < 100_000


def test_a_body_that_is_only_too_large_for_us_is_answered(desk):
    with desk.ours() as tunnel:
        assert asked(tunnel, "GET", "/manifest", body=b"x" * 20_000).status == 413


def test_a_body_that_waits_for_leave_gets_it(desk):
    with desk.ours() as tunnel:
        tunnel.send(
            f"POST /access-requests/a-1/cancel HTTP/1.1\r\nHost: {US}\r\nContent-Length: 2\r\n"
            "Expect: 100-continue\r\n\r\n".encode()
        )
        assert tunnel.tls.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        tunnel.send(b"{}")
        assert tunnel.reply().status == 404


def test_a_method_in_a_field_is_not_obeyed(desk):
    key = desk.waiting(b'{"why":"override"}')
    path = f"/access-requests/{key}"
    assert desk.ask("GET", path, headers="X-HTTP-Method-Override: DELETE\r\n").status == 400
    assert json.loads(desk.ask("GET", path).body)["task"]["status"] == "pending"


def test_pipelined_questions_are_answered_in_their_order(desk):
    with desk.ours() as tunnel:
        paths = ["/ca.pem", "/manifest.json", "/none", "/problems/fault"] * 5
        tunnel.send(
            b"".join(
                b"GET %b HTTP/1.1\r\nHost: jitgate.internal\r\n\r\n" % p.encode() for p in paths
            )
        )
        statuses = [tunnel.reply().status for _ in paths]
    assert statuses == [200, 200, 404, 200] * 5


def test_rules_in_files_do_not_reach_the_gateways_own_pages(desk):
    """The rules of this site permit nothing here, and one denies nothing either."""
    entries = [
        each
        for each in desk.gateway.entries("decision")
        if (each["operation"] or {}).get("target") == US and each["effect"] == "permit"
    ]
    assert entries
    assert {each["rule"] for each in entries} == {"jitgate-internal"}
