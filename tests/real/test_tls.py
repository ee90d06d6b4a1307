"""The pump against TLS that nobody here wrote: OpenSSL's tools, curl, the standard library."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import subprocess

import pytest
from OpenSSL import SSL
from pytest_twisted import ensureDeferred
from support.counterparts import TestCA
from support.pumped import Inner
from support.wire import PATIENCE
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from jitgate.tls import TlsPump

HOST = "api.example"
VERSIONS = ["-tls1_2", "-tls1_3"]
SIZE = 10 * 1024 * 1024


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return TestCA.create(tmp_path_factory.mktemp("ca"))


class Served:
    """A pump on every connection to a port, and what is inside of the last."""

    def __init__(self, ca, act):
        self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        leaf = ca.leaf(HOST)
        self.context.use_certificate_file(str(leaf.cert))
        self.context.use_privatekey_file(str(leaf.key))
        self.inner = None
        self.act = act

    def pump(self):
        engine = SSL.Connection(self.context, None)
        self.inner = Inner()
        self.inner.at["data"] = lambda: self.act(self.inner)
        return TlsPump(engine, self.inner, serves=True)

    async def listen(self):
        factory = Factory.forProtocol(self.pump)
        factory.noisy = False
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        self.port = await endpoint.listen(factory)
        self.number = self.port.getHost().port

    async def stop(self):
        await self.port.stopListening()
        if self.inner is not None:
            if self.inner.reason is None:
                self.inner.transport.abortConnection()
            await until(lambda: self.inner.reason is not None)


async def until(seen):
    for _ in range(int(PATIENCE * 200)):
        if seen():
            return
        await deferLater(reactor, 0.005)
    raise AssertionError("it never came about")


def echo(inner):
    inner.transport.write(inner.data)
    inner.data = b""


def page(inner):
    if inner.data.endswith(b"\r\n\r\n"):
        body = b"x" * 300_000
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        inner.transport.write(head + body)
        inner.transport.loseConnection()


def client(ca, number, *more, said=b""):
    """What OpenSSL's client has to say about a server."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{number}", "-servername", HOST]
    trust = ["-CAfile", str(ca.pem), "-verify_return_error"]
    done = subprocess.run(
        [*command, *trust, *more], input=said, capture_output=True, timeout=PATIENCE, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.needs_debian("openssl")
@pytest.mark.parametrize("version", VERSIONS)
@ensureDeferred
async def test_openssl_reads_all_of_an_answer(ca, version):
    served = Served(ca, page)
    await served.listen()
    asked = b"GET / HTTP/1.1\r\n\r\n"
    status, said = await deferToThread(
        client, ca, served.number, version, "-quiet", "-ign_eof", said=asked
    )
    assert (status, said.count(b"x" * 300_000)) == (0, 1)
    await served.stop()


@pytest.mark.needs_debian("openssl")
@ensureDeferred
async def test_openssl_may_not_renegotiate(ca):
    served = Served(ca, echo)
    await served.listen()
    _, said = await deferToThread(client, ca, served.number, "-tls1_2", said=b"R\n")
    assert b"RENEGOTIATING" in said
    assert b"no renegotiation" in said
    await served.stop()


@pytest.mark.needs_debian("openssl")
@ensureDeferred
async def test_openssl_may_change_its_keys(ca):
    served = Served(ca, echo)
    await served.listen()
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{served.number}", "-tls1_3"]
    with started(*command) as process:
        for line in (b"K\n", b"k\n", b"still here\n", b"Q\n"):
            await until(lambda: served.inner is not None and "shaken" in served.inner.heard)
            process.stdin.write(line)
            process.stdin.flush()
            if line.startswith(b"still"):
                await until(lambda: "data" in served.inner.heard)
            await deferLater(reactor, 0.05)  # s_client takes one command of each thing it reads
        said = await deferToThread(process.stdout.read)
    assert said.count(b"KEYUPDATE") == 2
    assert b"still here" in said
    await served.stop()


@pytest.mark.needs_debian("openssl")
@pytest.mark.parametrize("version", VERSIONS)
@ensureDeferred
async def test_openssl_serves_the_pump_and_may_not_renegotiate(ca, version):
    leaf = ca.leaf(HOST)
    command = ["openssl", "s_server", "-accept", "127.0.0.1:0", "-naccept", "1", version]
    with started(*command, "-cert", leaf.cert, "-key", leaf.key) as process:
        line = b""
        while not line.startswith(b"ACCEPT"):
            line = await deferToThread(process.stdout.readline)
        number = int(line.rpartition(b":")[2])
        inner, engine = await dialled(ca, number)
        inner.transport.write(b"from the pump\n")
        await until(lambda: "shaken" in inner.heard)
        # "r" asks for a renegotiation, and may end the server; "Q" ends it. It takes one command of
        # each thing that it reads.
        for said in (b"from the server\n", b"r\n", b"Q\n"):
            await deferLater(reactor, 0.1)
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(said)
                process.stdin.flush()
        await until(lambda: inner.reason is not None)
        assert b"from the server\n" in inner.data
        assert engine.total_renegotiations() == 0
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        heard = await deferToThread(process.stdout.read)
    assert b"from the pump" in heard


def started(*command):
    """A tool that is spoken to while it runs."""
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT)


async def dialled(ca, number):
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.load_verify_locations(str(ca.pem))
    context.set_verify(SSL.VERIFY_PEER, lambda *seen: seen[-1])
    engine = SSL.Connection(context, None)
    inner = Inner()
    factory = Factory.forProtocol(lambda: TlsPump(engine, inner))
    factory.noisy = False
    await TCP4ClientEndpoint(reactor, "127.0.0.1", number).connect(factory)
    return inner, engine


@pytest.mark.needs_debian("curl")
@pytest.mark.parametrize("version", ["--tls-max=1.2", "--tlsv1.3"])
@ensureDeferred
async def test_curl_reads_all_of_an_answer(ca, version):
    served = Served(ca, page)
    await served.listen()
    flags = version.split("=")
    where = f"https://{HOST}:{served.number}/"
    command = ["curl", "-sS", *flags, "--cacert", ca.pem, "--noproxy", "*", where]
    there = ["--resolve", f"{HOST}:{served.number}:127.0.0.1"]
    done = await deferToThread(
        subprocess.run, [*command, *there], capture_output=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"x" * 300_000)
    await served.stop()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@ensureDeferred
async def test_ten_mebibytes_go_both_ways_at_odd_sizes(ca, version):
    served = Served(ca, echo)
    await served.listen()
    sent = bytes(range(251)) * (SIZE // 251 + 1)
    assert await deferToThread(through, ca, served.number, version, sent) == sent
    await served.stop()


def through(ca, number, version, sent):
    """Send all while reading what comes back, and close in order."""
    context = ssl.create_default_context(cafile=str(ca.pem))
    context.minimum_version = context.maximum_version = version
    raw = socket.create_connection(("127.0.0.1", number), PATIENCE)
    back, taken, room = bytearray(), 0, (ssl.SSLWantReadError, ssl.SSLWantWriteError)
    with context.wrap_socket(raw, server_hostname=HOST) as peer:
        peer.setblocking(False)
        while len(back) < len(sent):
            with contextlib.suppress(*room):
                while taken < len(sent):
                    taken += peer.send(sent[taken : taken + 33_333])
            select.select([peer], [peer] if taken < len(sent) else [], [], PATIENCE)
            with contextlib.suppress(*room):
                while more := peer.recv(70_001):
                    back += more
        peer.settimeout(PATIENCE)
        peer.unwrap()
    return bytes(back)
