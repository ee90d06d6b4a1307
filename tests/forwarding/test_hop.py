"""The hop to the gateway: which addresses there are, and what TLS on it keeps and passes on."""

from __future__ import annotations

import socket
import ssl
import threading
import time

import pytest
from forwarding.conftest import TOKEN, Hours
from forwarding.door import OK, Door, all_of, connect_bytes, cut, dialled, head_of
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from support.counterparts import TestCA
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from jitgate.errors import ConfigurationInvalid
from jitgate.forwarding.answer import GatewayUnreachable
from jitgate.forwarding.hop import CONNECT_WITHIN, Address, Hop, HopProtocol, certificates

# --- addresses


@pytest.mark.parametrize(
    ("url", "address", "exposed"),
    [
        ("http://127.0.0.1:8080", Address("127.0.0.1", 8080), False),
        ("http://127.9.9.9:8080/", Address("127.9.9.9", 8080), False),
        ("HTTP://LocalHost:1", Address("localhost", 1), False),
        ("http://[::1]:8080", Address("::1", 8080), False),
        ("http://gateway.example:8080", Address("gateway.example", 8080), True),
        ("http://localhost.example:8080", Address("localhost.example", 8080), True),
        ("http://10.0.0.1:8080", Address("10.0.0.1", 8080), True),
        ("http://0.0.0.0:8080", Address("0.0.0.0", 8080), True),
        ("https://gateway.example:443", Address("gateway.example", 443, tls=True), False),
        ("https://10.0.0.1:443", Address("10.0.0.1", 443, tls=True), False),
    ],
)
def test_an_address_is_read_and_told_to_be_exposed_or_not(url, address, exposed):
    assert Address.read(url) == address
    assert address.exposed is exposed
    assert Address.read(f"{address}") == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8080",
        "http://127.0.0.1",
        "http://:8080",
        "http://127.0.0.1:0",
        "http://127.0.0.1:70000",
        "http://127.0.0.1:8080/path",
        "http://127.0.0.1:8080?x",
        "http://127.0.0.1:8080#x",
        "socks5://127.0.0.1:8080",
        "http://[::1:8080",
        "http://bad host:8080",
        "http://bad_\u00e9:8080",
        f"http://run:{TOKEN}@127.0.0.1:8080",
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(url):
    with pytest.raises(ConfigurationInvalid) as refused:
        Address.read(url)
    assert TOKEN not in f"{refused.value}"


@given(st.text())
def test_any_text_is_an_address_or_is_refused(url):
    try:
        address = Address.read(url)
    except ConfigurationInvalid:
        return
    assert Address.read(f"{address}") == address


# --- TLS


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return TestCA.create(tmp_path_factory.mktemp("hop"), name="hop")


def serving(ca, *hosts):
    """A server's context with a certificate for these hosts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf = ca.leaf(*hosts)
    context.load_cert_chain(leaf.cert, leaf.key)
    return context


def reason_of(answer):
    return answer.split(b"\r\n")[0].decode()


def answer_to(stage):
    with dialled(stage.forwarder.port, connect_bytes(stage.admitted())) as stream:
        return all_of(stream)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@ensureDeferred
async def test_a_gateway_whose_certificate_is_for_its_name_is_used(staged, door, ca, host):
    door.context = serving(ca, host)
    stage = await staged(Address(host, door.port, tls=True), ca.pem)

    def story():
        with stage.asking() as stream:
            stream.sendall(b"ping")
            return all_of(stream)

    door.handler = lambda stream: stream.sendall(OK) or stream.sendall(stream.recv(4))
    assert await deferToThread(story) == OK + b"ping"
    assert len(door.heads) == 1


@pytest.mark.parametrize(
    ("names", "trusted", "words"),
    [
        (("gateway.example",), True, "its certificate is not for the name 127.0.0.1"),
        (("*",), True, "its certificate is not for the name 127.0.0.1"),
        (("127.0.0.1",), False, "its certificate is not trusted"),
    ],
)
@ensureDeferred
async def test_a_gateway_with_a_wrong_certificate_is_told_nothing(
    staged, door, ca, tmp_path, names, trusted, words
):
    heard = []
    door.context = serving(ca, *names)
    door.handler = heard.append
    trust = ca.pem if trusted else TestCA.create(tmp_path, name="another").pem
    stage = await staged(Address("127.0.0.1", door.port, tls=True), trust)
    answer = await deferToThread(answer_to, stage)
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert words in reason_of(answer)
    assert stage.said == [reason_of(answer).removeprefix("HTTP/1.1 502 ")]
    await deferToThread(door.over.wait, 10)
    assert (heard, [head for head in door.heads if head]) == ([], [])


@ensureDeferred
async def test_the_systems_bundle_is_trusted_where_none_is_named(staged, door, ca):
    door.context = serving(ca, "127.0.0.1")
    stage = await staged(Address("127.0.0.1", door.port, tls=True))
    assert "is not trusted" in reason_of(await deferToThread(answer_to, stage))


@ensureDeferred
async def test_plain_and_tls_taken_for_each_other_is_said(staged, door, ca):
    door.handler = lambda stream: stream.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    stage = await staged(Address("127.0.0.1", door.port, tls=True), ca.pem)

    def as_plain(raw):
        raw.recv(64)
        raw.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    door._handle = as_plain
    assert "begins with http://" in reason_of(await deferToThread(answer_to, stage))
    stage = await staged(Address("127.0.0.1", door.port))
    del door._handle
    door.context = serving(ca, "127.0.0.1")
    answer = reason_of(await deferToThread(answer_to, stage))
    assert "is no proxy" in answer or "without an answer" in answer


@ensureDeferred
async def test_a_handshake_that_does_not_end_is_given_up_in_time(staged, door, ca):
    door._handle = lambda raw: raw.recv(8192) and raw.recv(1)
    stage = await staged(Address("127.0.0.1", door.port, tls=True), ca.pem)
    answering = deferToThread(answer_to, stage)
    while not door.connections:
        await deferToThread(threading.Event().wait, 0.01)
    stage.hours.clock.advance(CONNECT_WITHIN)
    assert "did not take a connection within 10 s" in reason_of(await answering)


@ensureDeferred
async def test_over_tls_the_agents_end_is_an_orderly_end_and_a_cut_is_a_cut(staged, door, ca):
    door.context = serving(ca, "127.0.0.1")
    got = []
    door.handler = lambda stream: stream.sendall(OK) or got.append(all_of(stream))
    stage = await staged(Address("127.0.0.1", door.port, tls=True), ca.pem)

    def story(end):
        door.over.clear()
        stream = stage.asking()
        head_of(stream)
        stream.sendall(b"bye")
        end(stream)
        assert door.over.wait(10)
        stream.close()

    await deferToThread(story, lambda stream: stream.shutdown(socket.SHUT_WR))
    assert (got, door.faults) == ([b"bye"], [])
    await deferToThread(story, cut)
    assert got == [b"bye"]
    assert len(door.faults) == 1


@pytest.mark.parametrize("end", [lambda stream: stream.unwrap(), lambda stream: None])
@ensureDeferred
async def test_over_tls_the_gateways_end_comes_after_its_last_bytes(staged, door, ca, end):
    size = 4 * 1024 * 1024
    door.context = serving(ca, "127.0.0.1")
    door.handler = lambda stream: (stream.sendall(OK + bytes(size)), stream.recv(1), end(stream))
    stage = await staged(Address("127.0.0.1", door.port, tls=True), ca.pem)

    def story():
        with stage.asking() as stream:
            head_of(stream)
            time.sleep(0.3)
            got = sum(len(stream.recv(65536)) for _ in range(8))
            stream.sendall(b"x")
            return got + len(all_of(stream))

    assert await deferToThread(story) == size


@ensureDeferred
async def test_large_bodies_pass_over_tls(staged, door, ca):
    size, piece = 32 * 1024 * 1024, bytes(range(256)) * 256
    door.context = serving(ca, "127.0.0.1")

    def echo(stream):
        stream.sendall(OK)
        left = size
        while left:
            data = stream.recv(65536)
            left -= len(data)
            stream.sendall(data)

    door.handler = echo
    stage = await staged(Address("127.0.0.1", door.port, tls=True), ca.pem)

    def story():
        with stage.asking() as stream:
            head_of(stream)
            sending = threading.Thread(target=stream.sendall, args=(piece * (size // len(piece)),))
            sending.start()
            got = bytearray()
            while len(got) < size and (data := stream.recv(65536)):
                got += data
            sending.join()
            return bytes(got)

    assert await deferToThread(story) == piece * (size // len(piece))


# --- names


@ensureDeferred
async def test_a_name_that_is_not_known_is_said():
    hop = Hop(Address("gateway.invalid", 8080), Hours())
    with pytest.raises(GatewayUnreachable, match="its name is not known"):
        await hop.connect(HopProtocol)


@ensureDeferred
async def test_a_connection_that_ends_is_just_gone_once_it_was_ready(door):
    with Door(lambda stream: None) as other:
        hop = Hop(Address("127.0.0.1", other.port), reactor)
        protocol = await hop.connect(HopProtocol)
        protocol.abort()
        await deferToThread(other.over.wait, 10)


def test_of_a_pem_file_only_the_certificates_are_taken(ca):
    leaf = ca.leaf("a.example")
    kept = certificates(leaf.key.read_bytes() + leaf.cert.read_bytes() + b"text\n", "it")
    assert kept == leaf.cert.read_bytes()
    with pytest.raises(ConfigurationInvalid, match="it holds no certificate in PEM"):
        certificates(leaf.key.read_bytes(), "it")
