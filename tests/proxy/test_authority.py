"""The gateway's own CA: one for each state folder, leaves for one host each, hours long."""

from __future__ import annotations

import contextlib
import ssl
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store
from OpenSSL import SSL
from support.leaves import NOW, Time, leaf_of

from jitgate.errors import StateUnusable
from jitgate.proxy.authority import LEAF_LIFE, LEAVES, load_or_create


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def authority(tmp_path, time):
    return load_or_create(tmp_path, time)


@pytest.mark.parametrize(
    "host", ["api.example", "xn--bcher-kva.example", "a" * 63 + "." + "b" * 63]
)
def test_a_leaf_is_valid_for_its_host_alone(authority, host):
    leaf, *_ = leaf_of(authority.context_for(host))
    ca = x509.load_pem_x509_certificate(authority.certificate)
    at = datetime.fromtimestamp(NOW, UTC)
    trusted = PolicyBuilder().store(Store([ca])).time(at)
    trusted.build_server_verifier(x509.DNSName(host)).verify(leaf, [])
    with pytest.raises(x509.verification.VerificationError):
        trusted.build_server_verifier(x509.DNSName("other.example")).verify(leaf, [])


@pytest.mark.parametrize("host", ["192.0.2.1", "[2001:db8::1]"])
def test_an_addresss_leaf_names_the_address(authority, host):
    leaf, *_ = leaf_of(authority.context_for(host))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == [host.strip("[]")]


def test_a_leaf_can_sign_for_servers_and_nothing_else(authority):
    leaf, *_ = leaf_of(authority.context_for("api.example"))
    extensions = leaf.extensions
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert leaf.not_valid_after_utc - datetime.fromtimestamp(NOW, UTC) == LEAF_LIFE


def test_a_leaf_is_minted_once_and_again_after_half_its_life(authority, time):
    first = authority.context_for("api.example")
    time.now += (LEAF_LIFE / 2).total_seconds() - 1
    assert authority.context_for("api.example") is first
    time.now += 1
    assert authority.context_for("api.example") is not first


def test_leaves_do_not_pile_up(authority):
    for number in range(LEAVES + 10):
        authority._leaves[f"{number}.example"] = authority._leaves.get("x") or _any(authority)
    authority.context_for("api.example")
    assert len(authority._leaves) == 1


def _any(authority):
    authority.context_for("x")
    return authority._leaves["x"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("host", "name"),
    [("api.example", "api.example"), ("api.example", "evil.example"), ("b.example", "b.example")],
)
def test_no_session_is_taken_up_again(tmp_path, version, host, name):
    authority = load_or_create(tmp_path, lambda: datetime.now(UTC).timestamp())
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.minimum_version = client.maximum_version = version
    client.check_hostname = False
    client.load_verify_locations(cadata=authority.certificate.decode())
    first, _ = shaken(authority.context_for("api.example"), client, "api.example", None)
    second, server = shaken(authority.context_for(host), client, name, first.session)
    assert not second.session_reused
    assert server.get_servername() == name.encode()


def shaken(context, client, name, session):
    """A client of the standard library, a server with the context: after their handshake."""
    server = SSL.Connection(context, None)
    server.set_accept_state()
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = client.wrap_bio(into, out, server_hostname=name, session=session)
    for _ in range(3):
        for step in (theirs.do_handshake, lambda: theirs.read(1)):
            with contextlib.suppress(ssl.SSLWantReadError):
                step()
        if out.pending:
            server.bio_write(out.read())
        with contextlib.suppress(SSL.WantReadError):
            server.do_handshake()
        with contextlib.suppress(SSL.WantReadError):
            into.write(server.bio_read(65536))
    return theirs, server


def test_the_ca_can_only_sign_leaves(authority):
    ca = x509.load_pem_x509_certificate(authority.certificate)
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.path_length) == (True, 0)
    assert ca.not_valid_before_utc < datetime.fromtimestamp(NOW, UTC) - timedelta(minutes=30)


# --- its place in the state folder


def test_it_is_made_once_and_then_stays_the_same(tmp_path, time, authority):
    assert load_or_create(tmp_path, time).certificate == authority.certificate
    assert (tmp_path / "ca.pem").read_bytes() == authority.certificate


def test_two_folders_have_two_authorities(tmp_path, time):
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    one, two = (load_or_create(folder, time).certificate for folder in folders)
    assert one != two


def test_its_key_is_nobody_elses_to_read(tmp_path, authority):
    assert stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_can_use_is_refused(tmp_path, time, authority, mode):
    (tmp_path / "ca.key").chmod(mode)
    with pytest.raises(StateUnusable, match="chmod 600"):
        load_or_create(tmp_path, time)


def pem_of(key, password=None):
    coding = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, coding)


DAMAGED = {
    "empty": b"",
    "garbage": b"garbage",
    "another key": pem_of(ec.generate_private_key(ec.SECP256R1())),
    "another kind of key": pem_of(ed25519.Ed25519PrivateKey.generate()),
    "a key with a password": pem_of(ec.generate_private_key(ec.SECP256R1()), b"x"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_key_stops_the_start_and_is_not_replaced(tmp_path, time, authority, what):
    (tmp_path / "ca.key").write_bytes(DAMAGED[what])
    with pytest.raises(StateUnusable, match=r"ca\.key"):
        load_or_create(tmp_path, time)
    assert (tmp_path / "ca.key").read_bytes() == DAMAGED[what]
    assert (tmp_path / "ca.pem").read_bytes() == authority.certificate


def test_a_key_without_its_certificate_stops_the_start(tmp_path, time, authority):
    (tmp_path / "ca.pem").unlink()
    with pytest.raises(StateUnusable):
        load_or_create(tmp_path, time)


def test_a_folder_that_cannot_be_written_to_stops_the_start(tmp_path, time):
    with pytest.raises(StateUnusable, match="cannot be written"):
        load_or_create(tmp_path / "none", time)


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        (b"TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
        (b"TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
        (b"TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
    ],
)
def test_of_the_suites_that_a_client_offers_the_cheapest_is_taken(tmp_path, offered, taken):
    authority = load_or_create(tmp_path, lambda: datetime.now(UTC).timestamp())
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_tls13_ciphersuites(offered)
    client = SSL.Connection(context, None)
    server = SSL.Connection(authority.context_for("api.example"), None)
    client.set_connect_state()
    server.set_accept_state()
    for one, other in ((client, server), (server, client)):
        with pytest.raises(SSL.WantReadError):
            one.do_handshake()
        other.bio_write(one.bio_read(65536))
    client.do_handshake()
    assert client.get_cipher_name() == taken
