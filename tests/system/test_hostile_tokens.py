"""Tokens that attackers make, at a real gateway: each is answered, and nothing else happens.

Every address in them is that of a listener here, which must hear nothing.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from dataclasses import dataclass

import orjson
import pytest
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target, wait_for
from support.hostile import HEAVY, VECTORS, Forge
from support.jwts import SigningKey, jwk_set
from support.tokens import ISSUER
from support.wire import Origin
from system.conftest import Scene

ADDRESS = re.compile(r"https?://[^\"\\]+")


class Listener:
    """A port on the loopback, and how often somebody called."""

    def __init__(self):
        self.calls = 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/keys"
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self):
        while True:
            called, _ = self.socket.accept()
            with called:
                if called.recv(3) == b"end":
                    return
                self.calls += 1

    def heard(self):
        """Whether anybody called up to now: whoever did stands before this in the queue."""
        with socket.create_connection(self.socket.getsockname()) as last:
            last.sendall(b"end")
        self.thread.join(10)
        return self.calls

    def close(self):
        self.socket.close()


@dataclass
class Attacked(Scene):
    """A gateway that believes one issuer, and whoever forges that one's tokens."""

    forge: Forge
    listener: Listener

    def token(self, vector):
        """A vector's token, in which every address is the listener's."""
        named = {
            part: ADDRESS.sub(lambda _: self.listener.url, vector[part])
            for part in ("header", "claims")
        }
        return self.forge.token(vector | named)

    def ask(self, token, scheme):
        with self.tunnel(token=token, scheme=scheme) as tunnel:
            assert tunnel.status == 200
            return tunnel.ask("DELETE", "/things/1")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene")
    ca = TestCA.create(folder, name="origin")
    forge = Forge(ISSUER, SigningKey.es256("k1"), int(time.time()))
    keys = folder / "jwks.json"
    keys.write_bytes(jwk_set(forge.key.jwk(), SigningKey.rs256("r1").jwk()))
    listener = Listener()
    made = Attacked.__new__(Attacked)
    with Origin(ca.leaf("api.example"), made.handle) as origin:
        configuration = settings(folder, keys, [target(origin.port, ca.pem)])
        with GatewayProcess(folder, configuration) as gateway:
            made.gateway, made.origin, made.tokens = gateway, origin, None
            made.forge, made.listener = forge, listener
            yield made
    listener.close()


def refused(scene, token, scheme):
    """The reason, which the agent is told and which is on record."""
    reply = scene.ask(token, scheme)
    assert reply.status == 401
    assert 'error="invalid_token"' in reply.header("WWW-Authenticate")
    told = orjson.loads(reply.body)
    assert told["type"].endswith("token-refused")
    entry = scene.gateway.entries("decision")[-1]
    assert (entry["effect"], entry["subject"]) == ("deny", None)
    assert entry["reason"] == told["detail"]
    assert told["request_id"] == entry["exchange"]
    assert scene.origin.received == []
    return told["detail"]


def test_a_token_in_the_place_of_the_name_is_refused_and_nowhere_to_be_found(scene):
    """First of all: of one address so many refusals in a minute have an entry each."""
    claims = {"iss": ISSUER, "aud": "jitgate", "sub": "bot-7", "groups": ["it-agents"]}
    token = scene.forge.key.sign(claims | {"exp": scene.forge.now + 600})
    for password in ("x", token):
        with scene.tunnel(name=token, token=password) as tunnel:
            assert tunnel.status == 400
            answer = tunnel.answer + tunnel.raw.recv(65536)
            assert b"The token belongs into the password" in answer
    both = wait_for(
        lambda: [e for e in scene.gateway.entries("refused") if "password" in e["detail"]][1:]
    )
    assert {entry["denial"] for entry in both} == {"malformed-request"}
    kept = [file.read_bytes() for file in scene.gateway.recordings.rglob("*") if file.is_file()]
    said = b"".join([*kept, "".join(scene.gateway.output).encode(), answer])
    assert b"password" in said
    assert not [part for part in token.split(".")[1:] if part.encode() in said]
    assert scene.origin.received == []


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_hostile_token_is_answered_with_its_reason_and_nothing_is_forwarded(
    scene, vector, scheme
):
    token = scene.token(vector)
    if scheme == "Bearer" and "\n" in token:  # not one field any more
        with scene.tunnel(token=token, scheme=scheme) as tunnel:
            assert tunnel.status == 400
    else:
        assert vector["reason"] in refused(scene, token, scheme)


@pytest.mark.parametrize("name", HEAVY)
def test_so_is_one_that_takes_long_to_read(scene, name):
    reason = refused(scene, scene.forge.heavy()[name], "Bearer")
    assert "it has expired" in reason or "one unambiguous JSON object" in reason


def test_but_for_what_is_wrong_with_them_they_would_be_taken(scene):
    claims = {"iss": ISSUER, "aud": "jitgate", "sub": "bot-7", "groups": ["it-agents"]}
    assert (
        scene.ask(scene.forge.key.sign(claims | {"exp": scene.forge.now + 600}), "Bearer").status
        == 200
    )


def test_no_address_that_a_token_names_was_called_and_no_token_is_in_the_log(scene):
    named = [each for each in VECTORS if "jku" in each["header"] or "x5u" in each["header"]]
    tokens = [scene.token(each) for each in (*named, VECTORS[0])]
    for token in tokens:
        refused(scene, token, "Basic")
    wait_for(lambda: "".join(scene.gateway.output).count("A token of ") >= len(tokens))
    log = "".join(scene.gateway.output)
    assert not [part for token in tokens for part in token.split(".") if part in log]
    assert scene.listener.heard() == 0
