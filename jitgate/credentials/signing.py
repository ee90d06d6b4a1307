"""Signs JSON Web Tokens, each with a key and a header that are fixed beforehand.

The compact form (RFC 7515, section 7.1) of fixed members is a few lines; a proof is signed for
every call, and a library that is made for any header costs as much again as the signature.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

MIN_RSA_BITS = 2048
"""RFC 7518, section 3.3."""

_ECDSA = ec.ECDSA(hashes.SHA256())
_OCTETS = 32
"""Of each half of an ES256 signature (RFC 7518, section 3.4)."""

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class Signer:
    """Signs claims with one key: RSA (RS256) or P-256 (ES256).

    Args:
        key: The private key; `read_key` gives one that will do.
        header: The members of the header beside ``alg``.
    """

    def __init__(self, key: PrivateKey, header: Mapping[str, object]) -> None:
        self._key = key
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        self._header = encoded(orjson.dumps({"alg": algorithm, **header})) + b"."

    def signed(self, claims: Mapping[str, object]) -> str:
        """The token in the compact form."""
        signing = self._header + encoded(orjson.dumps(claims))
        return (signing + b"." + encoded(self._signature(signing))).decode("ascii")

    def _signature(self, data: bytes) -> bytes:
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        halves = decode_dss_signature(self._key.sign(data, _ECDSA))
        return b"".join(half.to_bytes(_OCTETS, "big") for half in halves)


def read_key(pem: bytes) -> PrivateKey:
    """The private key, if it is one to sign with.

    Raises `ValueError`, which shows nothing of it.
    """
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("the private key is not one in PEM without a password") from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= MIN_RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise ValueError(f"the private key is neither RSA of {MIN_RSA_BITS} bits nor on P-256")


def encoded(data: bytes) -> bytes:
    """Base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")
