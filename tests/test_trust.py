"""Whose certificate is believed: for the name, in its time, by the operator's or the system's CAs.

What is refused got no byte of a request.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pytest_twisted import ensureDeferred
from support.counterparts import Leaf, TestCA
from support.ways import HOST, exchanged, way
from support.wire import Origin, answering
from treq import content
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.web.client import Agent, ResponseNeverReceived
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface.verify import verifyObject

from jitgate.app.far import trust_in
from jitgate.errors import UpstreamUnreachable, UpstreamUntrusted
from jitgate.trust import NamedPolicy
from jitgate.upstreams.https import HttpsUpstream

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return TestCA.create(tmp_path_factory.mktemp("ca"))


def certificate(folder, ca, *, cn=HOST, names=(HOST,), since=-DAY, until=DAY, use="SERVER_AUTH"):
    """A leaf as a test wants it; without an authority, one that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if ca is None else ca._certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + since)
        .not_valid_after(NOW + until)
        .add_extension(x509.ExtendedKeyUsage([getattr(ExtendedKeyUsageOID, use)]), critical=False)
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
    made = builder.sign(key if ca is None else ca._key, hashes.SHA256())
    leaf = Leaf(folder / "leaf.pem", folder / "leaf.key")
    leaf.cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    leaf.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return leaf


async def asked(leaf, trust, host=HOST):
    """One call to an origin with this leaf; what was answered, and what it had received."""
    with Origin(leaf, answering(b"{}")) as origin:
        upstream = HttpsUpstream(way(trust, ("127.0.0.1", origin.port), host=host), reactor)
        try:
            answer = await exchanged(await upstream.connect(fresh=True))
        except (UpstreamUntrusted, UpstreamUnreachable):
            assert origin.received == []
            raise
        finally:
            await upstream.stop()
    return answer


async def refused(leaf, trust, host=HOST):
    with pytest.raises(UpstreamUntrusted, match=host):
        await asked(leaf, trust, host)


@pytest.mark.parametrize(
    "names", [(HOST,), ("other.example", HOST), ("API.EXAMPLE",)], ids=["one", "two", "capitals"]
)
@ensureDeferred
async def test_a_certificate_for_the_name_is_trusted(ca, tmp_path, names):
    assert await asked(certificate(tmp_path, ca, names=names), ca.pem) == b"{}"


@pytest.mark.parametrize(
    "flaw",
    [
        {"names": ("other.example",)},
        {"names": ("api.example.evil.example",)},
        {"names": ("*",)},
        {"names": ("api.*",)},
        {"names": ()},
        {"names": (), "cn": HOST},
        {"names": ("other.example",), "cn": HOST},
        {"since": -2 * DAY, "until": -DAY},
        {"since": DAY, "until": 2 * DAY},
        {"use": "CLIENT_AUTH"},
    ],
    ids=str,
)
@ensureDeferred
async def test_a_certificate_with_a_flaw_is_not_trusted(ca, tmp_path, flaw):
    """A name in CN counts for nothing (RFC 9525, section 2)."""
    await refused(certificate(tmp_path, ca, **flaw), ca.pem)


@ensureDeferred
async def test_a_certificate_that_vouches_for_itself_is_not_trusted(ca, tmp_path):
    await refused(certificate(tmp_path, None), ca.pem)


@ensureDeferred
async def test_an_authority_that_the_target_does_not_name_is_not_trusted(ca, tmp_path):
    other = TestCA.create(tmp_path)
    await refused(ca.leaf(HOST), other.pem)


@ensureDeferred
async def test_a_wildcard_stands_for_one_label(ca, tmp_path):
    leaf = certificate(tmp_path, ca, names=("*.acme.example",))
    assert await asked(leaf, ca.pem, "api.acme.example") == b"{}"
    for host in ("acme.example", "a.api.acme.example", "api.acme.example.org"):
        await refused(leaf, ca.pem, host)


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::7"])
@ensureDeferred
async def test_a_host_that_is_an_address_needs_a_certificate_for_it(ca, tmp_path, host):
    assert await asked(ca.leaf(host), ca.pem, host) == b"{}"
    await refused(ca.leaf("192.0.2.8"), ca.pem, host)
    await refused(certificate(tmp_path, ca, cn=host, names=(host,)), ca.pem, host)
    assert ip_address(host)


@ensureDeferred
async def test_the_systems_bundle_is_trusted_where_a_target_names_none(ca, monkeypatch):
    await refused(ca.leaf(HOST), None)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca.pem))
    assert await asked(ca.leaf(HOST), None) == b"{}"


@ensureDeferred
async def test_a_targets_own_trust_replaces_the_systems_bundle(ca, tmp_path, monkeypatch):
    other = TestCA.create(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(other.pem))
    await refused(other.leaf(HOST), ca.pem)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@ensureDeferred
async def test_a_target_that_speaks_older_tls_only_is_not_spoken_to(ca, version):
    with Origin(ca.leaf(HOST), answering(b"{}")) as origin:
        origin._context.set_ciphers("DEFAULT:@SECLEVEL=0")
        origin._context.minimum_version = version
        origin._context.maximum_version = version
        upstream = HttpsUpstream(way(ca.pem, ("127.0.0.1", origin.port)), reactor)
        with pytest.raises(UpstreamUnreachable, match="handshake"):
            await upstream.connect(fresh=True)
        assert origin.received == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@ensureDeferred
async def test_tls_1_2_and_1_3_are_spoken(ca, version):
    with Origin(ca.leaf(HOST), answering(b"{}")) as origin:
        origin._context.minimum_version = origin._context.maximum_version = version
        upstream = HttpsUpstream(way(ca.pem, ("127.0.0.1", origin.port)), reactor)
        assert await exchanged(await upstream.connect(fresh=True)) == b"{}"
        await upstream.stop()


@pytest.mark.parametrize("names", [(HOST,), ()], ids=["for its name", "for no name"])
@ensureDeferred
async def test_an_http_client_of_the_gateways_own_is_as_strict(ca, tmp_path, names):
    """So are keys of issuers fetched."""
    policy = NamedPolicy(trust_in(ca.pem))
    assert verifyObject(IPolicyForHTTPS, policy)
    leaf = certificate(tmp_path, ca, names=names)
    with Origin(leaf, answering(b"{}")) as origin:

        class Here:
            def endpointForURI(self, uri):
                creator = policy.creatorForNetloc(uri.host, uri.port)
                return wrapClientTLS(creator, TCP4ClientEndpoint(reactor, "127.0.0.1", origin.port))

        asking = Agent.usingEndpointFactory(reactor, Here()).request(
            b"GET", b"https://api.example/"
        )
        if names:
            assert await content(await asking) == b"{}"
        else:
            with pytest.raises(ResponseNeverReceived):
                await asking
            assert origin.received == []
