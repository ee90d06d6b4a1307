"""Leaves of the gateway's CA, as a client is shown them, at a time of the test's."""

from __future__ import annotations

from contextlib import suppress

from cryptography import x509
from OpenSSL import SSL

NOW = 1_800_000_000.0


class Time:
    """What the CA takes for the time."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def leaf_of(context: SSL.Context) -> list[x509.Certificate]:
    """The certificate that a client of this context is shown, and the rest of the chain."""
    server, client = SSL.Connection(context), SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD))
    server.set_accept_state()
    client.set_connect_state()
    for _ in range(6):
        for one, other in ((client, server), (server, client)):
            with suppress(SSL.WantReadError):
                one.do_handshake()
            with suppress(SSL.WantReadError):
                other.bio_write(one.bio_read(65536))
    chain = client.get_peer_cert_chain()
    return [each.to_cryptography() for each in chain or ()]
