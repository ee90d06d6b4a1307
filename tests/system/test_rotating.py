"""An operator has the key rotated that signs the recording, while the gateway serves."""

import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering

from jitgate.cli import main

ME = os.geteuid()
BOB = {"operators": {ME: "bob@acme.com"}}
EVE = {"auditors": {ME: "eve@acme.com"}}


def run(*arguments):
    command = [sys.executable, "-m", "jitgate", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


class Scene:
    def __init__(self, folder, port, trust):
        self.folder, self.tokens = folder, Tokens(folder)
        self.settings = settings(folder, self.tokens.jwks, [target(port, trust)])
        self.powers = BOB
        self.kept = []

    def gateway(self, workers=1, **recording):
        socket = str(self.folder / "control.sock")
        recordings = str(self.folder / "state" / "recordings")
        more = {
            "workers": workers,
            "control": {"socket": socket, **self.powers},
            "recording": {"directory": recordings, **recording},
        }
        return GatewayProcess(self.folder, self.settings | more)

    def call(self, gateway):
        with Tunnel(gateway.proxy, gateway.ca, self.tokens.token()) as tunnel:
            assert tunnel.ask("GET", "/things").status == 200

    def rotate(self, gateway):
        """The new public key, in a file of its own; and the old one was what there was."""
        done = run("keys", "rotate", "--config", gateway.config, "--reason", "spring", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        said, before = json.loads(done.stdout), self.keep()
        assert said["new"] == before
        return said

    def keep(self):
        text = (self.folder / "state" / "site.vkey").read_text().strip()
        path = self.folder / f"{len(self.kept)}.vkey"
        path.write_text(text)
        self.kept.append(path)
        return text

    def verified(self, key, *more):
        """The exit code, and what is said; in this process, which is quicker."""
        command = ["verify", self.folder / "state" / "recordings", "--key", key, *more]
        with redirect_stdout(StringIO()) as said:
            code = main([*map(str, command)])
        return code, said.getvalue()


@pytest.fixture
def site(tmp_path):
    ca = TestCA.create(tmp_path, name="origin")
    with Origin(ca.leaf("api.example"), answering(b"{}")) as origin:
        yield Scene(tmp_path, origin.port, ca.pem)


def test_keys_take_over_from_each_other_while_it_serves_and_over_a_restart(site):
    with site.gateway(workers=2) as gateway:
        first = site.keep()
        for _ in range(2):
            site.call(gateway)
            said = site.rotate(gateway)
        site.call(gateway)
        assert any("is retired, by bob@acme.com" in line for line in gateway.output)
        for key in site.kept:
            code, said_of = site.verified(key, "--allow-unwitnessed")
            assert code == 0, said_of
        assert gateway.stop() == 0
    assert not (site.folder / "state" / "site.key.next").exists()
    newest = max((gateway.recordings / "checkpoints").iterdir())
    with site.gateway() as gateway:
        site.call(gateway)
        assert gateway.stop() == 0
    for key in site.kept:
        assert site.verified(key)[0] == 0
        assert site.verified(key, "--checkpoint", newest, "--allow-unwitnessed")[0] == 0
    seen = json.loads(site.verified(site.kept[0], "--json")[1])[0]
    assert [each["vkey"] for each in seen["keys"]] == [first, said["old"], said["new"]]
    assert seen["retired"]
    assert "is retired" in site.verified(site.kept[0])[1]
    assert "is retired" not in site.verified(site.kept[-1])[1]


def test_a_key_that_the_configuration_names_takes_over_at_the_start(site):
    with site.gateway() as gateway:
        site.call(gateway)
        site.keep()
    key = site.folder / "new.key"
    key.touch(mode=0o600)
    key.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with pytest.raises(RuntimeError, match="key_before"), site.gateway(key="file:./new.key"):
        pass
    both = {"key": "file:./new.key", "key_before": "file:./state/site.key"}
    with site.gateway(**both) as gateway:
        site.call(gateway)
        site.keep()
        done = run("keys", "rotate", "--config", gateway.config)
        assert done.returncode == 1
        assert "recording.key_before" in done.stderr
    with site.gateway(key="file:./new.key") as gateway:
        site.call(gateway)
    for each in site.kept:
        assert site.verified(each)[0] == 0


def test_nobody_but_an_operator_rotates(site):
    site.powers = EVE
    with site.gateway() as gateway:
        before = site.keep()
        done = run("keys", "rotate", "--config", gateway.config)
        assert done.returncode == 1
        assert "cannot rotate-key" in done.stderr
        assert site.keep() == before
        assert [each["command"] for each in gateway.entries("control.refused")] == ["rotate-key"]
