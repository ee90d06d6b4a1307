"""How the gateway starts, and what it says when it does not."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
from support.counterparts import TestCA
from support.gateway import GatewayProcess, health, settings, target
from support.tokens import Tokens
from support.wire import Tunnel

ROOT = Path(__file__).parents[2]
TWISTD = Path(sys.executable).with_name("twistd")


@pytest.fixture
def configuration(tmp_path):
    ca = TestCA.create(tmp_path, name="origin")
    return settings(tmp_path, Tokens(tmp_path).jwks, [target(1, ca.pem)])


def refused(folder: Path, configuration, *arguments: str) -> list[str]:
    """What is said by a gateway that must not start, a problem a line."""
    file = folder / "jitgate.yaml"
    if configuration is not None:
        file.write_bytes(
            orjson.dumps(configuration, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
        )
    command = [sys.executable, "-m", "jitgate", *(arguments or ("run",)), "--config", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()


@pytest.mark.parametrize("command", ["run", "check"])
def test_every_error_is_said_at_once_with_its_line_and_nothing_is_made(
    tmp_path, configuration, command
):
    configuration["lisen"] = configuration.pop("listen")
    configuration["identity"]["issuers"][0]["algorithms"] = ["none"]
    configuration["targets"][0]["dial"] = "localhost"
    said = refused(tmp_path, configuration, command)
    assert len(said) == 3
    assert all(re.match(rf"{tmp_path}/jitgate\.yaml:\d+: \S+: \S", line) for line in said)
    assert not (tmp_path / "state").exists()


def test_errors_of_plugins_rules_and_keys_come_together(tmp_path, configuration):
    (tmp_path / "plugin.py").write_text("raise RuntimeError('no')\n")
    policy = [
        {
            "name": "typo",
            "reason": "A test.",
            "match": {"methods": ["GET"], "paths": ["/a//b"]},
            "effect": "permit",
        }
    ]
    (tmp_path / "policy.yaml").write_bytes(orjson.dumps(policy))
    configuration["plugins"] = [{"file": "./plugin.py"}]
    configuration["targets"][0]["credential"] = {
        "type": "static",
        "header": "Authorization",
        "value": "file:./nothing",
    }
    said = "\n".join(refused(tmp_path, configuration))
    assert "plugin.py" in said
    assert "RuntimeError" in said
    assert "/policy.yaml:1: " in said
    assert "nothing cannot be read" in said
    assert not (tmp_path / "state").exists()


def test_a_key_that_others_can_read_is_refused_in_a_sentence(tmp_path, configuration):
    key = tmp_path / "token"
    key.write_text("Bearer not-a-real-one")
    key.chmod(0o644)
    configuration["targets"][0]["credential"] = {
        "type": "static",
        "header": "Authorization",
        "value": f"file:{key}",
    }
    (said,) = refused(tmp_path, configuration)
    assert "chmod 600" in said
    assert "not-a-real-one" not in said


def test_a_state_folder_that_cannot_be_used_is_said_in_a_sentence(tmp_path, configuration):
    (tmp_path / "state").write_text("a file, not a folder")
    (said,) = refused(tmp_path, configuration)
    assert str(tmp_path / "state") in said


def test_a_port_in_use_is_said_in_a_sentence(tmp_path, configuration):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        configuration["listen"]["proxy"] = f"127.0.0.1:{port}"
        said = "\n".join(refused(tmp_path, configuration))
    assert f"The proxy cannot listen on 127.0.0.1:{port}" in said


def test_a_second_gateway_on_the_same_state_is_refused(tmp_path, configuration):
    with GatewayProcess(tmp_path, configuration):
        said = "\n".join(refused(tmp_path, None))
    assert "Another gateway runs on the state folder" in said


def test_what_ships_starts_as_it_stands(tmp_path):
    for name in ("etc", "plugins"):
        ignored = shutil.ignore_patterns("var", "__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    file = tmp_path / "etc" / "jitgate.yaml"
    file.write_text(
        file.read_text().replace("127.0.0.1:8080", "127.0.0.1:0").replace(":8081", ":0")
    )
    done = subprocess.run(
        [sys.executable, "-m", "jitgate", "check", "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "etc" / "var").exists()
    process = subprocess.Popen(
        [sys.executable, "-m", "jitgate", "run", "--config", str(file)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process, process.stderr as lines:
        assert any(" serves: " in line for line in lines)
        process.terminate()
    assert process.returncode == 0


def test_twistd_serves_the_same_configuration(tmp_path, configuration):
    (tmp_path / "jitgate.yaml").write_bytes(orjson.dumps(configuration))
    process = subprocess.Popen(
        [TWISTD, "--nodaemon", "--pidfile=", "-y", str(ROOT / "twistd.tac")],
        cwd=tmp_path,
        env={**os.environ, "JITGATE_CONFIG": str(tmp_path / "jitgate.yaml")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process, process.stdout as lines:
        line = next(line for line in lines if " serves: " in line)
        port = int(re.search(r"proxy on 127\.0\.0\.1:(\d+)", line)[1])
        token = Tokens(tmp_path).token()
        with Tunnel(("127.0.0.1", port), tmp_path / "state" / "ca.pem", token) as tunnel:
            assert tunnel.status == 200
        process.terminate()
        lines.read()
    assert (tmp_path / "state" / "recordings" / "site").is_dir()


def test_without_the_recorder_everything_is_denied_and_health_says_so(tmp_path, configuration):
    tokens = Tokens(tmp_path)
    configuration["services"] = ["admin", "proxy"]
    with GatewayProcess(tmp_path, configuration) as gateway:
        with Tunnel(gateway.proxy, gateway.ca, tokens.token()) as tunnel:
            reply = tunnel.ask("GET", "/")
        assert reply.status == 502
        assert b"recorder-down" in reply.body
        assert health(gateway)[0] == 503


def test_health_is_well_while_everything_works(tmp_path, configuration):
    with GatewayProcess(tmp_path, configuration) as gateway:
        assert health(gateway) == (
            200,
            {
                "recorder": {"state": "ok", "reason": None},
                "webhooks": {"state": "ok", "reason": None},
                "plugins": {"state": "ok", "switched_off": []},
                "targets": {"state": "ok", "slowed_until": {}},
            },
        )


def test_a_gateway_that_is_told_to_stop_seals_its_recording(tmp_path, configuration):
    with GatewayProcess(tmp_path, configuration) as gateway:
        assert gateway.stop() == 0
    verified = subprocess.run(
        [sys.executable, "-m", "jitgate", "verify", "--config", str(gateway.config)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_gateway_that_was_killed_starts_again_and_everything_verifies(tmp_path, configuration):
    with GatewayProcess(tmp_path, configuration) as gateway:
        gateway.process.kill()
        gateway.process.wait(10)
    time.sleep(0.1)
    with GatewayProcess(tmp_path, configuration) as gateway:
        gateway.stop()
    verified = subprocess.run(
        [sys.executable, "-m", "jitgate", "verify", "--config", str(gateway.config)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_errors_of_every_kind_of_file_come_together(tmp_path, configuration):
    (tmp_path / "policy.yaml").write_text("- {name: a, reason: r, match: {}, effect: allow}\n")
    (tmp_path / "masking.yaml").write_text("- {profile: p, namez: [a]}\n")
    configuration["masking"] = ["./masking.yaml"]
    configuration["plugins"] = [{"file": "./nothing.py"}]
    said = "\n".join(refused(tmp_path, configuration))
    assert "policy.yaml:1: 0.effect" in said
    assert "masking.yaml:1: 0.namez: unknown key" in said
    assert "nothing.py: cannot be read" in said
    configuration["lisen"] = {}
    said = "\n".join(refused(tmp_path, configuration))
    assert "lisen: unknown key" in said
    assert "policy.yaml:1: 0.effect" in said
    assert "masking.yaml:1: 0.namez" in said


def test_one_key_signs_one_recording(tmp_path, configuration):
    with GatewayProcess(tmp_path, configuration):
        pass
    configuration["recording"] = {"directory": "./elsewhere"}
    (said,) = refused(tmp_path, configuration)
    assert "signs the recording in" in said
    assert not (tmp_path / "elsewhere").exists()
