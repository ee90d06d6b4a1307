"""An Okta org on loopback that judges each assertion and each proof it is sent, by PyJWT alone.

It serves the token endpoint, the revocation endpoint, and an API at every other path. A test may
make each of them hostile.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from itertools import count
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.loopback import serve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.web.http import Request
from twisted.web.server import NOT_DONE_YET

from jitgate.credentials.dpop import Nonces, Prover
from jitgate.credentials.okta import OktaCredentials
from jitgate.credentials.okta_app import Client, OktaApp, OktaServer
from jitgate.credentials.signing import Signer, read_key
from jitgate.values import Credential, Operation, ResponseHead, Risk

NOW = 1_800_000_000
TOKEN = "/oauth2/v1/token"
REVOKE = "/oauth2/v1/revoke"
KEY = ec.generate_private_key(ec.SECP256R1())
ANY_TIME: Any = {"verify_exp": False, "verify_iat": False}
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

Render = Callable[[Request], bytes | int]


def pem(key: Any, encryption: Any = None) -> bytes:
    made: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        encryption or serialization.NoEncryption(),
    )
    return made


@dataclass(frozen=True)
class Asked:
    """A request that the org got."""

    method: str
    path: str
    form: dict[str, str] = field(repr=False)
    proof: str | None = field(repr=False)
    authorization: str = field(repr=False)
    user_agent: str | None = None

    def proved(self) -> dict[str, Any]:
        """The claims of its proof, checked by the key that it brings along."""
        assert self.proof is not None
        header = jwt.get_unverified_header(self.proof)
        key = jwt.PyJWK(header["jwk"], header["alg"])
        claims: dict[str, Any] = jwt.decode(self.proof, key, [header["alg"]], options=ANY_TIME)
        return claims

    def asserted(self) -> dict[str, Any]:
        """The claims of its assertion, unchecked."""
        claims: dict[str, Any] = jwt.decode(
            self.form["client_assertion"], options={"verify_signature": False}
        )
        return claims


class OktaOrg:
    """What is asked is in ``asked``; ``answers`` holds, by path, what to answer first instead."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW + 0.7)
        self.asked: list[Asked] = []
        self.answers: dict[str, list[Render]] = {}
        self.changes: dict[str, Any] = {}
        self.headers: dict[str, str] = {}
        self.nonce: str | None = None
        """What the token endpoint wants to see."""
        self.api_nonce: str | None = None
        self.date: str | None = formatdate(NOW, usegmt=True)
        self.life = 3600
        self.minted: list[str] = []
        self.revoked: list[str] = []
        self.noted: list[tuple[str, dict[str, Any]]] = []
        self.pauses: list[float] = []
        self.spent: set[str] = set()
        self.hostile: list[str] = []
        """What was wrong with what was asked; a test ends with none."""
        self._ids = count()
        self.site = serve(self._render)
        self.url = self.site.origin
        self.authority = self.url.removeprefix("https://")

    # --- what is tested

    def server(self, **how: Any) -> OktaServer:
        whole: dict[str, Any] = {"org": self.url, "http": self.site.client, "clock": self.clock}
        return OktaServer(**(whole | {"jitter": lambda: 1.0} | how))

    def app(self, server: OktaServer | None = None, **how: Any) -> OktaApp:
        dpop = how.pop("dpop", True)
        ids = map("id-{}".format, self._ids).__next__
        key = how.pop("key", KEY)
        client = Client(
            how.pop("name", "reader"),
            how.pop("client_id", "0oa1"),
            **{name: how.pop(name) for name in ("risks", "scopes") if name in how},
        )
        assert not how
        return OktaApp(
            client,
            Signer(read_key(pem(key)), {"kid": "k1"}),
            Prover(self.clock, ids) if dpop else None,
            server or self.server(),
            new_id=ids,
            pause=self.pause,
        )

    def pause(self, seconds: float) -> Deferred[None]:
        self.pauses.append(seconds)
        return succeed(None)

    def source(self, *apps: OktaApp, **how: Any) -> OktaCredentials:
        nonces = how.pop("nonces", Nonces())
        return OktaCredentials(
            apps or [self.app(**how)],
            reach=lambda _: self.site.client,
            noted=lambda kind, fields: self.noted.append((kind, dict(fields))),
            clock=self.clock,
            jitter=lambda: 1.0,
            keyed=lambda data: f"keyed({len(data)})",
            nonces=nonces,
            close=lambda: succeed(None),
            alive=100,
        )

    def operation(self, *scopes: str, **how: Any) -> Operation:
        whole: dict[str, Any] = {
            "target": "okta",
            "action": "deactivateUser",
            "resource": {"id": "00u1"},
            "method": "POST",
            "authority": self.authority,
            "path": "/api/v1/users/00u1/lifecycle/deactivate",
            "scopes": scopes or ("okta.users.manage",),
            "risk": Risk.WRITE,
        }
        return Operation(**(whole | how))

    def reading(self, *scopes: str, **how: Any) -> Operation:
        whole = {"action": "getUser", "method": "GET", "path": "/api/v1/users/00u1"}
        named = scopes or ("okta.users.read",)
        return self.operation(*named, **({"risk": Risk.READ} | whole | how))

    async def call(self, operation: Operation, credential: Credential) -> ResponseHead:
        """Send the call as the gateway does; the head of the answer."""
        fields: Any = dict(credential.headers)
        response = await self.site.client.request(operation.method, operation.url, headers=fields)
        await response.content()
        headers = [
            (name, value)
            for name, values in response.headers.getAllRawHeaders()
            for value in values
        ]
        return ResponseHead(response.code, tuple(headers))

    # --- what was asked

    def at(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path]

    @property
    def live(self) -> set[str]:
        """Tokens that were minted and not revoked."""
        return set(self.minted) - set(self.revoked)

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [fields for each, fields in self.noted if each == kind]

    # --- how it answers

    def _render(self, request: Request) -> bytes | int:
        path = request.path.decode()
        asked = Asked(
            request.method.decode(),
            path,
            {name.decode(): values[0].decode() for name, values in request.args.items()},
            request.getHeader("DPoP"),
            request.getHeader("Authorization") or "",
            request.getHeader("User-Agent"),
        )
        self.asked.append(asked)
        if self.date is not None:
            request.setHeader("Date", self.date)
        for name, value in self.headers.items():
            request.setHeader(name, value)
        if waiting := self.answers.get(path):
            return waiting.pop(0)(request)
        if path not in {TOKEN, REVOKE}:
            return self._served(request, asked)
        if not self._authenticated(asked):
            return error(401, "invalid_client")(request)
        return (self._granted if path == TOKEN else self._void)(request, asked)

    def _granted(self, request: Request, asked: Asked) -> bytes | int:
        if asked.proof is not None:
            if self.nonce is not None and asked.proved().get("nonce") != self.nonce:
                request.setHeader("DPoP-Nonce", self.nonce)
                return error(400, "use_dpop_nonce")(request)
            self._check_proof(asked, None)
        token = f"hunter2.token-{len(self.minted)}~"
        self.minted.append(token)
        members = {
            "token_type": "Bearer" if asked.proof is None else "DPoP",
            "expires_in": self.life,
            "access_token": token,
            "scope": asked.form["scope"],
        } | self.changes
        kept = {name: value for name, value in members.items() if value is not ...}
        return json.dumps(kept).encode()

    def _void(self, request: Request, asked: Asked) -> bytes:
        self.revoked.append(asked.form["token"])
        return b""

    def _served(self, request: Request, asked: Asked) -> bytes | int:
        scheme, _, token = asked.authorization.partition(" ")
        if token not in self.live:
            request.setHeader("WWW-Authenticate", f'{scheme} error="invalid_token"')
            request.setResponseCode(401)
            return b""
        if scheme == "DPoP":
            if self.api_nonce is not None:
                request.setHeader("DPoP-Nonce", self.api_nonce)
                if asked.proved().get("nonce") != self.api_nonce:
                    request.setHeader("WWW-Authenticate", 'DPoP error="use_dpop_nonce"')
                    request.setResponseCode(401)
                    return b""
            self._check_proof(asked, token)
        return b"{}"

    def _authenticated(self, asked: Asked) -> bool:
        """Whether the assertion is one of the key's, for this endpoint, and new."""
        assertion, url = asked.form["client_assertion"], self.url + asked.path
        header = jwt.get_unverified_header(assertion)
        if header != {"alg": "ES256", "kid": "k1"}:
            return False
        claims = jwt.decode(assertion, KEY.public_key(), ["ES256"], audience=url, options=ANY_TIME)
        now = int(self.clock.seconds())
        fresh = claims["jti"] not in self.spent
        self.spent.add(claims["jti"])
        return (
            fresh
            and claims["iss"] == claims["sub"]
            and (claims["iat"], claims["exp"]) == (now, now + 60)
            and asked.form["client_assertion_type"] == ASSERTION_TYPE
        )

    def _check_proof(self, asked: Asked, token: str | None) -> None:
        """Note what is wrong with a proof (RFC 9449, section 4.3)."""
        claims, header = asked.proved(), jwt.get_unverified_header(asked.proof or "")
        ath = None
        if token is not None:
            digest = hashlib.sha256(token.encode()).digest()
            ath = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        wanted = {
            "typ": (header["typ"], "dpop+jwt"),
            "alg": (header["alg"], "ES256"),
            "jwk": (set(header["jwk"]), {"kty", "crv", "x", "y"}),
            "htm": (claims["htm"], asked.method),
            "htu": (claims["htu"], self.url + asked.path),
            "iat": (claims["iat"], int(self.clock.seconds())),
            "ath": (claims.get("ath"), ath),
            "new": (claims["jti"] in self.spent, False),
        }
        self.spent.add(claims["jti"])
        self.hostile += [name for name, (had, want) in wanted.items() if had != want]


def error(status: int, code: str, **fields: str) -> Render:
    """An answer of RFC 6749, section 5.2."""

    def render(request: Request) -> bytes:
        request.setResponseCode(status)
        for name, value in fields.items():
            request.setHeader(name.replace("_", "-"), value)
        return json.dumps({"error": code, "error_description": "hunter2"}).encode()

    return render


def plain(status: int, body: bytes = b"", **fields: str) -> Render:
    """An answer that is no more than that."""

    def render(request: Request) -> bytes:
        request.setResponseCode(status)
        for name, value in fields.items():
            request.setHeader(name.replace("_", "-"), value)
        return body

    return render


def hang_up(request: Request) -> int:
    """No answer: the connection ends."""
    cast("Any", request.channel).transport.abortConnection()
    return NOT_DONE_YET
