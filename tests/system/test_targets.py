"""Targets that cannot be reached or trusted, and a disk that is full, before a real gateway."""

from __future__ import annotations

import socket
import subprocess
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.counterparts import TestCA
from support.gateway import GatewayProcess, health, settings, target, wait_for
from support.names import Zone, served
from support.proxies import Relay
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering


@pytest.fixture
def made(tmp_path):
    return tmp_path, TestCA.create(tmp_path, name="origin"), Tokens(tmp_path)


def asked(folder, tokens, targets, method="GET", **more):
    """One call through a gateway of its own: its answer and its outcome."""
    with GatewayProcess(folder, settings(folder, tokens.jwks, targets, **more)) as gateway:
        with Tunnel(gateway.proxy, gateway.ca, tokens.token()) as tunnel:
            reply = tunnel.ask(method, "/things")
        return reply, gateway.entries("outcome")[-1]


def test_a_target_that_refuses_connections_is_unreachable(made):
    folder, ca, tokens = made
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    reply, outcome = asked(folder, tokens, [target(port, ca.pem)])
    assert reply.status == 502
    assert b"upstream-unreachable" in reply.body
    assert b"connection refused" in reply.body
    assert outcome["denial"] == "upstream-unreachable"
    assert outcome["outcome"] == "failed"


def test_a_certificate_for_another_name_is_not_trusted_and_nothing_is_sent(made):
    folder, ca, tokens = made
    with Origin(ca.leaf("other.example"), answering(b"{}")) as origin:
        reply, outcome = asked(folder, tokens, [target(origin.port, ca.pem)], "POST")
        assert origin.received == []
    assert reply.status == 502
    assert b"upstream-untrusted" in reply.body
    assert outcome["denial"] == "upstream-untrusted"


def test_a_certificate_of_an_unknown_authority_is_not_trusted(made):
    folder, ca, tokens = made
    (folder / "b").mkdir()
    other = TestCA.create(folder / "b", name="other")
    with Origin(ca.leaf("api.example"), answering(b"{}")) as origin:
        reply, _ = asked(folder, tokens, [target(origin.port, other.pem)])
        assert origin.received == []
    assert b"upstream-untrusted" in reply.body


def test_a_name_that_points_inside_is_not_dialled(made):
    folder, ca, tokens = made
    inside = target(1, ca.pem, hosts=["localhost"])
    del inside["dial"]
    configuration = settings(folder, tokens.jwks, [inside])
    with GatewayProcess(folder, configuration) as gateway:
        how = {"authority": "localhost:443", "sni": "localhost"}
        with Tunnel(gateway.proxy, gateway.ca, tokens.token(), **how) as tunnel:
            tunnel.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            reply = tunnel.reply()
    assert reply.status == 502
    assert b"must not be dialled" in reply.body
    assert b"127.0.0.1" not in reply.body


SPELLINGS = [
    "api.example.:443",
    "api.example:0443",
    "127.1:443",
    "2130706433:443",
    "0177.0.0.1:443",
    "0x7f000001:443",
    "127.0.0.1.:443",
    "[::ffff:127.0.0.1]:443",
    "[::ffff:7f00:1]:443",
    "[0:0:0:0:0:0:0:1]:443",
    "[::1%lo]:443",
    "localhost:443",
]


def test_no_spelling_of_a_host_opens_a_tunnel_but_its_own(made):
    folder, ca, tokens = made
    hosts = ["api.example", "127.0.0.1", "[::1]"]
    configuration = settings(folder, tokens.jwks, [target(1, ca.pem, hosts=hosts)])
    with GatewayProcess(folder, configuration) as gateway:

        def status(authority):
            how = {"authority": authority, "sni": None}
            with Tunnel(gateway.proxy, gateway.ca, tokens.token(), **how) as tunnel:
                return tunnel.status

        assert [each for each in SPELLINGS if status(each) not in {400, 403}] == []
        assert [status(f"{host}:443") for host in [*hosts, "API.Example"]] == [200] * 4


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ("A 10.0.0.1", b"must not be dialled"),
        ("AAAA ::ffff:a9fe:a9fe", b"must not be dialled"),
        ("CNAME other.example", b"has no address"),
    ],
)
def test_name_servers_of_the_configuration_are_asked_and_not_believed(made, found, says):
    folder, ca, tokens = made
    named = target(1, ca.pem)
    del named["dial"]
    zone = Zone(f"api.example {found}")
    with served(zone) as (address, port):
        reply, outcome = asked(folder, tokens, [named], resolver=[f"{address}:{port}"])
    assert reply.status == 502
    assert says in reply.body
    assert outcome["outcome"] == "failed"
    assert ("api.example", "A", "udp") in zone.asked


def test_calls_and_token_calls_go_through_the_proxy_and_its_password_nowhere_else(made):
    folder, ca, tokens = made
    host = "acme.okta.example"
    secret(folder / "proxy.auth", b"Basic YWRhOnMzY3JldA==\n")
    key = ec.generate_private_key(ec.SECP256R1())
    secret(folder / "app.pem", key.private_bytes(*PEM))
    with Origin(ca.leaf(host), org) as origin, Relay(("127.0.0.1", origin.port)) as proxy:
        far = {
            "name": "okta",
            "hosts": [host],
            "catalog": "okta",
            "trust": str(ca.pem),
            "via": {
                "proxy": "{}:{}".format(*proxy.address),
                "authorization": f"file:{folder / 'proxy.auth'}",
            },
            "credential": {
                "type": "okta",
                "org": f"https://{host}",
                "client_id": "app",
                "key_id": "k1",
                "private_key": f"file:{folder / 'app.pem'}",
                "dpop": False,
            },
        }
        configuration = settings(folder, tokens.jwks, [far])
        with GatewayProcess(folder, configuration) as gateway:
            how = {"authority": f"{host}:443", "sni": host}
            with Tunnel(gateway.proxy, gateway.ca, tokens.token(), **how) as tunnel:
                tunnel.send(f"GET /api/v1/users HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                assert tunnel.reply().status == 200
            gateway.stop()
            said = "".join(gateway.output).encode()
        lines = [each.line for each in origin.received]
        seen = b"".join(each.head + each.body for each in origin.received)
    assert lines == [
        "POST /oauth2/v1/token HTTP/1.1",
        "GET /api/v1/users HTTP/1.1",
        "POST /oauth2/v1/revoke HTTP/1.1",
    ]
    assert [each.split(b"\r\n")[0] for each in proxy.heads] == [
        b"CONNECT acme.okta.example:443 HTTP/1.1"
    ] * 2
    assert all(b"YWRhOnMzY3JldA==" in each for each in proxy.heads)
    kept = b"".join(file.read_bytes() for file in gateway.recordings.rglob("*") if file.is_file())
    assert not [where for where in (said, seen, kept) if b"YWRhOnMzY3JldA" in where]


PEM = (
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)


def secret(file, value):
    file.touch(mode=0o600)
    file.write_bytes(value)


def org(request, peer):
    """An org as far as one call needs it."""
    token = b'{"access_token":"t0ken","token_type":"Bearer","expires_in":3600}'
    return answering(token if request.line.startswith("POST") else b"[]")(request, peer)


@pytest.mark.needs_root
def test_a_full_disk_stops_traffic_and_its_end_resumes_it(made):
    folder, ca, tokens = made
    state = folder / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "none", state], check=True)
    try:
        with Origin(ca.leaf("api.example"), answering(b'{"name":"Ada"}')) as origin:
            full_disk(folder, tokens, origin, ca)
    finally:
        subprocess.run(["umount", "-l", state], check=True)


def full_disk(folder, tokens, origin, ca):
    configuration = settings(folder, tokens.jwks, [target(origin.port, ca.pem)])
    with GatewayProcess(folder, configuration) as gateway:
        with Tunnel(gateway.proxy, gateway.ca, tokens.token()) as tunnel:
            assert tunnel.ask("GET", "/").status == 200
            filler = folder / "state" / "filler"
            with filler.open("wb", buffering=0) as file:
                fill(file)
            # The last page of a file may take a few more lines; the call that finds it full is
            # denied, and within half a second so is every other.
            wait_for(lambda: b"recorder-down" in tunnel.ask("GET", "/").body)
            time.sleep(0.5)
            before = len(origin.received)
            reply = tunnel.ask("POST", "/", b"{}")
            assert b"recorder-down" in reply.body
            assert len(origin.received) == before
            assert health(gateway)[0] == 503
            filler.unlink()
            wait_for(lambda: health(gateway)[0] == 200)
            assert tunnel.ask("POST", "/", b"{}").status == 200
        gateway.stop()


def fill(file):
    try:
        while True:
            file.write(b"x" * 4096)
    except OSError:
        return
