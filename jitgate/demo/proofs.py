"""The org's side of DPoP (RFC 9449): whose key a request proves, and the nonce it must show."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from typing import Any

import jwt

from jitgate.demo.site import Call

PROOF_LIFE = 60
"""Seconds that a proof's ``iat`` may differ from now."""

_MEMBERS = {"kty", "crv", "x", "y"}


class Proofs:
    """Judges proofs; each is good once. The nonce is what the token endpoint wants to see."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._spent: set[str] = set()
        self.nonce = secrets.token_urlsafe(16)

    def thumbprint(self, call: Call, token: str | None = None) -> str | None:
        """Of the key (RFC 7638) that the one good proof of a call holds; None if it has none."""
        claims, thumbprint = _read(given(call))
        if claims is None or not self._fits(claims, call, token):
            return None
        self._spent.add(str(claims["jti"]))
        return thumbprint

    def shows_nonce(self, call: Call) -> bool:
        """Whether the call's proof holds the nonce."""
        claims, _ = _read(given(call))
        return claims is not None and claims.get("nonce") == self.nonce

    def _fits(self, claims: dict[str, Any], call: Call, token: str | None) -> bool:
        iat, jti = claims.get("iat"), claims.get("jti")
        return (
            claims.get("htm") == call.method
            and claims.get("htu") == self._url + call.path
            and isinstance(iat, int)
            and abs(time.time() - iat) <= PROOF_LIFE
            and isinstance(jti, str)
            and jti not in self._spent
            and claims.get("ath") == (None if token is None else _hashed(token.encode()))
        )


def given(call: Call) -> tuple[str, ...]:
    """The value of every DPoP field."""
    return tuple(value.decode("latin-1") for name, value in call.headers if name == b"dpop")


def _read(proofs: tuple[str, ...]) -> tuple[dict[str, Any] | None, str]:
    """The claims of the one proof, signed by the key in its header, and that key's thumbprint."""
    try:
        (proof,) = proofs
        header = jwt.get_unverified_header(proof)
        key = header["jwk"]
        if header["typ"] != "dpop+jwt" or set(key) != _MEMBERS or header["alg"] != "ES256":
            return None, ""
        claims: dict[str, Any] = jwt.decode(
            proof, jwt.PyJWK(key, "ES256"), ["ES256"], options={"verify_iat": False}
        )
    except (ValueError, KeyError, TypeError, jwt.PyJWTError):
        return None, ""
    return claims, _hashed(json.dumps(key, sort_keys=True, separators=(",", ":")).encode())


def _hashed(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
