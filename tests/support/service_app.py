"""A service app by hand: assertions, proofs and calls as a test wants them, right or wrong."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import socket
import ssl
import time
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import ECAlgorithm
from support.counterparts import ANSWER_SECONDS, LOOPBACK, App, Org
from support.wire import Reply

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class ServiceApp:
    """Speaks to an org as one of its apps (RFC 7523, RFC 9449), with a proof key of its own."""

    def __init__(self, org: Org, app: App) -> None:
        self._org = org
        self._app = app
        self._key: Any = load_pem_private_key(app.private_key.read_bytes(), password=None)
        self.proof_key = ec.generate_private_key(ec.SECP256R1())
        self._nonce: str | None = None
        """What the token endpoint gave."""

    def assertion(
        self, path: str, headers: Mapping[str, object] | None = None, **claims: object
    ) -> str:
        """A proof of who it is, for an endpoint; ``claims`` change or add claims."""
        now = int(time.time())
        content = {
            "iss": self._app.client_id,
            "sub": self._app.client_id,
            "aud": f"{self._org.url}{path}",
            "iat": now,
            "exp": now + 60,
            "jti": str(uuid.uuid4()),
        }
        algorithm = "ES256" if isinstance(self._key, ec.EllipticCurvePrivateKey) else "RS256"
        named = {"kid": self._app.kid} if headers is None else dict(headers)
        return jwt.encode(content | claims, self._key, algorithm, headers=named)

    def proof(
        self,
        method: str,
        path: str,
        token: str | None = None,
        key: ec.EllipticCurvePrivateKey | None = None,
        **claims: object,
    ) -> str:
        """A proof of its key for one request; ``claims`` change or add claims."""
        key = key or self.proof_key
        content: dict[str, object] = {
            "htm": method,
            "htu": f"{self._org.url}{path}",
            "iat": int(time.time()),
            "jti": str(uuid.uuid4()),
        }
        if token is not None:
            digest = hashlib.sha256(token.encode()).digest()
            content["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        public = json.loads(ECAlgorithm.to_jwk(key.public_key()))
        headers = {"typ": "dpop+jwt", "jwk": public}
        return jwt.encode(content | claims, key, "ES256", headers=headers)

    def ask(self, path: str, assertion: str | None = None, **form: str) -> Reply:
        """Post a form to one of the org's endpoints, with a proof where the app is bound to one."""
        fields = {"Content-Type": "application/x-www-form-urlencoded"}
        if self._app.dpop and path == self._org.token_path:
            nonce: dict[str, Any] = {} if self._nonce is None else {"nonce": self._nonce}
            fields["DPoP"] = self.proof("POST", path, **nonce)
        form |= {"client_assertion_type": _ASSERTION}
        form |= {"client_assertion": assertion or self.assertion(path)}
        return self.send("POST", path, fields, urlencode(form))

    def mint(self, *scopes: str) -> str:
        """A token for these scopes; a nonce that is asked for is given."""
        form = {"grant_type": "client_credentials", "scope": " ".join(scopes)}
        reply = self.ask(self._org.token_path, **form)
        if reply.status == 400 and json.loads(reply.body)["error"] == "use_dpop_nonce":
            self._nonce = reply.header("DPoP-Nonce")
            reply = self.ask(self._org.token_path, **form)
        assert reply.status == 200, reply.body
        return str(json.loads(reply.body)["access_token"])

    def call(self, method: str, path: str, token: str, proof: str | None = None) -> Reply:
        """Call the API; a nonce that is asked for is given, unless the proof was made before."""
        made = proof or self.proof(method, path, token)
        reply = self.send(method, path, {"Authorization": f"DPoP {token}", "DPoP": made})
        if proof is None and (nonce := reply.header("DPoP-Nonce")) is not None:
            return self.call(method, path, token, self.proof(method, path, token, nonce=nonce))
        return reply

    def api_nonce(self, token: str) -> str:
        """The nonce that the API asks for now."""
        path = "/api/v1/users"
        fields = {"Authorization": f"DPoP {token}", "DPoP": self.proof("GET", path, token)}
        return str(self.send("GET", path, fields).header("DPoP-Nonce"))

    def send(
        self, method: str, path: str, fields: Mapping[str, str], body: str | None = None
    ) -> Reply:
        """One request on a connection of its own."""
        context = ssl.create_default_context(cafile=str(self._org.ca))
        connection = _Dialled(self._org.host, self._org.port, context)
        try:
            connection.request(method, path, body, dict(fields))
            response = connection.getresponse()
            return Reply(response.status, response.getheaders(), response.read())
        finally:
            connection.close()


class _Dialled(http.client.HTTPSConnection):
    """A connection to a host at a port of the loopback address, whatever names resolve to."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(host, timeout=ANSWER_SECONDS, context=context)
        self._context_in_use = context
        self._at = (LOOPBACK, port)

    def connect(self) -> None:
        raw = socket.create_connection(self._at, self.timeout)
        self.sock = self._context_in_use.wrap_socket(raw, server_hostname=self.host)
