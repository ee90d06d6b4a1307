import ssl

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from twisted.internet.error import CannotListenError
from twisted.internet.threads import deferToThread

from jitgate.demo.org import HOST
from jitgate.demo.sandbox import Sandbox
from jitgate.errors import StateUnusable


def test_the_files_hold_the_ca_without_its_key_and_the_clients_key_for_its_owner_alone(resting):
    (certificate,) = x509.load_pem_x509_certificates(resting.ca.read_bytes())
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert b"PRIVATE" not in resting.ca.read_bytes()
    key = serialization.load_pem_private_key(resting.client_key.read_bytes(), None)
    assert key.key_size == 2048
    assert resting.client_key.stat().st_mode & 0o777 == 0o600
    assert sorted(resting.ca.parent.iterdir()) == [resting.ca, resting.client_key]


def test_a_key_file_that_others_could_read_is_replaced_by_one_that_they_cannot(tmp_path):
    old = tmp_path / "okta-client-key.pem"
    old.write_text("old")
    old.chmod(0o644)
    inode = old.stat().st_ino
    Sandbox(tmp_path, reactor=None)._write_files()
    assert old.stat().st_mode & 0o777 == 0o600
    assert old.stat().st_ino != inode
    assert old.read_text() != "old"


def test_nothing_secret_is_the_same_at_another_start(tmp_path):
    first, second = (Sandbox(tmp_path, reactor=None) for _ in range(2))
    assert not set(first.org.client_secrets) & set(second.org.client_secrets)
    assert first.issuer.client_secret != second.issuer.client_secret


@pytest_twisted.ensureDeferred
async def test_a_strict_client_accepts_the_org_by_its_name_and_by_no_other(sandbox, connect):
    accepted = await deferToThread(connect, sandbox.ca, HOST, sandbox.org.port)
    accepted.close()
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        await deferToThread(connect, sandbox.ca, "other.okta.example", sandbox.org.port)


@pytest_twisted.ensureDeferred
async def test_another_sandboxs_ca_does_not_vouch_for_this_org(sandbox, connect, tmp_path):
    other = Sandbox(tmp_path / "other", reactor=None)
    other._write_files()
    with pytest.raises(ssl.SSLCertVerificationError):
        await deferToThread(connect, other.ca, HOST, sandbox.org.port)


@pytest_twisted.ensureDeferred
async def test_stopping_ends_open_connections_and_frees_the_ports(sandbox, connect):
    idle = await deferToThread(connect, sandbox.ca, HOST, sandbox.org.port)
    try:
        await sandbox.stop()
        with pytest.raises((ConnectionError, ssl.SSLEOFError)):
            await deferToThread(_must_answer, idle)
    finally:
        idle.close()
    with pytest.raises(ConnectionRefusedError):
        await deferToThread(connect, sandbox.ca, HOST, sandbox.org.port)
    await sandbox.stop()


def _must_answer(connection):
    connection.request("GET", "/")
    connection.getresponse()


class OnePort:
    """A reactor on which a second port cannot be bound."""

    def __init__(self, reactor):
        self._reactor = reactor
        self.bound = []

    def __getattr__(self, name):
        return getattr(self._reactor, name)

    def listenTCP(self, port, factory, **options):
        if self.bound:
            raise CannotListenError(options["interface"], port, OSError("in use"))
        self.bound.append(self._reactor.listenTCP(port, factory, **options))
        return self.bound[0]


@pytest_twisted.ensureDeferred
async def test_a_sandbox_that_cannot_start_whole_leaves_nothing_running(tmp_path):
    from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

    scarce = OnePort(reactor)
    with pytest.raises(StateUnusable):
        await Sandbox(tmp_path, scarce).start()
    assert not scarce.bound[0].connected
