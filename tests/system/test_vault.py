"""A gateway, an OpenBao that keeps its target's secret, and a target that echoes all it is sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target, wait_for
from support.tokens import Tokens
from support.vault import vault_in
from support.wire import Origin, Tunnel

SECRET = "in-vault/0001="


def echo(request, tls):
    """Answers with all that came."""
    told = request.head + b"\n" + request.body
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(told)}\r\nX-Was: {request.line}\r\n\r\n"
    tls.sendall(head.encode() + told)
    return True


class Site:
    """Three hosts at one origin: by a token, by a role, and one that has nothing to do with it."""

    def __init__(self, folder: Path, vault) -> None:
        self.vault, self.folder = vault, folder
        ca = TestCA.create(folder, name="origin")
        self.tokens = Tokens(folder)
        self.origin = Origin(ca.leaf("token.example", "role.example", "api.example"), echo)
        self.trust = ca.pem
        self.token = vault.token("1h")
        self.role_id, self.secret_id = vault.role("gateway", "1h")

    def settings(self):
        common = {
            "type": "vault",
            "address": self.vault.address,
            "dial": f"127.0.0.1:{self.vault.port}",
            "trust": str(self.vault.ca),
            "path": "apis/github",
            "field": "token",
            "fresh": "1s",
            "oldest": "1s",
        }
        role = {"role_id": self.role_id, "secret_id": "env:A_SECRET_ID"}
        by_token = {
            "auth": {"token": "env:A_VAULT_TOKEN"},
            "as": {"header": "Authorization", "prefix": "Bearer "},
        }
        by_role = {"auth": {"approle": role}, "as": {"query": "api_key"}}
        return settings(
            self.folder,
            self.tokens.jwks,
            [
                self.target("token", credential=common | by_token),
                self.target("role", credential=common | by_role),
                self.target("api"),
            ],
        )

    def target(self, name, **more):
        return target(self.origin.port, self.trust, name=name, hosts=[f"{name}.example"], **more)

    def ask(self, name, path="/a"):
        """What came back, and what the origin got."""
        host = f"{name}.example"
        how = {"authority": f"{host}:443", "sni": host}
        self.origin.received.clear()
        with Tunnel(self.gateway.proxy, self.gateway.ca, self.tokens.token(), **how) as tunnel:
            tunnel.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            reply = tunnel.reply()
        self.assert_hidden(f"{reply!r}")
        return reply, list(self.origin.received)

    def assert_hidden(self, text):
        for secret in (SECRET, "in-vault%2F0001%3D", self.token, self.secret_id):
            assert secret not in text


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vault")
    with vault_in(folder) as vault:
        made = Site(folder, vault)
        vault.put(token=SECRET)
        environment = {"A_VAULT_TOKEN": made.token, "A_SECRET_ID": made.secret_id}
        with made.origin, GatewayProcess(folder, made.settings(), env=environment) as gateway:
            made.gateway = gateway
            yield made
        said = "".join(gateway.output)
        assert "Traceback" not in said
        assert "critical" not in said
        made.assert_hidden(said)
        logs = gateway.recordings.glob("logs/*/*.jsonl")
        made.assert_hidden("".join(file.read_text() for file in logs))


@pytest.fixture(autouse=True)
def unsealed(site):
    yield
    if site.vault.root.sys.is_sealed():
        site.vault.unseal()


def test_by_a_token_its_secret_is_sent_in_a_header(site):
    reply, (received,) = site.ask("token")
    assert reply.status == 200
    assert received.header("Authorization") == f"Bearer {SECRET}"
    fact = site.gateway.entries("outcome")[-1]["credential"]
    assert (fact["kind"], fact["place"], fact["version"]) == ("vault", "secret/apis/github", 1)


def test_by_a_role_its_secret_is_sent_in_the_query(site):
    reply, (received,) = site.ask("role", "/a?api_key=dummytoken")
    assert reply.status == 200
    assert received.line == "GET /a?api_key=in-vault%2F0001%3D HTTP/1.1"


@pytest.mark.parametrize("name", ["token", "role"])
def test_while_it_is_sealed_nothing_is_sent_and_other_targets_are_untouched(site, name):
    site.vault.seal()
    said = b""
    while said.count(b"Vault is sealed (503).") == 0:  # until what was read is too old
        reply, received = site.ask(name)
        assert (reply.status, len(received)) in {(200, 1), (502, 0)}
        said += reply.body
    assert site.ask("api")[0].status == 200
    site.vault.unseal()
    wait_for(lambda: site.ask(name)[0].status == 200)  # it is left alone for a while


def test_a_roles_token_is_handed_back_when_the_gateway_stops(site, tmp_path):
    other = Site(tmp_path, site.vault)
    tokens = site.vault.root.auth.token
    environment = {"A_VAULT_TOKEN": other.token, "A_SECRET_ID": other.secret_id}
    with other.origin, GatewayProcess(tmp_path, other.settings(), env=environment) as gateway:
        other.gateway = gateway
        before = set(tokens.list_accessors()["data"]["keys"])
        assert other.ask("role")[0].status == 200
        made = set(tokens.list_accessors()["data"]["keys"]) - before
    assert len(made) == 1
    assert not made & set(tokens.list_accessors()["data"]["keys"])
    assert tokens.lookup(other.token), "this one is the operator's to take back"
