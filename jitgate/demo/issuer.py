"""The identity provider of the sandbox's agents: an OpenID Connect issuer on the loopback."""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs

from jitgate.demo.authority import SandboxCA
from jitgate.demo.signing import ALGORITHM, TokenSigner
from jitgate.demo.site import LOOPBACK, Answer, Call, TlsSite

AUDIENCE = "jitgate"
GROUPS = ("it-agents",)

TOKEN_LIFE = 900
"""Seconds that an agent's token lives: long enough to walk through the demo, no more."""


class AgentIssuer:
    """Gives one agent its tokens (``client_credentials``, client secret by Basic).

    Args:
        reactor: The reactor (IReactorTCP and IReactorTime).
        ca: Signs the issuer's certificate.
    """

    client_id = "demo-agent"

    def __init__(self, reactor: Any, ca: SandboxCA) -> None:
        self.client_secret = secrets.token_urlsafe(32)
        self._signer = TokenSigner()
        self._site = TlsSite(reactor, ca.issue(LOOPBACK, "localhost"), self.answer)
        self.start = self._site.start
        self.stop = self._site.stop

    @property
    def url(self) -> str:
        """The issuer identifier, once started."""
        return f"https://{LOOPBACK}:{self._site.port}"

    def mint(self, sub: str, groups: Iterable[str] = GROUPS, life: int = TOKEN_LIFE) -> str:
        """An access token (RFC 9068) for ``sub`` that expires ``life`` seconds from now."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": sub,
            "aud": AUDIENCE,
            "client_id": self.client_id,
            "groups": list(groups),
            "iat": now,
            "exp": now + life,
        }
        return self._signer.sign(claims, "at+jwt")

    def answer(self, call: Call) -> Answer:
        """Answer one call."""
        match call.method, call.path:
            case "GET", "/.well-known/openid-configuration":
                return Answer(200, self._metadata())
            case "GET", "/keys":
                return Answer(200, self._signer.jwks())
            case "POST", "/token":
                return self._token(call)
        return Answer(404, {"error": "not_found"})

    def _metadata(self) -> dict[str, object]:
        """What OpenID Connect Discovery 1.0, section 3, asks for and this issuer has."""
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "token_endpoint": f"{self.url}/token",
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": ["token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
        }

    def _token(self, call: Call) -> Answer:
        pair = f"{self.client_id}:{self.client_secret}".encode()
        wanted = f"Basic {base64.b64encode(pair).decode()}"
        given = "".join(call.authorization())
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            return Answer(401, {"error": "invalid_client"}, {"WWW-Authenticate": "Basic"})
        if parse_qs(call.body.decode("latin-1")).get("grant_type") != ["client_credentials"]:
            return Answer(400, {"error": "unsupported_grant_type"})
        token = self.mint(self.client_id)
        return Answer(
            200, {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_LIFE}
        )
