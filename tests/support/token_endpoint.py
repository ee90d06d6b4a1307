"""An org's token endpoint over TLS, for programs that ask it: it judges for itself, and counts.

It knows apps by their public keys (RFC 7523), wants proofs with a nonce where an app is set to
DPoP (RFC 9449), gives a token for a set of scopes only if all of them are granted, and revokes.
"""

from __future__ import annotations

import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
from support.counterparts import TestCA
from support.jwts import SigningKey

MINT, REVOKE = "/oauth2/v1/token", "/oauth2/v1/revoke"

Answer = tuple[int, dict[str, object], dict[str, str]]
"""Status, members of the body, fields."""


@dataclass(frozen=True)
class App:
    """A service app, as the org knows it."""

    client_id: str
    key: SigningKey
    granted: frozenset[str]
    dpop: bool = True


@dataclass
class Org:
    """What the endpoint knows, and what has become of it."""

    apps: list[App]
    url: str = ""
    ca: Path = Path()
    asked: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    """By which client, for which scopes, in order; only what was well asked."""
    named: set[str] = field(default_factory=set)
    """What the calls said in their User-Agent."""
    minted: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    limited: int = 0
    """How many of the next calls for a token are answered with 429."""
    down: bool = False
    keeps: bool = False
    """Whether it refuses to revoke."""
    unbound: bool = False
    """Whether its tokens are bound to no key, whatever proof came."""
    clock: float = 0.0
    """Seconds that its clock is ahead."""
    meanwhile: Callable[[], None] = lambda: None
    """Called before a token is handed out."""
    _nonce: str = "n-1"
    _spent: set[str] = field(default_factory=set)

    def answer(self, path: str, form: dict[str, str], proof: str | None) -> Answer:
        """What is answered to a form."""
        if self.down:
            return 503, {}, {}
        app = self._app(form, path)
        if app is None:
            return 401, {"error": "invalid_client"}, {}
        if path == REVOKE:
            return self._revoked(form)
        if self.limited:
            self.limited -= 1
            reset = f"{int(time.time()) + 1}"
            return 429, {"errorCode": "E0000047"}, {"X-Rate-Limit-Reset": reset}
        wrong = self._proof(app, proof)
        if wrong is not None:
            fields = {"DPoP-Nonce": self._nonce} if wrong == "use_dpop_nonce" else {}
            return 400, {"error": wrong}, fields
        return self._minted(app, frozenset(form["scope"].split(" ")), bound=proof is not None)

    def _minted(self, app: App, scopes: frozenset[str], *, bound: bool) -> Answer:
        self.asked.append((app.client_id, scopes))
        if not scopes <= app.granted:
            return 400, {"error": "invalid_scope"}, {}
        self.meanwhile()
        token = f"token-{secrets.token_urlsafe(12)}"
        self.minted.append(token)
        kind = "DPoP" if bound and not self.unbound else "Bearer"
        whole = {"access_token": token, "token_type": kind, "expires_in": 3600}
        return 200, {**whole, "scope": " ".join(scopes)}, {}

    def _revoked(self, form: dict[str, str]) -> Answer:
        if self.keeps:
            return 400, {"error": "unsupported_token_type"}, {}
        self.revoked.append(form["token"])
        return 200, {}, {}

    def _app(self, form: dict[str, str], path: str) -> App | None:
        """The app that the assertion proves, once."""
        for app in self.apps:
            claims = self._claims(app, form.get("client_assertion", ""), path)
            if claims is not None and claims["jti"] not in self._spent:
                self._spent.add(claims["jti"])
                return app
        return None

    def _claims(self, app: App, assertion: str, path: str) -> dict[str, Any] | None:
        try:
            if jwt.get_unverified_header(assertion).get("kid") != app.key.key_id:
                return None
            claims: dict[str, Any] = jwt.decode(
                assertion,
                app.key.private.public_key(),
                algorithms=[app.key.algorithm],
                audience=[f"{self.url}{MINT}", f"{self.url}{path}"],
                issuer=app.client_id,
                options={"verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError:
            return None
        return claims if abs(claims["iat"] - time.time() - self.clock) < 60 else None

    def _proof(self, app: App, proof: str | None) -> str | None:
        """What is wrong with the proof, if anything is."""
        if proof is None:
            return "invalid_dpop_proof" if app.dpop else None
        key = jwt.PyJWK(jwt.get_unverified_header(proof)["jwk"])
        claims = jwt.decode(proof, key.key, algorithms=["ES256"], options={"verify_iat": False})
        if (claims["htm"], claims["htu"]) != ("POST", f"{self.url}{MINT}"):
            return "invalid_dpop_proof"
        return None if claims.get("nonce") == self._nonce else "use_dpop_nonce"


class TokenEndpoint:
    """Serves an org while it is entered."""

    def __init__(self, folder: Path, apps: Sequence[App]) -> None:
        self.org = org = Org(list(apps))
        authority = TestCA.create(folder)
        leaf = authority.leaf("127.0.0.1")

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body leave together: else each answer waits for an ACK

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                org.named.add(self.headers["User-Agent"])
                status, members, fields = org.answer(self.path, form, self.headers["DPoP"])
                content = json.dumps(members).encode()
                self.send_response(status)
                for name, value in {**fields, "Content-Type": "application/json"}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def date_time_string(self, timestamp: float | None = None) -> str:
                return formatdate((timestamp or time.time()) + org.clock, usegmt=True)

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(leaf.cert, leaf.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        org.url, org.ca = f"https://127.0.0.1:{self._server.server_port}", authority.pem

    def __enter__(self) -> Org:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self.org

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
