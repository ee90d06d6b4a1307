"""The proxy port's own certificate, and the port over TLS: what agents meet before the tunnel."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
)
from pytest_twisted import ensureDeferred
from support.counterparts import TestCA
from support.listening import Door, hung_up, until
from support.ports import Stand
from support.self_signed import KEY, pem, self_signed
from support.wire import ProxyTls
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread

from jitgate.core.limits import LIMITS
from jitgate.errors import UpstreamUnreachable
from jitgate.proxy.certificate import PortCertificate, PortTls


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return TestCA.create(tmp_path_factory.mktemp("hop"), name="hop")


def certificate(leaf):
    return PortCertificate.read(leaf.cert.read_bytes(), leaf.key.read_bytes())


@pytest.mark.parametrize(
    "key",
    [KEY, rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())],
    ids=["P-256", "RSA-2048", "P-384"],
)
def test_a_certificate_with_its_key_can_be_served(key):
    assert (
        PortCertificate.read(self_signed(key), pem(key)).doubt(datetime.now(UTC).timestamp())
        is None
    )


@pytest.mark.parametrize(
    ("chain", "key", "why"),
    [
        (b"no certificate", pem(KEY), "holds none in PEM"),
        (self_signed(KEY), b"no key", "not one in PEM"),
        (self_signed(KEY), pem(KEY, BestAvailableEncryption(b"x")), "without a password"),
        (self_signed(KEY), pem(ec.generate_private_key(ec.SECP256R1())), "not that of the first"),
    ],
    ids=["certificate", "key", "password", "another"],
)
def test_what_cannot_be_served_is_said_in_words(chain, key, why):
    with pytest.raises(ValueError, match=why):
        PortCertificate.read(chain, key)


def test_a_key_too_small_for_tls_is_said_in_words():
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 (it is to be refused)
    with pytest.raises(ValueError, match="cannot be used for TLS"):
        PortCertificate.read(self_signed(key), pem(key))


def test_one_out_of_time_is_doubted():
    now = datetime.now(UTC).timestamp()
    expired = PortCertificate.read(self_signed(KEY, -9, -2), pem(KEY))
    early = PortCertificate.read(self_signed(KEY, 2, 9), pem(KEY))
    assert "has expired" in expired.doubt(now)
    assert "not valid before" in early.doubt(now)


def test_no_key_shows():
    assert "0x" not in repr(PortCertificate.read(self_signed(KEY), pem(KEY)))


# --- the port


@pytest.fixture
def made(ca, tmp_path):
    """A door over TLS, its certificate for localhost."""
    return Door(tmp_path, Stand(), tls=PortTls(certificate(ca.leaf("localhost"))).connection)


@ensureDeferred
async def test_a_call_passes_both_ways_through_tls_in_tls(made, ca):
    await made.listener.start()
    tunnel = await made.tunnel(over=ProxyTls(ca.pem))
    for _ in range(3):
        reply = await deferToThread(tunnel.ask, "GET", "/things")
        assert (reply.status, reply.body) == (200, b'{"name":"Ada"} ')
    tunnel.close()
    await made.stop()


@pytest.mark.parametrize("size", [3_000_000])
@ensureDeferred
async def test_large_bodies_pass_both_ways(made, ca, size):
    await made.listener.start()
    made.stand.pieces = tuple(b"%05d" % n * 2000 for n in range(size // 10_000))
    made.stand.answer = made.stand.answer.__class__(200, (), size)
    tunnel = await made.tunnel(over=ProxyTls(ca.pem))
    turns = LoopingCall(made.stand.clock.advance, 0)  # what is long lets others have theirs
    turns.start(0.001)
    reply = await deferToThread(tunnel.ask, "POST", "/things", b"x" * size)
    turns.stop()
    assert reply.body == b"".join(made.stand.pieces)
    assert made.stand.sent[0][1] == b"x" * size
    tunnel.close()
    await made.stop()


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [((), None), (("http/1.1",), "http/1.1"), (("h2", "http/1.1"), "http/1.1")],
)
@ensureDeferred
async def test_http_1_1_is_spoken(made, ca, offered, chosen):
    await made.listener.start()
    tunnel = await made.tunnel(over=ProxyTls(ca.pem, alpn=offered))
    assert tunnel.raw.selected_alpn_protocol() == chosen
    assert tunnel.raw.version() in {"TLSv1.2", "TLSv1.3"}
    tunnel.close()
    await made.stop()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@ensureDeferred
async def test_old_tls_is_refused(made, ca):
    await made.listener.start()

    def old():
        context = ssl.create_default_context(cafile=str(ca.pem))
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with socket.create_connection(made.address, 10) as raw:
            context.wrap_socket(raw, server_hostname="localhost")

    with pytest.raises(ssl.SSLError):
        await deferToThread(old)
    await made.stop()


@pytest.mark.parametrize("data", [b"", b"\x16\x03\x01\x02\x00", b"CONNECT api.example:443"])
@ensureDeferred
async def test_who_never_ends_its_handshake_is_cut_off(made, data):
    await made.listener.start()
    with socket.create_connection(made.address, 10) as peer:
        peer.sendall(data)
        if not data.startswith(b"CONNECT"):
            await until(lambda: made.listener._open)
            made.later(LIMITS.connect)
        assert not (await hung_up(peer))[0].startswith(b"HTTP")
    await until(lambda: not made.listener._open)
    await made.stop()


@ensureDeferred
async def test_who_ends_its_handshake_and_asks_for_nothing_is_cut_off(made, ca):
    await made.listener.start()
    peer = await deferToThread(ProxyTls(ca.pem).wrap, socket.create_connection(made.address, 10))
    made.later(LIMITS.connect)
    assert (await hung_up(peer))[0] == b""
    peer.close()
    await made.stop()


@ensureDeferred
async def test_a_refusal_reaches_the_agent_whole(made, ca):
    await made.listener.start()
    tunnel = await made.tunnel(over=ProxyTls(ca.pem), authority="other.example:443")
    assert tunnel.status == 403
    assert b"target-unknown" in (await hung_up(tunnel.raw))[0]
    tunnel.close()
    await made.stop()


@ensureDeferred
async def test_an_answer_that_breaks_off_does_not_look_whole(made, ca):
    await made.listener.start()
    made.stand.fail["read more"] = UpstreamUnreachable("It breaks.")
    made.stand.answer = made.stand.answer.__class__(200, (), None)
    tunnel = await made.tunnel(over=ProxyTls(ca.pem))
    tunnel.send(b"GET /things HTTP/1.1\r\nHost: api.example\r\n\r\n")
    data, whole = await hung_up(tunnel.tls)
    assert not whole or b"0\r\n\r\n" not in data
    tunnel.close()
    await made.stop()


@ensureDeferred
async def test_another_certificate_is_served_to_connections_to_come(ca, tmp_path):
    first, second = ca.leaf("localhost"), ca.leaf("localhost")
    tls = PortTls(certificate(first))
    door = Door(tmp_path, Stand(), tls=tls.connection)
    await door.listener.start()
    before = await door.tunnel(over=ProxyTls(ca.pem))
    tls.adopt(certificate(second))
    after = await door.tunnel(over=ProxyTls(ca.pem))
    served = [
        x509.load_der_x509_certificate(each.raw.getpeercert(True)) for each in (before, after)
    ]
    expected = [x509.load_pem_x509_certificate(each.cert.read_bytes()) for each in (first, second)]
    assert served == expected
    for tunnel in (before, after):
        assert (await deferToThread(tunnel.ask, "GET", "/things")).status == 200
        tunnel.close()
    tls.adopt(None)
    (await door.tunnel(over=ProxyTls(ca.pem))).close()
    await door.stop()
