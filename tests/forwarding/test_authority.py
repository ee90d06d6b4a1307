"""The gateway's CA certificate: asked for, checked to be one, and put where clients read it."""

from __future__ import annotations

import socket
import ssl

import pytest
from forwarding.conftest import Hours
from forwarding.door import Door
from pytest_twisted import ensureDeferred
from support.counterparts import TestCA
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from jitgate.errors import ConfigurationInvalid
from jitgate.forwarding.answer import GatewayUnreachable
from jitgate.forwarding.authority import ANSWER_WITHIN, CA_BYTES, fetched, folder_for, placed
from jitgate.forwarding.hop import Address, Hop


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return TestCA.create(tmp_path_factory.mktemp("authority"))


def page(body, status="200 OK", length=True):
    said = f"Content-Length: {len(body)}\r\n" if length else ""
    return f"HTTP/1.1 {status}\r\n{said}\r\n".encode() + body


def giving(data):
    """A gateway that answers every request with these bytes, and ends."""
    return lambda stream: stream.sendall(data) or stream.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("length", [True, False])
@ensureDeferred
async def test_it_is_asked_for_without_a_token(ca, length):
    pem = ca.pem.read_bytes()
    with Door(giving(page(pem, length=length))) as door:
        hours = Hours()
        got = await fetched(Hop(Address("127.0.0.1", door.port), hours), hours)
        await deferToThread(door.over.wait, 10)
    assert got == pem
    (head,) = door.heads
    assert head == (
        b"GET http://jitgate.internal/ca.pem HTTP/1.1\r\n"
        b"Host: jitgate.internal\r\nConnection: close\r\n\r\n"
    )


@ensureDeferred
async def test_it_is_asked_for_over_tls(ca):
    pem = ca.pem.read_bytes()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf = ca.leaf("127.0.0.1")
    context.load_cert_chain(leaf.cert, leaf.key)
    with Door(giving(page(pem)), context) as door:
        hours = Hours()
        hop = Hop(Address("127.0.0.1", door.port, tls=True), hours, ca.pem)
        assert await fetched(hop, hours) == pem
        await deferToThread(door.over.wait, 10)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (page(b"no", "404 Not Found"), "answered 404 instead of its CA certificate"),
        (page(b"", "407 X"), "answered 407"),
        (b"SSH-2.0-x\r\n", "is no jitgate gateway"),
        (page(b"x" * (CA_BYTES + 1)), "is no jitgate gateway"),
        (page(b"x" * 10)[:-1], "is no jitgate gateway"),
        (b"", "is no jitgate gateway"),
    ],
)
@ensureDeferred
async def test_what_is_no_page_of_the_gateways_is_said(data, words):
    with Door(giving(data)) as door:
        hours = Hours()
        hop = Hop(Address("127.0.0.1", door.port), hours)
        with pytest.raises(GatewayUnreachable, match=words):
            await fetched(hop, hours)


@ensureDeferred
async def test_a_page_that_is_no_certificate_is_said():
    with Door(giving(page(b"<html>"))) as door:
        hours = Hours()
        with pytest.raises(ConfigurationInvalid, match="holds no certificate in PEM"):
            await fetched(Hop(Address("127.0.0.1", door.port), hours), hours)


@ensureDeferred
async def test_a_gateway_that_does_not_give_it_is_given_up_in_time():
    with Door(lambda stream: stream.recv(1)) as door:
        hours = Hours()
        hop = Hop(Address("127.0.0.1", door.port), hours)
        asking = Deferred.fromCoroutine(fetched(hop, hours))
        while not door.heads:
            await deferToThread(door.over.wait, 0.01)
        hours.clock.advance(ANSWER_WITHIN)
        with pytest.raises(GatewayUnreachable, match="within 10 s"):
            await asking
        await deferToThread(door.over.wait, 10)


def test_it_is_put_where_another_user_can_read_it_but_not_write(ca, tmp_path):
    pem = ca.pem.read_bytes()
    folder = folder_for(pem, tmp_path)
    file = placed(pem, folder)
    assert placed(pem, folder) == file
    assert (file.read_bytes(), [each.name for each in folder.iterdir()]) == (pem, ["ca.pem"])
    assert (folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o755, 0o644)
    assert folder_for(pem + b"\n", tmp_path) != folder


def test_where_it_cannot_be_put_is_said(ca, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationInvalid, match="cannot be written: "):
        placed(ca.pem.read_bytes(), tmp_path / "file" / "folder")
