"""A gateway that must write once: without the power to clear flags, beside a sealer, and without it."""

import os
import subprocess
import sys

import orjson
import pytest
from support.counterparts import TestCA
from support.gateway import GatewayProcess, health, settings, target, wait_for
from support.sealer import POWERLESS, flags_of, sealing
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering

from jitgate.core.note import Checkpoint, VerifierKey, open_note

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs_debian("chattr", "lsattr", "setpriv"),
    pytest.mark.timeout(180),
]


@pytest.fixture
def recordings(tmp_path):
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "recordings").mkdir(mode=0o700)
    return tmp_path / "state" / "recordings"


def configured(top, port, trust, tokens, **more):
    made = settings(top, tokens.jwks, [target(port, trust)])
    socket = str(top / "state" / "sealer" / "socket")
    made["recording"] = {"directory": "./state/recordings", "sealer": socket, **more}
    return made


def checkpoint(top):
    newest = max((top / "state" / "recordings" / "checkpoints").glob("*.note"))
    key = VerifierKey.parse((top / "state" / "site.vkey").read_text())
    return Checkpoint.parse(open_note(newest.read_bytes(), key))


def test_with_a_sealer_it_serves_and_when_that_is_killed_it_denies(tmp_path, recordings):
    ca, tokens = TestCA.create(tmp_path, name="origin"), Tokens(tmp_path)
    with (
        Origin(ca.leaf("api.example"), answering(b"{}")) as origin,
        sealing(recordings, os.geteuid()) as sealer,
    ):
        made = configured(tmp_path, origin.port, ca.pem, tokens, write_once="required")
        with GatewayProcess(tmp_path, made, POWERLESS) as gateway:

            def status():
                with Tunnel(gateway.proxy, gateway.ca, tokens.token()) as tunnel:
                    return tunnel.ask("GET", "/things").status

            assert status() == 200
            (log,) = (recordings / "logs").iterdir()
            assert flags_of(log / "000000000000.jsonl") == "a"
            assert checkpoint(tmp_path).extensions == ("write-once: kept",)
            sealer.kill()
            assert status() == 502  # of a read it may become known while the target is asked
            sent = len(origin.received)
            assert status() == 502
            assert len(origin.received) == sent
            code, said = health(gateway)
            assert code == 503
            assert "write-once" in f"{said}"
            sealer.begin()
            wait_for(lambda: status() == 200)
        files = [*recordings.rglob("*.jsonl"), *recordings.rglob("*.bodies")]
        assert {flags_of(path) for path in files} == {"ai"}


def refusal(top, made, command=POWERLESS):
    (top / "jitgate.yaml").write_bytes(orjson.dumps(made))
    done = subprocess.run(
        [*command, sys.executable, "-m", "jitgate", "run", "--config", str(top / "jitgate.yaml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    return done.stdout + done.stderr


def test_it_does_not_start_without_a_sealer_or_with_the_power_of_one(tmp_path, recordings):
    ca, tokens = TestCA.create(tmp_path, name="origin"), Tokens(tmp_path)
    made = configured(tmp_path, 1, ca.pem, tokens, write_once="required")
    assert "must be write-once (recording.write_once), and is not" in refusal(tmp_path, made)
    with sealing(recordings, os.geteuid()):
        assert "CAP_LINUX_IMMUTABLE" in refusal(tmp_path, made, ())
    assert not list(recordings.rglob("*.jsonl"))


def test_where_it_is_preferred_it_starts_and_says_that_nothing_is_kept(tmp_path, recordings):
    ca, tokens = TestCA.create(tmp_path, name="origin"), Tokens(tmp_path)
    made = configured(tmp_path, 1, ca.pem, tokens, write_once="preferred")
    with GatewayProcess(tmp_path, made, POWERLESS) as gateway:
        assert any("not write-once: no sealer answers" in line for line in gateway.output)
    (said,) = checkpoint(tmp_path).extensions
    assert said.startswith("write-once: not kept: no sealer answers")


def test_retention_is_asked_at_the_control_socket_and_its_decisions_are_on_record(
    tmp_path, recordings
):
    """Nothing expires here within a day; that it then goes, tests/stores/test_retention.py shows."""
    ca, tokens = TestCA.create(tmp_path, name="origin"), Tokens(tmp_path)
    with sealing(recordings, os.geteuid(), days=1) as sealer:
        made = configured(tmp_path, 1, ca.pem, tokens, write_once="required", retention="1d")
        made["control"] = {"operators": {0: "root@acme.com"}}

        def retention(*words, ok=0):
            command = [*POWERLESS, sys.executable, "-m", "jitgate", "retention", *words]
            command += ["--socket", str(tmp_path / "state" / "control.sock")]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == ok, done.stderr
            return done.stdout + done.stderr

        with GatewayProcess(tmp_path, made, POWERLESS):
            (first,) = [each.name for each in (recordings / "logs").iterdir()]
        with GatewayProcess(tmp_path, made, POWERLESS):
            listed = {each["segment"]: each for each in orjson.loads(retention("list", "--json"))}
            assert listed[f"{first}:0"]["until"] is not None
            assert len(listed) == 2
            assert "held" not in retention("list")
            said = retention("hold", f"{first}:0", "--reason", "case 7")
            assert said == f"{first}:0: Held, and on record.\n"
            assert "held" in retention("list")
            assert "Nothing has expired" in retention("delete")
            assert "no such log" in retention("hold", "nothing", ok=1).lower()
            retention("release", f"{first}:0", "--sealer", str(sealer.socket))
            assert "held" not in retention("list")
        lines = [
            orjson.loads(line)
            for path in sorted((recordings / "site").iterdir())
            for line in path.read_bytes().splitlines()
        ]
    decisions = [line for line in lines if line["type"].startswith("hold.")]
    assert [line["type"] for line in decisions] == ["hold.placed", "hold.released"]
    assert decisions[0]["by"] == "root@acme.com"
    assert decisions[0]["why"] == "case 7"


def test_without_retention_nothing_is_ever_deleted(tmp_path, recordings):
    ca, tokens = TestCA.create(tmp_path, name="origin"), Tokens(tmp_path)
    made = configured(tmp_path, 1, ca.pem, tokens, retention="1d")
    assert "retention needs write_once" in refusal(tmp_path, made)
