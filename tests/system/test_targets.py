"""Targets that cannot be reached or trusted, and a disk that is full, before a real gateway."""

from __future__ import annotations

import socket
import subprocess
import time

import pytest
from support.counterparts import TestCA
from support.gateway import GatewayProcess, health, settings, target
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering


@pytest.fixture
def made(tmp_path):
    return tmp_path, TestCA.create(tmp_path, name="origin"), Tokens(tmp_path)


def asked(folder, tokens, targets, method="GET"):
    """One call through a gateway of its own: its answer and its outcome."""
    with GatewayProcess(folder, settings(folder, tokens.jwks, targets)) as gateway:
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
            deadline = time.monotonic() + 10
            while b"recorder-down" not in tunnel.ask("GET", "/").body:
                assert time.monotonic() < deadline
            time.sleep(0.5)
            before = len(origin.received)
            reply = tunnel.ask("POST", "/", b"{}")
            assert b"recorder-down" in reply.body
            assert len(origin.received) == before
            assert health(gateway)[0] == 503
            filler.unlink()
            deadline = time.monotonic() + 10
            while health(gateway)[0] != 200:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert tunnel.ask("POST", "/", b"{}").status == 200
        gateway.stop()


def fill(file):
    try:
        while True:
            file.write(b"x" * 4096)
    except OSError:
        return
