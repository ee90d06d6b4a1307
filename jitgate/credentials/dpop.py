"""Proofs that whoever presents a token holds its key (DPoP, RFC 9449), and servers' nonces."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeGuard

from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.interfaces import IReactorTime

from jitgate.credentials.signing import Signer, encoded

NONCE_FIELD = "DPoP-Nonce"
WANTS_NONCE = "use_dpop_nonce"
BAD_PROOF = "invalid_dpop_proof"

MAX_NONCE = 1024
"""Characters of a nonce: it goes into every proof, and fields as long as that are not taken."""

_NONCE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""RFC 9449, section 8.1."""

_PART = re.compile(
    r'[ \t,]*+(?:([!#$%&\'*+.^_`|~\w-]++)[ \t]*+=[ \t]*+(?:"((?>[^"\\]|\\.)*+)"|'
    r"([!#$%&'*+.^_`|~\w-]++))|([!#$%&'*+.^_`|~\w-]++)(?=[ \t,]|$)|[\w.~+/-]++=++(?=[ \t,]|$))",
    re.ASCII,
)
"""A parameter of a challenge, the scheme of the next, or what may stand in place of parameters
(RFC 9110, sections 11.2 and 11.6.1)."""


_URL = re.compile(r"(?:[^:/?#]+://)?([^/?#]*)([^?#]*)")
"""Host and path (RFC 3986, appendix B): one of these is needed for every call."""


class Prover:
    """Makes proofs with a key that is made here, is never written, and ends with the process.

    Args:
        clock: Wall-clock time.
        new_id: A fresh unguessable id at each call.
    """

    def __init__(self, clock: IReactorTime, new_id: Callable[[], str]) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        self._signer = Signer(key, {"typ": "dpop+jwt", "jwk": _public(key)})
        self._clock = clock
        self._new_id = new_id

    def proof(self, method: str, url: str, *, nonce: str = "", token: bytes | None = None) -> str:
        """A proof for this one request (RFC 9449, section 4.2), with ``ath`` where it has a token.

        ``nonce``: what the server wants to see; "" for nothing.
        """
        claims: dict[str, object] = {
            "jti": self._new_id(),
            "htm": method,
            "htu": target_of(url),
            "iat": int(self._clock.seconds()),
        }
        if nonce:
            claims["nonce"] = nonce
        if token is not None:
            claims["ath"] = encoded(hashlib.sha256(token).digest()).decode("ascii")
        return self._signer.signed(claims)


class Nonces:
    """What each server last wanted to see in a proof (RFC 9449, sections 8.2 and 9)."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def of(self, server: str) -> str | None:
        """The nonce for this server; "" where it wants none, None where that is not known."""
        return self._last.get(server)

    def learn(self, server: str, nonce: str | None, *, accepted: bool = False) -> None:
        """Remember what an answer says.

        ``accepted``: the server has taken a proof, so that it wants no nonce where it never sent
        one.
        """
        if is_nonce(nonce):
            self._last[server] = nonce
        elif accepted:
            self._last.setdefault(server, "")


def is_nonce(value: str | None) -> TypeGuard[str]:
    """Whether it is a nonce, and not too long to be sent back in every proof."""
    return value is not None and len(value) <= MAX_NONCE and _NONCE.fullmatch(value) is not None


def errors_in(field: str) -> Iterator[tuple[str, str]]:
    """Scheme (in lower case) and ``error`` of each challenge in a WWW-Authenticate field.

    It ends where the field is no list of challenges.
    """
    scheme, at = "", 0
    while part := _PART.match(field, at):
        at = part.end()
        name, quoted, bare, begun = part.groups()
        if begun is not None:
            scheme = begun.lower()
        elif name is not None and name.lower() == "error":
            yield scheme, bare if quoted is None else quoted


def target_of(url: str) -> str:
    """The ``htu`` of a request: its URL without query and fragment, and without the usual port."""
    parts = _URL.match(url)
    assert parts is not None  # noqa: S101 (it takes every text)
    return f"https://{parts[1].removesuffix(':443')}{parts[2]}"


def _public(key: ec.EllipticCurvePrivateKey) -> Mapping[str, str]:
    """The public half as a JWK (RFC 7518, section 6.2.1)."""
    numbers = key.public_key().public_numbers()
    x, y = (encoded(each.to_bytes(32, "big")).decode() for each in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}
