"""A backup that was taken while the gateway runs, put back on what stands for another machine."""

from __future__ import annotations

import subprocess
import sys
import threading

import orjson
import pytest
from support.counterparts import TestCA
from system.test_held import BODY, LATER, THINGS, Stage


@pytest.fixture(autouse=True)
def plain_answers():
    """A stage begins with them."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """`Stage.serving` looks for one, gateway by gateway."""


@pytest.fixture
def stage(tmp_path):
    folder = tmp_path / "machine"
    folder.mkdir()
    made = Stage(folder, TestCA.create(tmp_path, name="origin"))
    with made.origin:
        made.configured()
        yield made


def run(*arguments):
    command = [sys.executable, "-m", "jitgate", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def done(*arguments):
    ran = run(*arguments)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout + ran.stderr
    return ran.stdout


def test_what_was_granted_is_spent_once_whatever_is_put_back(stage, tmp_path):
    backup, config = tmp_path / "backup", stage.folder / "jitgate.yaml"
    verify = ("verify", "--allow-unwitnessed", "--config", config)
    with stage.serving():
        before = stage.tokens.token()
        stage.granted()
        busy = threading.Thread(target=_denied, args=(stage, 30))
        busy.start()
        done("backup", backup, "--config", config)
        busy.join()
        assert stage.call().status == 200  # once the backup was taken it is spent
        assert stage.paths() == [THINGS]
    assert backup.stat().st_mode & 0o777 == 0o700
    secrets = [each for each in (backup / "state").iterdir() if each.suffix in {".key", ".sqlite"}]
    assert {each.stat().st_mode & 0o777 for each in secrets} == {0o600}
    assert len(secrets) == 4

    refused = run("restore", backup, "--config", config)
    assert (refused.returncode, "is not empty" in refused.stderr) == (2, True)
    gone = stage.state.rename(tmp_path / "the other machine's")
    done("restore", backup, "--config", config)
    assert (stage.state / "site.vkey").read_bytes() == (gone / "site.vkey").read_bytes()
    done(*verify)

    with stage.serving() as gateway:
        assert "The state was moved or restored" in "".join(gateway.output)
        assert stage.usable() == []
        with stage.tunnel(token=before) as tunnel:
            reply = tunnel.ask("POST", THINGS, BODY, LATER)
        assert (reply.status, b"restored from a copy" in reply.body) == (401, True)
        assert stage.call().status == 202  # with a new one people are asked again
    assert stage.paths() == [THINGS]
    done(*verify)


def _denied(stage, count):
    """Calls that are put on record while the backup is taken."""
    with stage.tunnel() as tunnel:
        for _ in range(count):
            assert tunnel.ask("GET", THINGS).status == 403


def test_what_is_no_backup_is_not_put_back_and_nothing_is_overwritten(stage, tmp_path):
    config = stage.folder / "jitgate.yaml"
    config.write_bytes(orjson.dumps(stage.settings, option=orjson.OPT_NON_STR_KEYS))
    assert "is no state folder" in run("backup", tmp_path / "b", "--config", config).stderr
    (tmp_path / "empty").mkdir()
    refused = run("restore", tmp_path / "empty", "--config", config)
    assert (refused.returncode, "is no backup" in refused.stderr) == (2, True)
    assert not stage.state.exists()
