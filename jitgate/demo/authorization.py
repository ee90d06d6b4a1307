"""The org's authorization server: who may have an access token, for what, and is it a good one."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from jitgate.demo.proofs import Proofs, given
from jitgate.demo.signing import ALGORITHM, TokenSigner
from jitgate.demo.site import Answer, Call

TOKEN_PATH = "/oauth2/v1/token"  # noqa: S105 - a path

REVOKE_PATH = "/oauth2/v1/revoke"

TOKEN_LIFE = 3600
"""Seconds that an access token lives: Okta's own, which a service app cannot shorten."""

ASSERTION_LIFE = 3600
"""Seconds into the future that Okta lets a client assertion's ``exp`` lie."""

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class ServiceApp:
    """A client registered with the org: its public key (RS256) and the scopes granted to it."""

    client_id: str
    key_id: str
    public_key: RSAPublicKey
    granted: frozenset[str]


class AuthorizationServer:
    """Issues access tokens to one service app (``client_credentials`` with private_key_jwt).

    A request that holds a proof gets a token that is bound to its key (RFC 9449), and must show the
    server's nonce.
    """

    def __init__(self, url: str, app: ServiceApp) -> None:
        self._url = url
        self._app = app
        self._signer = TokenSigner()
        self._spent: set[str] = set()
        self._void: set[str] = set()
        self._proofs = Proofs(url)

    def token(self, call: Call) -> tuple[frozenset[str], Answer]:
        """The scopes that a token request asks for, and the answer to it (RFC 6749, 4.4)."""
        form = _form(call.body)
        scopes = frozenset(form.get("scope", "").split())
        refused = self._refused(call, form, scopes)
        return scopes, refused or self._proved(call, scopes)

    def revoke(self, call: Call) -> tuple[frozenset[str], Answer]:
        """Make a token void, and the answer (RFC 7009, section 2)."""
        form = _form(call.body)
        if call.method != "POST" or "token" not in form:
            return frozenset(), _error(400, "invalid_request", "A token is expected, by POST.")
        if not self._authenticated(form, REVOKE_PATH):
            return frozenset(), _error(401, "invalid_client", "The assertion was not accepted.")
        claims = self._verified(form["token"])
        self._void.add(form["token"])
        scopes = frozenset() if claims is None else frozenset(claims["scp"])
        return scopes, Answer(200, {})

    def scopes(self, call: Call) -> frozenset[str] | None:
        """The scopes of the one token that ``call`` presents; None if it is no good.

        One that is bound to a key comes with a proof of it, and no other does.
        """
        scheme, token = _presented(call)
        claims = self._verified(token)
        if claims is None:
            return None
        bound = claims.get("cnf", {}).get("jkt")
        if (scheme == "DPoP") != (bound is not None):
            return None
        if bound is not None and self._proofs.thumbprint(call, token) != bound:
            return None
        return frozenset(claims["scp"])

    def _refused(self, call: Call, form: dict[str, str], scopes: frozenset[str]) -> Answer | None:
        if call.method != "POST" or not form:
            return _error(400, "invalid_request", "One well-formed form is expected, by POST.")
        if form.get("grant_type") != "client_credentials":
            return _error(400, "unsupported_grant_type", "Only client_credentials is supported.")
        if not self._authenticated(form, TOKEN_PATH):
            return _error(401, "invalid_client", "The client assertion was not accepted.")
        if not scopes or not scopes <= self._app.granted:
            return _error(400, "invalid_scope", "Some of these scopes are not granted to the app.")
        return None

    def _authenticated(self, form: dict[str, str], path: str) -> bool:
        """Whether the form holds an unused assertion signed by the app's key (RFC 7523, 3)."""
        assertion = form.get("client_assertion", "")
        try:
            kid = jwt.get_unverified_header(assertion).get("kid")
            claims = jwt.decode(
                assertion,
                self._app.public_key,
                algorithms=["RS256"],
                audience=self._url + path,
                issuer=self._app.client_id,
                subject=self._app.client_id,
                options={"require": ["iss", "sub", "aud", "exp", "jti"], "strict_aud": True},
            )
        except jwt.InvalidTokenError:
            return False
        accepted = (
            form.get("client_assertion_type") == ASSERTION_TYPE
            and form.get("client_id", self._app.client_id) == self._app.client_id
            and kid == self._app.key_id
            and int(claims["exp"]) <= time.time() + ASSERTION_LIFE
            and claims["jti"] not in self._spent
        )
        self._spent.add(claims["jti"])
        return accepted

    def _proved(self, call: Call, scopes: frozenset[str]) -> Answer:
        """A token, bound to the key of the call's proof if there is one."""
        if not given(call):
            return self._issued(scopes)
        if not self._proofs.shows_nonce(call):
            wants = _error(400, "use_dpop_nonce", "The proof must hold the server's nonce.")
            return replace(wants, headers={"DPoP-Nonce": self._proofs.nonce})
        key = self._proofs.thumbprint(call)
        if key is None:
            return _error(400, "invalid_dpop_proof", "The proof was not accepted.")
        return self._issued(scopes, key)

    def _issued(self, scopes: frozenset[str], key: str | None = None) -> Answer:
        granted = sorted(scopes)
        return Answer(
            200,
            {
                "token_type": "Bearer" if key is None else "DPoP",
                "expires_in": TOKEN_LIFE,
                "access_token": self._access_token(granted, TOKEN_LIFE, key),
                "scope": " ".join(granted),
            },
        )

    def _access_token(self, scopes: list[str], life: int, key: str | None = None) -> str:
        now = int(time.time())
        claims = {
            "ver": 1,
            "iss": self._url,
            "aud": self._url,
            "sub": self._app.client_id,
            "cid": self._app.client_id,
            "iat": now,
            "exp": now + life,
            "scp": scopes,
        } | ({} if key is None else {"cnf": {"jkt": key}})
        return self._signer.sign(claims, "JWT")

    def _verified(self, token: str) -> dict[str, Any] | None:
        """The claims of a token of the org's own that is current and not void."""
        key = self._signer.public_key
        if token in self._void:
            return None
        try:
            claims: dict[str, Any] = jwt.decode(
                token, key, algorithms=[ALGORITHM], audience=self._url, issuer=self._url
            )
        except jwt.InvalidTokenError:
            return None
        return claims


def _presented(call: Call) -> tuple[str, str]:
    """Scheme and token of the one Authorization field; "" for each where there is none."""
    match call.authorization():
        case (value,):
            scheme, _, token = value.partition(" ")
            return (scheme, token) if scheme in {"Bearer", "DPoP"} else ("", "")
    return "", ""


def _form(body: bytes) -> dict[str, str]:
    """The fields of a form; empty if it is malformed or repeats one (RFC 6749, section 3.2)."""
    try:
        fields = parse_qs(body.decode("ascii"), strict_parsing=True)
    except ValueError:
        return {}
    if any(len(values) > 1 for values in fields.values()):
        return {}
    return {name: values[0] for name, values in fields.items()}


def _error(status: int, code: str, description: str) -> Answer:
    return Answer(status, {"error": code, "error_description": description})
