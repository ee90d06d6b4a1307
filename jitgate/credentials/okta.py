"""Okta access tokens for one operation: client credentials with a signed assertion.

The grant is RFC 6749, section 4.4; the gateway proves itself to the org's token endpoint by a JWT
of its own (RFC 7523, section 3; Okta and OpenID Connect call it private_key_jwt).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import jwt
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from jitgate.errors import CredentialRefused, CredentialUnavailable
from jitgate.fetching import Fetched, Fetcher
from jitgate.interfaces import ICredentialSource
from jitgate.values import Credential, Operation

ASSERTION_LIFE = 60
"""Seconds for which an assertion can be used. It is sent at once, and once."""

MAX_ANSWER = 64 * 1024
"""Bytes of the token endpoint's answer; a token has a few kilobytes."""

MIN_RSA_BITS = 2048
"""RFC 7518, section 3.3."""

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
"""A bearer token (RFC 6750, section 2.1): nothing that could end a header field."""
_ERROR_CODE = re.compile(r"[a-z_]{1,40}")
_PUBLIC = re.compile(r"/\.well-known/.+|/oauth2/v1/keys")
"""What an org tells anybody: its metadata (RFC 8615) and the keys that it signs with."""

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@implementer(ICredentialSource)
class OktaCredentials:
    """Issues a token that has exactly the scopes of the operation that it is for.

    For an operation that needs no scope there is none: a public read goes without a credential,
    and all else is refused, since it asks for an API token or for a proof of another kind.

    Args:
        org: The org's URL, ``https://acme.okta.com``.
        client_id: The service app that the gateway is to the org.
        key_id: The id under which the org knows the public key.
        private_key: The private key in PEM: RSA (RS256) or P-256 (ES256).
        http: Reaches the org at its checked address and trusts what the target's trust says.
        clock: Wall-clock time.
        new_id: A fresh unguessable id at each call.
        keyed: The digest by which a record may tell one token from another.

    Raises `ValueError`, which shows nothing of the key, where org or key cannot be used.
    """

    def __init__(
        self,
        *,
        org: str,
        client_id: str,
        key_id: str,
        private_key: bytes,
        http: HTTPClient,
        clock: IReactorTime,
        new_id: Callable[[], str],
        keyed: Callable[[bytes], str],
    ) -> None:
        self._token_url = _token_url(org)
        self._client_id = client_id
        self._key_id = key_id
        self._algorithm, self._key = _signing_key(private_key)
        self._fetcher = Fetcher(
            http, clock, "The token endpoint", CredentialUnavailable, MAX_ANSWER
        )
        self._clock = clock
        self._new_id = new_id
        self._keyed = keyed

    async def issue(self, operation: Operation) -> Credential:
        if not operation.scopes:
            return _nothing_for(operation)
        form = {
            "grant_type": "client_credentials",
            "scope": " ".join(operation.scopes),
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": self._assertion(),
        }
        answer = await self._fetcher.post(self._token_url, form)
        members = _granted(answer)
        return self._credential(_token(members, operation.scopes), members, operation.scopes)

    def _assertion(self) -> str:
        now = int(self._clock.seconds())
        claims = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": self._token_url,
            "iat": now,
            "exp": now + ASSERTION_LIFE,
            "jti": self._new_id(),
        }
        return jwt.encode(claims, self._key, self._algorithm, headers={"kid": self._key_id})

    def _credential(
        self, token: str, members: Mapping[str, Any], scopes: tuple[str, ...]
    ) -> Credential:
        secret = token.encode("ascii")
        facts: dict[str, object] = {
            "kind": "okta",
            "scopes": list(scopes),
            "fingerprint": self._keyed(secret),
        }
        if type(members.get("expires_in")) is int:
            facts["expires_in"] = members["expires_in"]
        token_id = _token_id(token)
        if token_id is not None:
            facts["jti"] = token_id
        return Credential(((b"Authorization", b"Bearer " + secret),), (secret,), facts)


def _nothing_for(operation: Operation) -> Credential:
    """No credential for what anybody may read. Raises `CredentialRefused` for all else."""
    if operation.changes or not _PUBLIC.fullmatch(operation.path):
        raise CredentialRefused(
            f"{operation.action} needs no scope, so that no token is good for it, and it is not a "
            f"public read: {operation.target} is not sent such a call."
        )
    return Credential(headers=(), secrets=(), facts={"kind": "none"})


# --- what is configured


def _token_url(org: str) -> str:
    """The org's own authorization server's token endpoint."""
    parts = urlsplit(org)
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc:
        raise ValueError("an org is given by its https URL")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("an org's URL holds a host and nothing more")
    return f"https://{parts.netloc}/oauth2/v1/token"


def _signing_key(pem: bytes) -> tuple[str, PrivateKey]:
    """The key, and the algorithm that it signs with (RFC 7518, section 3.1)."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("the private key is not one in PEM without a password") from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= MIN_RSA_BITS:
        return "RS256", key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return "ES256", key
    raise ValueError(f"the private key is neither RSA of {MIN_RSA_BITS} bits nor on P-256")


# --- what is answered


def _granted(answer: Fetched) -> Mapping[str, Any]:
    """The members of a successful answer (RFC 6749, section 5.1)."""
    try:
        members = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        members = None
    if answer.status != 200:
        raise CredentialUnavailable(f"The token endpoint answered {answer.status}{_code(members)}.")
    if not isinstance(members, dict):
        raise CredentialUnavailable("The token endpoint's answer is not a JSON object.")
    return members


def _code(members: object) -> str:
    """The error code of RFC 6749, section 5.2, if it is a plain word; nothing else is repeated."""
    code = members.get("error") if isinstance(members, dict) else None
    return f" ({code})" if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else ""


def _token(members: Mapping[str, Any], scopes: tuple[str, ...]) -> str:
    """The access token, if it is a bearer token for exactly these scopes."""
    kind, token = members.get("token_type"), members.get("access_token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise CredentialUnavailable("The token endpoint's token is not a bearer token.")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise CredentialUnavailable("The token endpoint's token is not one that a header can hold.")
    if "scope" in members:
        granted = members["scope"]
        if not isinstance(granted, str) or set(granted.split(" ")) != set(scopes):
            raise CredentialUnavailable("The token endpoint granted other scopes than asked for.")
    return token


def _token_id(token: str) -> str | None:
    """The ``jti`` of a token that is a JWT; its signature is the org's affair."""
    segments = token.split(".")
    if len(segments) != 3:
        return None
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(segments[1] + "=" * (-len(segments[1]) % 4)))
    except (binascii.Error, orjson.JSONDecodeError):
        return None
    name = claims.get("jti") if isinstance(claims, dict) else None
    return name if isinstance(name, str) else None
