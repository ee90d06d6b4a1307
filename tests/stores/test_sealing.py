"""A recording that is write-once: written by a user without the power, beside a sealer that has it.

Who writes does so in a process of its own, as the gateway does. It is then told what to try.
"""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from stores.site import Site, crash, entries, entry
from support.sealer import POWERLESS, flags_of, loosen, sealing

from jitgate.errors import StateUnusable
from jitgate.stores.sealing import (
    NotSealed,
    Sealer,
    SealerRefused,
    UnsealedDisk,
    may_clear_flags,
)

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_debian("chattr", "lsattr", "setpriv")]

GATEWAY = 4001
BODIES = "000000000000.bodies"
FIRST = "000000000000.jsonl"


@pytest.fixture
def sealer(tmp_path):
    (tmp_path / "recordings").mkdir(mode=0o700)
    with sealing(tmp_path / "recordings", os.geteuid()) as running:
        yield running


def run(site, sealer, *, required=True, powerful=False, **more):
    """A run whose disk asks the sealer; ``powerful`` would be true of this process."""
    site.disk = sealer.disk(required=required, powerful=powerful)
    return site.run(**more)


def told(site):
    """What the site log says of it, in order."""
    lines = [
        line for path in sorted((site.folder / "site").glob("*.jsonl")) for line in site.lines(path)
    ]
    return [
        {name: line[name] for name in ("wanted", "kept", "why") if name in line}
        for line in lines
        if line["type"] == "write-once"
    ]


def said(site):
    """The line in the newest checkpoint."""
    return site.verify()[1].checkpoint.extensions


def test_what_is_open_only_grows_and_what_is_finished_stays(site, sealer):
    records = run(site, sealer, segment_bytes=600)
    records.append([entry(1, body=b"one")])
    folder = site.folder / "logs" / "run-1"
    assert flags_of(folder / FIRST) == flags_of(folder / BODIES) == "a"
    assert flags_of(site.folder / "site" / FIRST) == "a"
    for number in range(2, 6):
        records.append([entry(number, body=b"more")])
    assert flags_of(folder / FIRST) == flags_of(folder / BODIES) == "ai"
    records.close()
    files = [*site.folder.rglob("*.jsonl"), *site.folder.rglob("*.bodies")]
    assert {flags_of(path) for path in files} == {"ai"}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o440}
    findings, report = site.verify()
    assert findings == []
    assert report.all_witnessed
    assert told(site) == [{"wanted": "required", "kept": True}]
    assert said(site) == ("write-once: kept",)


def test_what_a_crash_left_open_is_sealed_by_the_next_run(site, sealer):
    records = run(site, sealer)
    records.append(entries(0, 3, body=b"x"))
    crash(records)
    sealer.kill()
    loosen(site.folder)  # as if the sealer had come too late for any of it
    sealer.begin()
    run(site, sealer).close()
    files = [*site.folder.rglob("*.jsonl"), *site.folder.rglob("*.bodies")]
    assert {flags_of(path)[-1:] for path in files} == {"i"}
    assert site.verify()[0] == []


def test_runs_before_there_was_a_sealer_are_sealed_when_there_is_one(site, sealer):
    site.run(segment_bytes=10).close()
    run(site, sealer).close()
    assert {flags_of(path)[-1:] for path in site.folder.rglob("*.jsonl")} == {"i"}


def test_without_a_sealer_nothing_begins_where_it_is_required(site, sealer):
    sealer.kill()
    with pytest.raises(StateUnusable, match=r"must be write-once.*no sealer answers"):
        run(site, sealer)
    assert not list(site.folder.rglob("*.jsonl"))


def test_a_sealer_of_another_folder_is_none(site, sealer, tmp_path):
    """It says ok to what it never saw; the flags of the file say otherwise."""
    (tmp_path / "other" / "recordings").mkdir(parents=True)
    other = Site(tmp_path / "other" / "recordings")
    run(site, sealer)
    with pytest.raises(StateUnusable, match="must be write-once"):
        run(other, sealer)


def test_a_gateway_that_could_clear_the_flags_itself_does_not_begin(site, sealer):
    with pytest.raises(StateUnusable, match="CAP_LINUX_IMMUTABLE"):
        run(site, sealer, powerful=True)
    records = run(site, sealer, powerful=True, required=False)
    records.close()
    assert told(site)[-1]["kept"] is False


def test_a_file_system_without_the_flags_is_no_place_for_it(sealer):
    disk = sealer.disk(required=True)
    disk.ready(ask=True)
    disk.keep(Path("/proc/self/status"))
    with pytest.raises(NotSealed, match="file system has no flags"):
        disk.ready()


def test_when_the_sealer_goes_nothing_more_is_taken_until_it_is_back(site, sealer):
    records = run(site, sealer)
    records.append([entry(1)])
    sealer.kill()
    before = site.lines(f"logs/run-1/{FIRST}")
    with pytest.raises(NotSealed, match="write-once"):
        records.append([entry(2)])
    for _ in range(3):
        with pytest.raises(NotSealed):
            records.recover()
    assert site.lines(f"logs/run-1/{FIRST}") == before
    assert len(list((site.folder / "logs" / "run-1").iterdir())) == 1
    sealer.begin()
    records.recover()
    records.append([entry(3)])
    records.close()
    assert {flags_of(path) for path in site.folder.rglob("*.jsonl")} == {"ai"}
    assert site.verify()[0] == []
    assert [each["kept"] for each in told(site)] == [True]


def test_a_sealer_that_goes_while_nothing_comes_in_is_missed_at_the_next_checkpoint(site, sealer):
    records = run(site, sealer)
    sealer.kill()
    with pytest.raises(NotSealed):
        records.checkpoint()
    crash(records)


def test_a_sealer_that_hangs_is_missed_at_the_next_checkpoint(site, sealer, monkeypatch):
    monkeypatch.setattr("jitgate.stores.sealing.ANSWER_WITHIN", 0.2)
    records = run(site, sealer)
    sealer.process.send_signal(19)  # SIGSTOP
    try:
        with pytest.raises(NotSealed, match="timed out|answer"):
            records.checkpoint()
    finally:
        sealer.process.send_signal(18)  # SIGCONT
    records.checkpoint()
    records.close()


def test_where_it_is_preferred_work_goes_on_and_every_checkpoint_says_so(site, sealer):
    records = run(site, sealer, required=False)
    assert said(site) == ("write-once: kept",)
    sealer.kill()
    records.append([entry(1, body=b"x")])
    records.checkpoint()
    (line,) = said(site)
    assert line.startswith("write-once: not kept: ")
    records.append([entry(2)])
    records.checkpoint()
    assert said(site) == (line,)
    sealer.begin()
    records.checkpoint()
    assert said(site) == ("write-once: kept",)
    records.close()
    assert [each["kept"] for each in told(site)] == [True, False, True]
    files = [*site.folder.rglob("*.jsonl"), *site.folder.rglob("*.bodies")]
    assert {flags_of(path)[-1:] for path in files} == {"i"}
    assert site.verify()[0] == []


def test_where_it_is_off_every_checkpoint_says_so(site):
    site.disk = UnsealedDisk()
    site.run().close()
    assert said(site) == ("write-once: not kept: off",)
    assert told(site) == [{"wanted": "off", "kept": False, "why": "off"}]


WRITER = """
import encodings.ascii, fcntl, json, os, sys
from pathlib import Path
sys.path[:0] = json.loads(sys.argv[3])
from stores.site import Site, entry
from jitgate.sealer.flags import _SET
from jitgate.stores.sealing import SealedDisk, may_clear_flags
os.setgroups([]); os.setgid(4001); os.setuid(4001)
site = Site(Path(sys.argv[1]))
site.disk = SealedDisk(Path(sys.argv[2]), required=True, powerful=may_clear_flags())
records = site.run(segment_bytes=600)
for number in range(6):
    records.append([entry(number, body=b"body")])
files = sorted([*site.folder.rglob("*.jsonl"), *site.folder.rglob("*.bodies")])
def clear(path):
    with path.open("rb") as file:
        fcntl.ioctl(file, _SET, bytes(8))
def replace(path):
    other = path.with_name("0.new")
    other.write_bytes(b"")
    try:
        other.rename(path)
    finally:
        other.unlink(missing_ok=True)
def unmap_append(path):
    lines = records._logs[1]._segment._lines
    fcntl.fcntl(lines, fcntl.F_SETFL, 0)
tries = {
    "write": lambda path: path.open("r+b"),
    "cut": lambda path: os.truncate(path, 0),
    "remove": lambda path: path.unlink(),
    "rename": lambda path: path.rename(path.with_name("x")),
    "replace": replace,
    "link": lambda path: os.link(path, path.with_name("x")),
    "mode": lambda path: path.chmod(0o600),
    "clear": clear,
    "no more append": unmap_append,
}
done = []
for path in files:
    for name, deed in tries.items():
        try:
            deed(path)
        except PermissionError:
            continue
        done.append([str(path), name])
records.close()
print(json.dumps({"files": [str(path) for path in files], "done": done, "power": may_clear_flags()}))
"""


@pytest.fixture
def shared():
    """A folder that every user may pass through, as none of pytest's is."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_gateway_without_the_capability_can_change_nothing_that_it_wrote(shared):
    """The process drops root and the capability as a unit would; its own deeds all fail."""
    recordings = shared / "recordings"
    recordings.mkdir(mode=0o700)
    os.chown(recordings, GATEWAY, GATEWAY)
    with sealing(recordings, GATEWAY) as sealer:
        done = subprocess.run(
            [
                *POWERLESS,
                sys.executable,
                "-c",
                WRITER,
                str(recordings),
                str(sealer.socket),
                json.dumps(sys.path),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert result["power"] is False
        assert result["done"] == []
        assert len(result["files"]) > 6
        assert {flags_of(Path(path)) for path in result["files"]} == {"ai"}
        assert Site(recordings).verify()[0] == []


def test_root_without_the_capability_has_it_if_a_program_of_its_could_take_it_back():
    code = "from jitgate.stores.sealing import may_clear_flags as m; print(m())"
    for drop, expected in ((POWERLESS, "False"), ((), "True")):
        done = subprocess.run(
            [*drop, sys.executable, "-c", code], check=True, capture_output=True, text=True
        )
        assert done.stdout.strip() == expected
    assert may_clear_flags()


def test_a_status_with_the_capability_in_the_bounding_set_alone_is_enough_for_root(tmp_path):
    status = tmp_path / "status"
    status.write_text(f"CapPrm:\t{0:016x}\nCapBnd:\t{1 << 9:016x}\n")
    assert may_clear_flags(status)
    status.write_text(f"CapPrm:\t{0:016x}\nCapBnd:\t{0:016x}\n")
    assert not may_clear_flags(status)


@contextmanager
def as_user(uid):
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


def test_another_uid_gets_nothing_of_the_sealer(shared):
    (shared / "recordings").mkdir()
    with sealing(shared / "recordings", GATEWAY) as sealer:
        disk = sealer.disk(required=True)
        with as_user(GATEWAY + 1), pytest.raises(NotSealed, match="permission denied"):
            disk.ready(ask=True)
        with as_user(GATEWAY):
            disk.ready(ask=True)
        disk.close()
        os.removexattr(sealer.socket, "system.posix_acl_access")  # as where there are none
        sealer.socket.chmod(0o666)
        with as_user(GATEWAY + 1), pytest.raises(NotSealed, match="hung up|reset|broken pipe"):
            disk.ready(ask=True)
        with as_user(GATEWAY):
            disk.ready(ask=True)


@pytest.mark.parametrize("days", [None, 1])
def test_what_is_deleted_is_deleted_with_four_capabilities_or_not_at_all(shared, days):
    """It gets as far as the age: the file is another uid's, in a folder that is closed to others."""
    folder = shared / "recordings"
    for each in (folder, folder / "logs", folder / "logs" / "w"):
        each.mkdir(mode=0o700)
        os.chown(each, GATEWAY, GATEWAY)
    path = folder / "logs" / "w" / FIRST
    path.write_bytes(b"{}\n")
    os.chown(path, GATEWAY, GATEWAY)
    with sealing(folder, GATEWAY, days) as sealer, as_user(GATEWAY):
        asked = Sealer(sealer.socket)
        asked.ask(f"seal w {FIRST}")
        with pytest.raises(SealerRefused, match="no retention" if days is None else "not expired"):
            asked.ask(f"delete w {FIRST}")
        asked.hang_up()
