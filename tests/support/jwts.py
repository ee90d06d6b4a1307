"""Keys of an issuer, published as a JWK Set, and tokens signed with them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm


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

    @classmethod
    def ps256(cls, key_id: str) -> SigningKey:
        """A new RSA key, for RSASSA-PSS."""
        return cls(key_id, "PS256", rsa.generate_private_key(65537, 2048))

    @classmethod
    def es384(cls, key_id: str) -> SigningKey:
        """A new key on P-384."""
        return cls(key_id, "ES384", ec.generate_private_key(ec.SECP384R1()))

    @classmethod
    def eddsa(cls, key_id: str) -> SigningKey:
        """A new Ed25519 key."""
        return cls(key_id, "EdDSA", ed25519.Ed25519PrivateKey.generate())

    def jwk(self, **members: object) -> dict[str, Any]:
        """The public half as a JWK; ``members`` replace its own, None takes one away."""
        kinds = {"RS": RSAAlgorithm, "PS": RSAAlgorithm, "ES": ECAlgorithm, "Ed": OKPAlgorithm}
        kind: Any = kinds[self.algorithm[:2]]
        plain: dict[str, Any] = kind.to_jwk(self.private.public_key(), as_dict=True)
        plain.pop("key_ops", None)
        whole = {**plain, "kid": self.key_id, "use": "sig", "alg": self.algorithm, **members}
        return {name: value for name, value in whole.items() if value is not None}

    def sign(self, claims: Mapping[str, object], **header: object) -> str:
        """A token with these claims; ``header`` adds to its header."""
        whole = {"kid": self.key_id, **header}
        payload = json.dumps(dict(claims)).encode()
        return jwt.PyJWS().encode(payload, self.private, self.algorithm, headers=whole)

    def signature(self, over: bytes) -> bytes:
        """As it stands in a token, of any bytes."""
        signer: Any = jwt.PyJWS().get_algorithm_by_name(self.algorithm)
        return bytes(signer.sign(over, self.private))

    def signed(self, header: bytes, payload: bytes) -> str:
        """A token over exactly these bytes, whatever they are."""
        over = f"{base64url(header)}.{base64url(payload)}"
        return f"{over}.{base64url(self.signature(over.encode()))}"


def base64url(data: bytes) -> str:
    """RFC 7515, section 2."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk_set(*members: object) -> bytes:
    """A JWK Set of these members."""
    return json.dumps({"keys": list(members)}).encode()
