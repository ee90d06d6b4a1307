"""Another CA, by its commands and reloads, while workers serve."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import urllib.request

import orjson
import pytest
from cryptography import x509
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering


@pytest.fixture(autouse=True)
def plain_answers():
    """There is no scene."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """There is no scene."""


def run(*arguments):
    command = [sys.executable, "-m", "jitgate", *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


def test_agents_that_take_the_file_go_on_through_all_of_it(tmp_path):
    ca, tokens = TestCA.create(tmp_path, name="origin"), Tokens(tmp_path)
    with Origin(ca.leaf("api.example"), answering(b"{}")) as origin:
        made = settings(tmp_path, tokens.jwks, [target(origin.port, ca.pem)], workers=2)
        made["control"] = {"operators": {os.getuid(): "root"}}
        with GatewayProcess(tmp_path, made) as gateway:
            config = ("--config", gateway.config)

            def trusts(file):
                """Whether a client with that file gets an answer, at each of the workers."""
                try:
                    for _ in range(4):
                        with Tunnel(gateway.proxy, file, tokens.token()) as tunnel:
                            assert tunnel.ask("GET", "/things").status == 200
                except ssl.SSLCertVerificationError:
                    return False
                return True

            old, both = tmp_path / "old.pem", tmp_path / "both.pem"
            old.write_bytes(gateway.ca.read_bytes())
            run("ca", "rotate", "--switch", "1h", *config)
            run("reload", *config)
            assert trusts(old)
            both.write_bytes(gateway.ca.read_bytes())
            proxies = urllib.request.ProxyHandler({"http": "http://{}:{}".format(*gateway.proxy)})
            page = urllib.request.build_opener(proxies).open("http://jitgate.internal/ca.pem")
            with page:
                assert page.read() == both.read_bytes()
            assert run("ca", *config).encode() == both.read_bytes()

            run("ca", "cancel", *config)
            run("ca", "rotate", "--switch", "0s", *config)
            run("reload", *config)
            new = orjson.loads(run("ca", "status", "--json", *config))
            assert new["signs"] == new["next"]
            assert trusts(gateway.ca)
            assert not trusts(old)
            run("ca", "retire", *config)
            run("reload", *config)
            assert trusts(gateway.ca)
            (left,) = x509.load_pem_x509_certificates(gateway.ca.read_bytes())
            assert left.fingerprint(left.signature_hash_algorithm).hex() == new["signs"]
            said = gateway.entries("ca")
            assert [("next" in each) for each in said] == [True, True, False]
            assert said[-1]["signs"] == new["signs"]
