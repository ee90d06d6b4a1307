"""A process that dies at any moment: all that it acknowledged is there, and verifies."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from stores.site import Site, crash, entries, entry
from support.power import Power

from jitgate.stores.reading import Recording

WRITER = """
import os, sys, time
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jitgate.stores.recordings import RecordFiles
from jitgate.values import Body, Entry

key = Ed25519PrivateKey.from_private_bytes(b"a test's key, never to be used!!")
records = RecordFiles(Path(sys.argv[1]), site="jitgate/test", key=key, now=time.time,
                      writer=sys.argv[2], run={}, segment_bytes=3000)
number = int(sys.argv[3])
records.open()
while True:
    body = os.urandom(300)
    records.append([Entry("x", time.time(), {"n": number}, {"response": Body(body, 300, True)})])
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
    if number % 4 == 0:
        records.checkpoint()
"""


def test_killed_at_work_it_has_kept_all_that_it_acknowledged(site):
    acknowledged = []
    for round_ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, site.folder, f"w{round_}", str(1000 * round_)],
            stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        acknowledged += [int(writer.stdout.readline()) for _ in range(7 + 5 * round_)]
        os.kill(writer.pid, signal.SIGKILL)
        rest, _ = writer.communicate()
        acknowledged += [int(line) for line in rest.split("\n")[:-1]]
        findings, _ = site.verify()
        assert findings == []
    kept = [entry.content.get("n") for entry in Recording(site.folder).every_entry()]
    assert set(acknowledged) <= set(kept)
    site.run().close()
    findings, report = site.verify(site.checkpoint())
    assert findings == []
    assert report.all_witnessed


@pytest.mark.needs_debian("gcc")
def test_after_a_power_cut_it_has_kept_all_that_it_acknowledged(tmp_path):
    """Segments roll and checkpoints are signed all the time; at each cut another part is lost."""
    chance, acknowledged, notes = Random(5), [], []
    (tmp_path / "disk").mkdir()
    site = Site(tmp_path / "disk" / "recordings")
    power = Power.of(tmp_path / "disk", tmp_path)
    for round_ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, site.folder, f"w{round_}", str(1000 * round_)],
            stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
            env={**os.environ, **power.env},
        )  # fmt: skip
        acknowledged += [int(writer.stdout.readline()) for _ in range(20)]
        os.kill(writer.pid, signal.SIGKILL)
        rest, _ = writer.communicate()
        acknowledged += [int(line) for line in rest.split("\n")[:-1]]
        notes.append(site.checkpoint())
        power.cut(chance if round_ % 2 else None)
        findings, _ = site.verify(notes[-1])
        assert findings == []
    kept = [entry.content.get("n") for entry in Recording(site.folder).every_entry()]
    assert set(acknowledged) <= set(kept)
    site.run().close()
    for note in notes:
        assert site.verify(note)[0] == []
    assert site.verify(site.checkpoint())[1].all_witnessed


@pytest.mark.parametrize("torn", ["site/000000000000.jsonl", "logs/run-1/000000000000.jsonl"])
def test_whatever_a_crash_leaves_of_the_last_writing_is_explained(tmp_path, torn):
    """The last batch cut here and there, as a crash leaves it, and then started again."""
    site = Site(tmp_path / "recordings")
    records = site.run()
    records.append(entries(0, 2, body=b"{}"))
    durable = (site.folder / torn).stat().st_size
    if torn.startswith("site"):
        records.append([entry(2)])
        newest = site.checkpoint()
        records.checkpoint()
        for note in (site.folder / "checkpoints").iterdir():
            if note.read_bytes() != newest:
                note.unlink()
    else:
        records.append(entries(2, 4, body=b"[]"))
    crash(records)
    data = (site.folder / torn).read_bytes()
    for number, length in enumerate([*range(durable, len(data), 3), len(data) - 1, len(data)]):
        cut = site.copy(tmp_path / f"cut-{number}")
        (cut.folder / torn).chmod(0o600)
        (cut.folder / torn).write_bytes(data[:length])
        assert cut.verify()[0] == []
        cut.run().close()
        findings, report = cut.verify(cut.checkpoint())
        assert findings == []
        assert report.all_witnessed


def test_a_crash_while_a_segment_was_being_prepared_leaves_no_trace(site):
    records = site.run()
    records.append([entry(1)])
    crash(records)
    for path in ("site/000000000003.jsonl.new", "logs/run-1/000000000002.jsonl.new"):
        (site.folder / path).write_bytes(b'{"seq"')
    (site.folder / "checkpoints/000000000007.note.new").write_bytes(b"")
    site.run().close()
    assert list(site.folder.rglob("*.new")) == []
    assert site.verify()[0] == []


def test_a_crash_between_the_site_log_and_the_new_log_is_accounted_for(site):
    records = site.run()
    crash(records)
    (site.folder / "checkpoints/000000000003.note").unlink()
    path = site.folder / "site/000000000000.jsonl"
    path.chmod(0o600)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    (site.folder / "logs/run-1/000000000000.jsonl").unlink()
    (site.folder / "logs/run-1").rmdir()
    site.run().close()
    closed = site.lines("site/000000000002.jsonl")[1]
    assert (closed["type"], closed["log"], closed["size"]) == ("log.closed", "run-1", 0)
    findings, report = site.verify(site.checkpoint())
    assert findings == []
    assert report.all_witnessed


def test_a_log_that_lost_entries_between_two_runs_is_found(site):
    records = site.run()
    records.append(entries(0, 3))
    records.checkpoint()
    crash(records)
    path = site.folder / "logs/run-1/000000000000.jsonl"
    path.chmod(0o600)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    site.run().close()
    (finding,) = site.verify()[0]
    assert finding.what == "2 entries are there, 4 are signed for: cut or rolled back"


@pytest.mark.parametrize(
    "line",
    [
        b'{"seq":9,"time":"2027-01-01T00:00:00.000000Z","type":"x"}\n',
        b"\0" * 50 + b"\n",
        b'{"seq":3}\n',
    ],
)
def test_a_whole_line_that_is_not_the_next_entry_is_not_counted(site, line):
    records = site.run()
    records.append(entries(0, 2))
    crash(records)
    path = site.folder / "logs/run-1/000000000000.jsonl"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + line)
    assert len(list(Recording(site.folder).every_entry())) == 3
    site.run().close()
    closed = site.lines("site/000000000003.jsonl")[1]
    assert (closed["size"], closed["abandoned"][0]["bytes"]) == (3, len(line))
    assert site.verify()[0] == []


@pytest.mark.parametrize("torn", ["site/000000000000.jsonl", "logs/run-1/000000000000.jsonl"])
def test_pages_that_a_power_cut_wrote_out_of_order_are_unfinished_and_no_tampering(site, torn):
    records = site.run()
    records.append(entries(0, 2, body=b"{}"))
    records.checkpoint()
    crash(records)
    path, tail = site.folder / torn, b"\0" * 100 + b"\n" + b'ng":"x"}\n{"seq":9'
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + tail)
    findings, report = site.verify(site.checkpoint())
    assert findings == []
    assert report.unfinished == len(tail)
    site.run().close()
    findings, report = site.verify(site.checkpoint())
    assert findings == []
    assert report.all_witnessed


def test_a_line_that_is_signed_for_is_no_unfinished_one(site):
    records = site.run()
    records.append(entries(0, 2))
    records.checkpoint()
    crash(records)
    path = site.folder / "logs/run-1/000000000000.jsonl"
    path.chmod(0o600)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\0" * 50 + b"\n" + lines[2])
    findings, _ = site.verify(site.checkpoint())
    assert findings[0].what == "the line is not JSON"


@pytest.mark.parametrize("bodies", ["5", '{"response":{"offset":"x"}}', "[]"])
def test_bodies_that_cannot_be_read_do_not_keep_the_next_run_from_starting(site, bodies):
    crash(site.run())
    path = site.folder / "logs/run-1/000000000000.jsonl"
    path.chmod(0o600)
    line = f'{{"seq":1,"time":"2027-01-01T00:00:00.000000Z","type":"x","bodies":{bodies}}}\n'
    path.write_bytes(path.read_bytes() + line.encode())
    site.run().close()
    assert site.verify()[1].tampered
