"""How TLS is spoken to agents: versions, ciphers, and what is agreed on to be spoken inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cryptography import x509
from OpenSSL import SSL

_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
_SUITES = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
"""Of TLS 1.3, in our order: processors have instructions for SHA-256, hardly any for SHA-384, and a
handshake computes some fifty hashes."""

HTTP_1_1, HTTP_2 = b"http/1.1", b"h2"
"""What may be spoken, in ALPN's words (RFC 7301; RFC 9113, section 3.2)."""


def server_context(chain: Sequence[x509.Certificate], key: Any, *spoken: bytes) -> SSL.Context:
    """How TLS is spoken to agents, with these certificates, the server's first, and its key.

    ``spoken``: what may be agreed on to be spoken inside, HTTP/1.1 if nothing is named.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(_CIPHERS)
    context.set_tls13_ciphersuites(_SUITES)
    context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    # No session is taken up again: of one under TLS 1.2 the name that the client asks for is not
    # told (`get_servername`), so that a differing one would pass unseen.
    context.set_options(SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.use_certificate(chain[0])
    for each in chain[1:]:
        context.add_extra_chain_cert(each)
    context.use_privatekey(key)
    context.set_alpn_select_callback(_first_of(spoken or (HTTP_1_1,)))
    return context


def _first_of(spoken: tuple[bytes, ...]) -> Callable[[SSL.Connection, list[bytes]], Any]:
    """Agrees on the first that the client offers; one that offers none speaks HTTP/1.1."""

    def agree(_: SSL.Connection, offered: list[bytes]) -> bytes | SSL._NoOverlappingProtocols:
        found = (each for each in spoken if each in offered)
        return next(found, SSL.NO_OVERLAPPING_PROTOCOLS)

    return agree
