"""Tokens over the whole gateway: shared where policy says, and void after a reload and a stop."""

import signal
import threading
from itertools import count

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target, wait_for
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering

from jitgate.credentials.okta import ASKED_FIRST

ORG = "acme.okta.example"
GROUPS, USERS = "/api/v1/groups", "/api/v1/users"


class Org:
    """An org that hands out numbered tokens, and remembers which it got back."""

    def __init__(self, folder):
        self.folder = folder
        self.ca = TestCA.create(folder, name="org")
        self.origin = Origin(self.ca.leaf(ORG), self.handle)
        self.tokens = Tokens(folder)
        self.numbers = count()
        self.lock = threading.Lock()
        self.takes_back = True
        key = folder / "app.pem"
        key.touch(mode=0o600)
        key.write_bytes(
            ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        self.credential = {
            "type": "okta",
            "org": f"https://{ORG}",
            "client_id": "0oa1",
            "key_id": "k1",
            "private_key": f"file:{key}",
        }

    def settings(self):
        far = target(self.origin.port, self.ca.pem, name="okta", hosts=[ORG], catalog="okta")
        rule = {
            "name": "reads",
            "reason": "A test.",
            "match": {"groups": ["it-agents"]},
            "effect": "permit",
            "reuse": "5m",
        }
        (self.folder / "policy.yaml").write_bytes(orjson.dumps([rule]))
        return settings(self.folder, self.tokens.jwks, [far | {"credential": self.credential}])

    def handle(self, received, tls):
        if "/oauth2/v1/token" in received.line:
            with self.lock:
                token = f"a-token-of-the-org-{next(self.numbers)}"
            members = {"token_type": "DPoP", "access_token": token, "expires_in": 3600}
            return answering(orjson.dumps(members))(received, tls)
        status = 200 if self.takes_back or "/revoke" not in received.line else 503
        return answering(b"[]", status=status)(received, tls)

    def arrived(self, path):
        return [each for each in self.origin.received if f" {path} " in each.line]

    def presented(self, path):
        """The tokens that came with calls of that path; each has a proof beside it."""
        heads = [each.head.decode() for each in self.arrived(path)]
        assert all("\nDPoP: ey" in head for head in heads)
        return [head.partition("Authorization: DPoP ")[2].split("\r\n")[0] for head in heads]

    def read(self, gateway, path):
        self.ask(gateway, f"GET {path}", b"")

    def change(self, gateway):
        self.ask(gateway, f"POST {GROUPS}", b'{"profile":{"name":"new"}}')

    def ask(self, gateway, line, body):
        fields = (
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        )
        how = {"authority": f"{ORG}:443", "sni": ORG}
        with Tunnel(gateway.proxy, gateway.ca, self.tokens.token(), **how) as tunnel:
            tunnel.send(f"{line} HTTP/1.1\r\nHost: {ORG}\r\n{fields}\r\n".encode() + body)
            assert tunnel.reply().status == 200


@pytest.fixture
def org(tmp_path):
    made = Org(tmp_path)
    with made.origin:
        yield made


def test_reads_share_a_token_until_a_reload_and_no_token_outlives_the_gateway(org):
    with GatewayProcess(org.folder, org.settings()) as gateway:
        for path in (GROUPS, GROUPS, USERS):
            org.read(gateway, path)
        first, second = org.presented(GROUPS)
        (other,) = org.presented(USERS)
        assert first == second != other
        assert gateway.entries("credential.revoked") == []
        gateway.process.send_signal(signal.SIGHUP)
        assert wait_for(lambda: len(gateway.entries("credential.revoked")) == 2)
        org.read(gateway, GROUPS)
        third = org.presented(GROUPS)[-1]
        assert third not in {first, second, other}
        gateway.stop()
        told = gateway.entries("credential.revoked")
        outcomes = gateway.entries("outcome")
    back = b"".join(each.body for each in org.arrived("/oauth2/v1/revoke")).decode()
    assert [back.count(token) for token in (first, other, third)] == [1, 1, 1]
    lent = [entry["credential"] for entry in outcomes]
    assert [each.get("reused", False) for each in lent] == [False, True, False, False]
    assert {each["fingerprint"] for each in told} == {each["fingerprint"] for each in lent}
    kept = b"".join(file.read_bytes() for file in gateway.recordings.rglob("*") if file.is_file())
    seen = "".join(gateway.output)
    assert not [each for each in (first, other, third) if each.encode() in kept or each in seen]


def test_after_a_reload_an_api_is_not_asked_again_what_it_wants_to_see(org):
    with GatewayProcess(org.folder, org.settings()) as gateway:
        org.change(gateway)
        gateway.process.send_signal(signal.SIGHUP)
        assert wait_for(lambda: gateway.entries("reload"))
        org.change(gateway)
        gateway.stop()
    assert len(org.arrived(ASKED_FIRST)) == 1
    assert len(org.arrived(GROUPS)) == 2


def test_what_the_org_does_not_take_back_at_the_end_is_on_record(org):
    org.takes_back = False
    with GatewayProcess(org.folder, org.settings()) as gateway:
        org.read(gateway, GROUPS)
        gateway.stop()
        (told,) = gateway.entries("credential.not-revoked")
    assert told["why"] == "The org answered 503."
    assert told["expires_at"]
