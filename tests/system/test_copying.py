"""An auditor takes a copy of the recording from the gateway, and that is on record."""

import os
import subprocess
import sys

import pytest
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering

ME = os.geteuid()
EVE = {"auditors": {ME: "eve@acme.com"}}
BOB = {"operators": {ME: "bob@acme.com"}}


def run(*arguments):
    command = [sys.executable, "-m", "jitgate", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


@pytest.fixture
def gateway(tmp_path, request):
    ca, tokens = TestCA.create(tmp_path, name="origin"), Tokens(tmp_path)
    with Origin(ca.leaf("api.example"), answering(b'{"large":"%b"}' % (b"x" * 300_000))) as origin:
        made = settings(tmp_path, tokens.jwks, [target(origin.port, ca.pem)])
        workers, powers = request.param
        made |= {"workers": workers}
        made["control"] = {"socket": str(tmp_path / "control.sock"), **powers}
        with GatewayProcess(tmp_path, made) as running:
            with Tunnel(running.proxy, running.ca, tokens.token()) as tunnel:
                assert tunnel.ask("GET", "/things").status == 200
            yield running


@pytest.mark.parametrize("gateway", [(1, EVE), (2, EVE)], indirect=True)
def test_an_auditor_takes_a_copy_that_can_be_verified_and_that_is_on_record(gateway, tmp_path):
    copy, socket = tmp_path / "copy", tmp_path / "control.sock"
    done = run("copy", copy, "--socket", socket, "--reason", "The review of November")
    assert (done.returncode, done.stderr) == (0, "")
    (said,) = gateway.entries("recording.copied")
    assert said["by"]["uid"] == ME
    assert said["by"]["person"] == "eve@acme.com"
    assert said["reason"] == "The review of November"
    for file in copy.rglob("*"):
        there = gateway.recordings / file.relative_to(copy)
        assert file.is_dir() or there.read_bytes().startswith(file.read_bytes())
    seen = run("verify", "--key", tmp_path / "state" / "site.vkey", "--allow-unwitnessed", copy)
    assert seen.returncode == 0, seen.stdout
    shown = run("sessions", "--recordings", copy, "--subject", "bot-7", "--json")
    assert '"outcome": "completed"' in shown.stdout
    again = run("copy", copy, "--socket", socket)
    assert again.returncode == 2
    assert "is there already" in again.stderr


@pytest.mark.parametrize("gateway", [(1, BOB)], indirect=True)
def test_nobody_else_gets_a_copy_and_that_is_on_record_as_well(gateway, tmp_path):
    done = run("copy", tmp_path / "copy", "--config", gateway.config)
    assert done.returncode == 1
    assert "cannot copy" in done.stderr
    assert not (tmp_path / "copy").exists()
    assert gateway.entries("recording.copied") == []
    assert [each["command"] for each in gateway.entries("control.refused")] == ["copy"]
