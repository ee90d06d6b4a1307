"""`jitgate identity check`: a token is explained as the gateway would take it, and never shown."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support.counterparts import TestCA
from support.gateway import settings, target
from support.hostile import VECTORS, Forge
from support.jwts import SigningKey, jwk_set

from jitgate.cli import identity

ISSUER = "https://acme.okta.com/oauth2/agents"
ELSEWHERE = "https://keys.example"
KEY = SigningKey.es256("k1")
OTHER = SigningKey.rs256("r1")


class Desk:
    """A configuration with two issuers: the keys of one are in a file, the other's are fetched."""

    def __init__(self, folder, capsys, monkeypatch):
        self.folder, self.capsys, self.monkeypatch = folder, capsys, monkeypatch
        self.forge = Forge(ISSUER, KEY, int(time.time()))
        (folder / "jwks.json").write_bytes(jwk_set(KEY.jwk(), OTHER.jwk()))
        self.issuer = {
            "name": "agents",
            "type": "oidc",
            "issuer": ISSUER,
            "audience": "jitgate",
            "jwks": "jwks.json",
        }
        self.elsewhere = {
            "name": "elsewhere",
            "type": "oidc",
            "issuer": ELSEWHERE,
            "audience": "jitgate",
        }
        self.configured()

    def configured(self, **changes):
        made = settings(self.folder, self.folder / "jwks.json", [target(9, self.folder)])
        made["targets"][0].pop("trust")
        made["identity"]["issuers"] = [self.issuer | changes, self.elsewhere]
        self.config = self.folder / "jitgate.yaml"
        self.config.write_text(json.dumps(made))

    def token(self, **claims):
        now = int(time.time())
        whole = {"iss": ISSUER, "aud": "jitgate", "sub": "bot-7", "iat": now, "exp": now + 600}
        whole |= claims
        return KEY.sign({name: value for name, value in whole.items() if value is not None})

    def check(self, token, *arguments, config=True):
        """What the command says, and its exit status; no part of the token must be in it."""
        data = token if isinstance(token, bytes) else token.encode()
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        parser = argparse.ArgumentParser()
        identity.register(parser.add_subparsers(required=True))
        where = ["--config", str(self.config)] if config else []
        options = parser.parse_args(["identity", "check", *where, *arguments])
        code = options.handler(options)
        captured = self.capsys.readouterr()
        shown = captured.out + captured.err
        for part in data.decode("latin-1").split("."):
            assert len(part) < 16 or part not in shown
        return code, captured.out, captured.err

    def explained(self, token, *arguments):
        code, out, err = self.check(token, "--json", *arguments)
        assert err == ""
        told = json.loads(out)
        assert code == {"accepted": 0, "refused": 1, "unknown": 2}[told["outcome"]]
        return told


@pytest.fixture
def desk(tmp_path, capsys, monkeypatch):
    return Desk(tmp_path, capsys, monkeypatch)


# --- accepted


def test_whom_a_sound_token_proves_is_told(desk):
    desk.configured(owners={"bot-7": "ada@acme.example"})
    token = desk.token(groups=["ops", "it-agents"], act={"sub": "pipeline"}, sid="s-1")
    code, out, err = desk.check(token)
    assert (code, err) == (0, "")
    for line in (
        "Accepted: the gateway believes this token.",
        f"  issuer       agents, {ISSUER}",
        "  id           bot-7",
        "  agent        pipeline",
        "  groups       it-agents, ops",
        "  humans       pipeline, ada@acme.example",
        "  session      s-1",
        "What the issuer signed:",
        "  alg          ES256",
        '  act          {"sub": "pipeline"}',
    ):
        assert line in out.splitlines()
    assert re.search(r"^  until        \S+Z, (9 min 5\d s|10 min) from now$", out, re.MULTILINE)


def test_a_program_is_told_the_same(desk):
    told = desk.explained(desk.token(groups="ops"))
    left = told["subject"].pop("seconds_left")
    assert 500 < left <= 600
    assert re.fullmatch(r"\S+Z", told["subject"].pop("expires_at"))
    assert told["subject"] == {
        "issuer": ISSUER,
        "id": "bot-7",
        "agent": None,
        "groups": ["ops"],
        "humans": [],
        "session": None,
    }
    assert told["issuer"] == {"name": "agents", "url": ISSUER}
    assert (told["reason"], told["verified"]) == (None, True)
    assert told["token"]["header"] == {"alg": "ES256", "kid": "k1", "typ": "JWT"}
    assert told["token"]["claims"]["groups"] == "ops"


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_end_of_a_line_is_no_part_of_the_token(desk, end):
    assert desk.check(desk.token() + end)[0] == 0


@pytest.mark.parametrize(("before", "after"), [(" ", ""), ("\n", ""), ("", " \n"), ("", "\t")])
def test_other_space_is_told_as_the_gateway_would(desk, before, after):
    told = desk.explained(f"{before}{desk.token()}{after}")
    assert "canonical base64url" in told["reason"]


# --- refused


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_hostile_token_is_refused_for_its_reason(desk, vector):
    told = desk.explained(desk.forge.token(vector))
    assert told["outcome"] == "refused"
    assert vector["reason"] in told["reason"]
    assert (told["subject"], told["verified"]) == (None, False)


def test_beside_what_a_token_says_stands_what_it_must_say(desk):
    desk.configured(also_for=["other"], required={"team": ["ops", 7]})
    code, out, _ = desk.check(desk.token(aud="another"))
    assert code == 1
    assert out.startswith(
        "Refused. The agent's token is refused: it is meant for another audience."
    )
    wanted, said = out.split("What it says of itself, of which nothing is proved:")
    assert "It names the issuer agents, whose tokens must say:" in wanted
    for line in (
        f"  iss          {ISSUER}",
        "  aud          jitgate or other",
        "  alg          RS256 or ES256",
        "  kid          k1 (ES256) or r1 (RS256)",
        "  team         ops or 7",
    ):
        assert line in wanted.splitlines()
    assert "  aud          another" in said.splitlines()


def test_who_is_configured_is_told_where_nobody_known_made_it(desk):
    code, out, _ = desk.check(desk.token(iss="https://evil.example"))
    assert code == 1
    assert "no issuer that is known here made it" in out
    assert f"  agents       {ISSUER}" in out.splitlines()
    assert f"  elsewhere    {ELSEWHERE}" in out.splitlines()
    assert "It names" not in out


def test_times_are_told_as_such(desk):
    out = desk.check(desk.token(exp=1, iat=10**30))[1]
    assert re.search(r"^  exp          1: 1970-01-01T00:00:01Z, .* ago$", out, re.MULTILINE)
    assert f"  iat          {10**30}" in out.splitlines()


def test_as_if_one_issuer_alone_were_configured(desk):
    assert desk.check(desk.token(), "--issuer", "agents")[0] == 0
    told = desk.explained(desk.token(), "--issuer", "elsewhere")
    assert told["outcome"] == "refused"
    assert "no issuer that is known" in told["reason"]


def test_what_a_token_says_plays_no_tricks_and_is_cut_where_it_is_long(desk):
    inner = KEY.sign({"sub": "somebody else"})
    deep = {"a": {"b": {"c": {"d": {"e": "too deep"}}}}}
    out = desk.check(
        desk.token(
            exp=1,
            trick="\x1b[2J\u202eevil",
            **{"\nAccepted": "no"},
            long="x" * 2_000,
            many=list(range(200)),
            nested=f"before {inner} after",
            deep=deep,
            huge=10**300,
        )
    )[1]
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "\nAccepted" not in out
    assert "  trick        \\x1b[2J\\u202eevil" in out.splitlines()
    assert "x" * 201 not in out
    assert "(2000 characters)" in out
    assert "49, " in out
    assert "50, " not in out
    assert "(200 in all)" in out
    assert "before (a token) after" in out
    assert "too deep" not in out
    assert "(a number of very many digits)" in out


def test_a_token_without_end_is_refused_without_being_read_whole(desk):
    told = desk.explained(b"a" * (5 * 1024 * 1024))
    assert "longer than 16384 bytes" in told["reason"]
    assert told["token"] is None


# --- it could not be told


@pytest.mark.parametrize("data", [b"", b" \r\n\t"])
def test_no_token_is_no_answer(desk, data):
    assert desk.check(data) == (2, "", "There is no token on standard input.\n")


def test_keys_that_would_have_to_be_fetched_are_no_answer_and_what_to_do_is_told(desk):
    told = desk.explained(desk.token(iss=ELSEWHERE))
    assert told["outcome"] == "unknown"
    assert f"fetched from {ELSEWHERE}" in told["reason"]
    assert "--fetch" in told["reason"]
    assert "(jwks)" in told["reason"]
    code, out, _ = desk.check(desk.token(iss=ELSEWHERE))
    assert code == 2
    assert out.startswith("It could not be told. ")
    assert "of which nothing is proved" in out


def test_what_no_key_can_mend_is_refused_without_any(desk):
    told = desk.explained(KEY.sign({"iss": ELSEWHERE}, typ="logout+jwt"))
    assert told["outcome"] == "refused"
    assert "typ" in told["reason"]


@pytest.mark.parametrize(
    ("claims", "why"),
    [({"exp": 1}, "it has expired"), ({"aud": "other"}, "it is meant for another audience")],
)
def test_what_is_wrong_with_its_claims_is_told_without_a_key(desk, claims, why):
    told = desk.explained(desk.token(iss=ELSEWHERE, **claims))
    assert (told["outcome"], told["verified"]) == ("refused", False)
    assert told["reason"] == f"The agent's token is refused: whoever signed it, {why}."


def test_another_name_than_those_configured_is_no_answer(desk):
    code, out, err = desk.check(desk.token(), "--issuer", "agent")
    assert (code, out) == (2, "")
    assert err == "No issuer is configured by the name 'agent'; did you mean 'agents'?\n"


def test_a_bad_configuration_is_no_answer(desk):
    desk.configured(audience=7)
    code, out, err = desk.check(desk.token())
    assert (code, out) == (2, "")
    assert "audience" in err


def test_a_key_set_that_cannot_be_used_is_no_answer(desk):
    (desk.folder / "jwks.json").write_text("{}")
    code, out, err = desk.check(desk.token())
    assert (code, out) == (2, "")
    assert "key set" in err


def test_where_nothing_is_named_the_configuration_is_found_as_twistd_finds_it(desk):
    desk.monkeypatch.setenv("JITGATE_CONFIG", str(desk.config))
    assert desk.check(desk.token(), config=False)[0] == 0
    desk.monkeypatch.delenv("JITGATE_CONFIG")
    desk.monkeypatch.chdir(desk.folder)
    code, _, err = desk.check(desk.token(), config=False)
    assert code == 2
    assert "etc/jitgate.yaml" in err


# --- asking the issuer


class Published:
    """An issuer of the standard library's, and who asked it for what."""

    def __init__(self, folder):
        self.asked = asked = []
        ca = TestCA.create(folder, name="issuer")
        leaf = ca.leaf("127.0.0.1")
        self.ca = ca.pem
        self.documents = documents = {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                found = documents.get(self.path)
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", str(len(found or b"")))
                self.end_headers()
                self.wfile.write(found or b"")

            def log_message(self, *_):
                """Nobody reads it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(leaf.cert, leaf.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_port}"
        about = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        documents["/.well-known/openid-configuration"] = json.dumps(about).encode()
        documents["/keys"] = jwk_set(KEY.jwk())

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def published(desk):
    with Published(desk.folder) as made:
        desk.elsewhere |= {"issuer": made.url, "trust": str(made.ca)}
        desk.configured()
        yield made


def process(desk, token, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "jitgate", "identity", "check", "--config", desk.config, *arguments],
        input=token.encode(),
        capture_output=True,
        timeout=30,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )


def test_an_issuer_is_asked_for_its_keys_where_that_is_wanted(desk, published):
    token = desk.token(iss=published.url, name="Åsa")
    done = process(desk, token)
    assert (done.returncode, published.asked) == (2, [])
    done = process(desk, token, "--fetch")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"Accepted")
    assert b"\\xc5sa" in done.stdout
    assert published.asked == ["/.well-known/openid-configuration", "/keys"]


def test_why_its_keys_cannot_be_had_is_told(desk, published):
    published.documents.pop("/keys")
    done = process(desk, desk.token(iss=published.url), "--fetch", "--json")
    assert done.returncode == 2
    told = json.loads(done.stdout)
    assert told["outcome"] == "unknown"
    assert "The issuer answered 404." in told["reason"]


def test_nobody_that_a_token_names_is_asked(desk, published):
    for header in ({"jku": published.url}, {"x5u": published.url}, {"kid": published.url}):
        done = process(desk, KEY.sign({"iss": ISSUER, "sub": "bot-7"}, **header), "--fetch")
        assert done.returncode == 1
    desk.elsewhere |= {"issuer": ELSEWHERE}
    desk.configured()
    done = process(desk, desk.token(iss=published.url), "--fetch")
    assert done.returncode == 1
    assert published.asked == []
