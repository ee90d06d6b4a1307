"""Keys that sign the sandbox's tokens (ES256, RFC 7518 section 3.4), each under its own id."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

ALGORITHM = "ES256"


class TokenSigner:
    """Signs claims with a P-256 key that is made here and never leaves the process."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.public_key = self._key.public_key()
        self.key_id = secrets.token_urlsafe(12)

    def sign(self, claims: Mapping[str, Any], kind: str) -> str:
        """A compact JWT of that ``typ`` with ``claims`` and a ``jti`` of its own."""
        headers = {"kid": self.key_id, "typ": kind}
        unique = {"jti": secrets.token_urlsafe(16), **claims}
        return jwt.encode(unique, self._key, ALGORITHM, headers)

    def jwks(self) -> dict[str, Any]:
        """The public half as a JWK Set (RFC 7517, section 5)."""
        key = ECAlgorithm.to_jwk(self.public_key, as_dict=True)
        return {"keys": [{**key, "kid": self.key_id, "use": "sig", "alg": ALGORITHM}]}
