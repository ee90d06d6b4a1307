"""Keys of an issuer, published as a JWK Set, and tokens signed with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm


@dataclass(frozen=True)
class SigningKey:
    """A private key under its id, for one algorithm."""

    key_id: str
    algorithm: str
    private: Any

    @classmethod
    def rs256(cls, key_id: str, bits: int = 2048) -> SigningKey:
        """A new RSA key."""
        return cls(key_id, "RS256", rsa.generate_private_key(65537, bits))

    @classmethod
    def es256(cls, key_id: str) -> SigningKey:
        """A new key on P-256."""
        return cls(key_id, "ES256", ec.generate_private_key(ec.SECP256R1()))

    def jwk(self, **members: object) -> dict[str, Any]:
        """The public half as a JWK; ``members`` replace its own, None takes one away."""
        kind = RSAAlgorithm if self.algorithm.startswith("RS") else ECAlgorithm
        plain: dict[str, Any] = kind.to_jwk(self.private.public_key(), as_dict=True)
        plain.pop("key_ops", None)
        whole = {**plain, "kid": self.key_id, "use": "sig", "alg": self.algorithm, **members}
        return {name: value for name, value in whole.items() if value is not None}

    def sign(self, claims: Mapping[str, object], **header: object) -> str:
        """A token with these claims; ``header`` adds to its header."""
        whole = {"kid": self.key_id, **header}
        payload = json.dumps(dict(claims)).encode()
        return jwt.PyJWS().encode(payload, self.private, self.algorithm, headers=whole)


def jwk_set(*members: object) -> bytes:
    """A JWK Set of these members."""
    return json.dumps({"keys": list(members)}).encode()
