"""The units as they are shipped: what systemd thinks of them, and the gateway at work under them."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
from support.approver import people
from support.booted import PROGRAM, PYTHON, Booted, NoSystemd
from support.counterparts import TestCA
from support.gateway import settings, target
from support.pages import block
from support.proxies import _free_port
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering

UNITS = Path(__file__).parents[2] / "etc" / "deploy"
NAMES = ("jitgate.service", "jitgate-sealer.service")
EXPOSURE = {"jitgate.service": 15, "jitgate-sealer.service": 12}
"""Tenths of systemd's points, as `systemd-analyze security` counts them at most."""

USER = 7301
SECRET = "SSWS hunter2-at-the-target"


@pytest.fixture(autouse=True)
def plain_answers():
    """There is no scene."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """There is no scene."""


def _unit(name: str) -> str:
    return (UNITS / name).read_text()


def _analyzed(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.needs_debian("systemd-analyze")
def test_systemd_understands_the_units_and_has_little_to_say_against_them(tmp_path):
    files = []
    for name in NAMES:
        # What they start is not installed here, and a user of that name may not be either.
        text = re.sub(r"/opt/jitgate/bin/\w+", sys.executable, _unit(name))
        files.append(tmp_path / name)
        files[-1].write_text(text.replace("=jitgate\n", "=root\n"))
    verified = _analyzed("verify", "--man=no", *map(str, files))
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    for file in files:
        file.write_text(_unit(file.name))
        bound = f"--threshold={EXPOSURE[file.name]}"
        judged = _analyzed("security", "--offline=true", "--no-pager", bound, str(file))
        assert judged.returncode == 0, judged.stdout


ADDED = {"docs/credentials.md": "jitgate.service", "docs/write-once.md": "jitgate-sealer.service"}
"""What a page adds to which unit."""


@pytest.mark.needs_debian("systemd-analyze")
@pytest.mark.parametrize("page", ADDED)
def test_systemd_understands_what_pages_add(page, tmp_path):
    name, added = ADDED[page], block(page, "[Service]")
    whole = f"{_unit(name)}\n{added}".replace("=jitgate\n", "=root\n")
    (tmp_path / name).write_text(re.sub(r"/opt/jitgate/bin/\w+", sys.executable, whole))
    verified = _analyzed("verify", "--man=no", str(tmp_path / name))
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    program = re.search(r"-m jitgate\.sealer (.*?)\n[^ ]", added.replace("\\\n", ""), re.DOTALL)
    if program:
        options = set(re.findall("--[a-z-]+", program[1]))
        told = [sys.executable, "-m", "jitgate.sealer", "--help"]
        known = subprocess.run(told, capture_output=True, text=True, timeout=60, check=True).stdout
        assert options <= set(re.findall("--[a-z-]+", known))


@pytest.fixture
def origin(tmp_path):
    ca = TestCA.create(tmp_path, name="origin")
    body = b'{"password":"x","note":"card 4111 1111 1111 1111"}'
    with Origin(ca.leaf("api.example"), answering(body)) as made:
        yield made, ca


def _configuration(folder: Path, origin: Origin, ca: TestCA, proxy: int, admin: int):
    """A gateway that uses what a hardened process could lack: regular expressions compiled to
    machine code, CEL, threads, a credential of systemd's, the sealer."""
    mask = {
        "profile": "all",
        "names": ["password"],
        "detectors": ["payment-card"],
        "how": "replace",
    }
    rule = {"name": "reads", "reason": "A test.", "match": {"methods": ["GET"]}}
    rule |= {"effect": "permit", "mask": "all", "when": 'subject.id != "eve"'}
    keyed = {"header": "Authorization", "type": "static", "value": "credential:jitgate_things"}
    made = settings(
        folder, Path("./jwks.json"), [target(origin.port, Path("./ca.pem"), credential=keyed)]
    )
    made |= people()
    made["control"] = {"operators": {0: "root"}}
    made |= {
        "state": "/var/lib/jitgate",
        "listen": {"proxy": f"127.0.0.1:{proxy}", "admin": f"127.0.0.1:{admin}"},
        "recording": {"directory": "/var/lib/jitgate/recordings", "write_once": "required"},
        "policy": ["policy.yaml"],
        "masking": ["masking.yaml"],
    }
    return {
        "/etc/jitgate/jitgate.yaml": made,
        "/etc/jitgate/policy.yaml": [rule],
        "/etc/jitgate/masking.yaml": [mask],
    }


@contextmanager
def booted_or_skipped(*how):
    """A systemd, where this machine lets one be started: a container may not."""
    booted = Booted(*how)
    try:
        booted.start()
        yield booted
    except NoSystemd as why:
        pytest.skip(f"no systemd can be started here: {why}")
    finally:
        booted.stop()


@pytest.mark.needs_root
@pytest.mark.needs_debian("systemd-analyze", "systemctl", "unshare", "nsenter")
def test_the_gateway_and_its_sealer_work_under_the_restrictions_of_their_units(tmp_path, origin):
    far, ca = origin
    tokens = Tokens(tmp_path)
    proxy, admin = _free_port(), _free_port()
    option = orjson.OPT_NON_STR_KEYS
    files = {
        path: orjson.dumps(each, option=option).decode()
        for path, each in _configuration(tmp_path, far, ca, proxy, admin).items()
    }
    files |= {
        "/etc/jitgate/jwks.json": tokens.jwks.read_text(),
        "/etc/jitgate/ca.pem": ca.pem.read_text(),
        "/etc/jitgate/credentials/things": f"{SECRET}\n",
        "/etc/passwd": Path("/etc/passwd").read_text() + f"jitgate:x:{USER}:{USER}::/:/bin/false\n",
        "/etc/group": Path("/etc/group").read_text() + f"jitgate:x:{USER}:\n",
    }
    for name in NAMES:
        text = _unit(name).replace("/opt/jitgate/bin/jitgate ", f"{PROGRAM} ")
        files[f"/etc/systemd/system/{name}"] = text.replace(
            "/opt/jitgate/bin/python ", f"{PYTHON} "
        )
        log = f"[Service]\nStandardError=file:/run/{name}.log\n"
        files[f"/etc/systemd/system/{name}.d/test.conf"] = log
    with booted_or_skipped(tmp_path / "boot", files, ("/var/lib/jitgate",)) as booted:
        booted.run("install", "-d", "-o", "jitgate", "-g", "jitgate", "-m", "700", *FOLDERS)
        started = booted.run("systemctl", "start", "jitgate")
        logs = [booted.run("cat", f"/run/{name}.log").stdout for name in NAMES]
        assert started.returncode == 0, (started.stderr, logs, booted.said())
        _is_bound(booted)
        _serves(booted, tmp_path, tokens, (proxy, admin), far)
        _reloads(booted)
        stopped = booted.run("systemctl", "stop", "jitgate")
        assert stopped.returncode == 0
        shown = _shown(booted, "Result", "ExecMainStatus")
        assert shown == {"Result": "success", "ExecMainStatus": "0"}


FOLDERS = ("/var/lib/jitgate", "/var/lib/jitgate/recordings")


def _shown(booted: Booted, *names: str) -> dict[str, str]:
    told = booted.run("systemctl", "show", "jitgate", *(f"--property={each}" for each in names))
    return dict(line.split("=", 1) for line in told.stdout.splitlines())


def _is_bound(booted: Booted) -> None:
    """It runs as its user, without a power, behind the filter; and was started by its own word."""
    shown = _shown(booted, "MainPID", "Type", "ActiveState")
    assert (shown["Type"], shown["ActiveState"]) == ("notify", "active")
    status = booted.run("cat", f"/proc/{shown['MainPID']}/status").stdout
    said = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert said["Uid"].split() == [f"{USER}"] * 4
    assert (said["NoNewPrivs"], said["Seccomp"]) == ("1", "2")
    assert {int(said[each], 16) for each in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}


def _serves(
    booted: Booted, folder: Path, tokens: Tokens, ports: tuple[int, int], far: Origin
) -> None:
    proxy, admin = ports
    pem = folder / "agents-ca.pem"
    pem.write_text(booted.run("cat", "/var/lib/jitgate/ca.pem").stdout)
    with Tunnel(("127.0.0.1", proxy), pem, tokens.token()) as tunnel:
        reply = tunnel.ask("GET", "/things")
    assert reply.status == 200
    assert b"4111" not in reply.body
    assert far.received[-1].header("authorization") == SECRET
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=30) as told:
        assert b"jitgate_ready 1.0" in told.read()
    kept = booted.run("sh", "-c", "lsattr /var/lib/jitgate/recordings/logs/*/*.jsonl").stdout
    assert "a" in kept.split()[0]


def _reloads(booted: Booted) -> None:
    """What is wrong is told to whoever asked, and changes nothing."""
    done = booted.run("systemctl", "reload", "jitgate")
    assert done.returncode == 0, booted.run("cat", "/run/jitgate.service.log").stdout
    booted.run("sh", "-c", "echo '- {}' >/etc/jitgate/policy.yaml")
    assert booted.run("systemctl", "reload", "jitgate").returncode != 0
    assert _shown(booted, "ActiveState") == {"ActiveState": "active"}
