"""The org binds a token to the key that was proved, and takes it with a proof of that key only."""

import base64
import hashlib
import json
import time
import uuid

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from jitgate.demo.authorization import REVOKE_PATH, TOKEN_PATH
from jitgate.demo.site import Call

URL = "https://acme.okta.example"
USERS = "/api/v1/users"
READ = "okta.users.read"


class Holder:
    """A client with a key of its own, by PyJWT alone."""

    def __init__(self, sandbox, client):
        self.org, self.client = sandbox.org, client
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.nonce = None

    def proof(self, path, method, token=None, *, key=None, typ="dpop+jwt", **twisted):
        claims = {
            "jti": str(uuid.uuid4()),
            "htm": method,
            "htu": URL + path,
            "iat": int(time.time()),
        }
        if self.nonce is not None and token is None:
            claims["nonce"] = self.nonce
        if token is not None:
            digest = hashlib.sha256(token.encode()).digest()
            claims["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        jwk = json.loads(ECAlgorithm.to_jwk((key or self.key).public_key()))
        jwk = {name: jwk[name] for name in ("kty", "crv", "x", "y")}
        return jwt.encode(claims | twisted, key or self.key, "ES256", {"typ": typ, "jwk": jwk})

    def ask(self, proof):
        headers = ((b"dpop", proof.encode()),)
        return self.org.answer(Call("POST", TOKEN_PATH, "", headers, self.client.form(READ)))

    def token(self):
        first = self.ask(self.proof(TOKEN_PATH, "POST"))
        assert (first.status, first.content["error"]) == (400, "use_dpop_nonce")
        self.nonce = first.headers["DPoP-Nonce"]
        answer = self.ask(self.proof(TOKEN_PATH, "POST"))
        assert answer.content["token_type"] == "DPoP"
        return answer.content["access_token"]

    def read(self, token, *proofs, scheme="DPoP"):
        headers = [(b"authorization", f"{scheme} {token}".encode())]
        headers += [(b"dpop", proof.encode()) for proof in proofs]
        return self.org.answer(Call("GET", USERS, "", tuple(headers), b"")).status


@pytest.fixture
def holder(resting, client):
    return Holder(resting, client)


def test_a_bound_token_is_taken_with_a_proof_of_its_key_once(holder):
    token = holder.token()
    proof = holder.proof(USERS, "GET", token)
    assert holder.read(token, proof) == 200
    assert holder.read(token, proof) == 401


@pytest.mark.parametrize(
    "twist",
    [
        {"htm": "POST"},
        {"htu": URL + "/api/v1/groups"},
        {"ath": "another"},
        {"iat": int(time.time()) - 3600},
        {"jti": 7},
        {"typ": "JWT"},
        {"key": ec.generate_private_key(ec.SECP256R1())},
    ],
)
def test_a_proof_of_something_else_is_none(holder, twist):
    token = holder.token()
    assert holder.read(token, holder.proof(USERS, "GET", token, **twist)) == 401


def test_a_bound_token_is_no_bearer_token_and_a_bearer_token_is_not_bound(holder, client):
    token, bearer = holder.token(), client.token(READ)
    assert holder.read(token, scheme="Bearer") == 401
    assert holder.read(token) == 401
    assert holder.read(token, *[holder.proof(USERS, "GET", token)] * 2) == 401
    assert holder.read(bearer, holder.proof(USERS, "GET", bearer)) == 401
    assert holder.read(bearer, scheme="Bearer") == 200


def test_a_proof_that_is_no_good_gets_no_token(holder):
    holder.token()
    answer = holder.ask(holder.proof(TOKEN_PATH, "GET"))
    assert (answer.status, answer.content["error"]) == (400, "invalid_dpop_proof")


def revoke(holder, token, method="POST"):
    aud = f"{URL}{REVOKE_PATH}"
    form = holder.client.form(READ, holder.client.assertion(aud=aud), token=token)
    return holder.org.answer(Call(method, REVOKE_PATH, "", (), form)).status


def test_what_is_revoked_opens_nothing(holder):
    token = holder.token()
    assert revoke(holder, token) == 200
    assert holder.read(token, holder.proof(USERS, "GET", token)) == 401
    assert revoke(holder, "whatever") == 200


def test_only_the_app_revokes_and_only_by_post(holder):
    token = holder.token()
    assert revoke(holder, token, "PUT") == 400
    form = holder.client.form(READ, token=token)
    assert holder.org.answer(Call("POST", REVOKE_PATH, "", (), form)).status == 401
    assert holder.read(token, holder.proof(USERS, "GET", token)) == 200
