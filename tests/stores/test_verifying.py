"""What verify finds, and what it does not mind."""

import json
import os
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from stores.site import KEY, SITE, VERIFIER, Site, crash, entries, entry
from vectors.recording import make as vector
from zstandard import ZstdCompressor

from jitgate.core.note import Checkpoint, Signer, VerifierKey
from jitgate.stores.findings import Progress, Report, Severity
from jitgate.stores.frames import pack
from jitgate.stores.recordings import RecordFiles
from jitgate.stores.verifying import verify
from jitgate.values import Body

VECTOR = Path(vector.__file__).parent


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Three runs: one ended, one crashed, one ended after a failed write; and its checkpoint."""
    site = Site(tmp_path_factory.mktemp("whole") / "recordings")
    first = site.run(segment_bytes=600)
    for number in range(8):
        first.append([entry(number, body=b'{"n":%d}' % number)])
        first.checkpoint()
    first.close()
    second = site.run()
    second.append(entries(8, 12, body=b"body"))
    crash(second)
    third = site.run()
    third.append(entries(12, 14))
    site.disk.failing = "write"
    with pytest.raises(OSError, match="space"):
        third.append(entries(14, 16, body=b"lost"))
    site.disk.failing = None
    third.recover()
    third.append(entries(16, 18, body=b"kept"))
    third.close()
    for path in site.folder.rglob("0*"):
        path.chmod(0o600)
    return site


@pytest.fixture
def copy(whole, tmp_path):
    return whole.copy(tmp_path / "copy")


def read_and_write(path, change):
    path.write_bytes(change(path.read_bytes()))


def change_lines(path, change):
    lines = path.read_bytes().splitlines(keepends=True)
    change(lines)
    path.write_bytes(b"".join(lines))


def swap_lines(lines):
    lines[1], lines[2] = lines[2], lines[1]


def files(site):
    return sorted(path for path in site.folder.rglob("*") if path.is_file())


def test_what_was_written_is_verified_to_the_last_byte(whole):
    findings, report = whole.verify(whole.checkpoint())
    assert findings == []
    assert report.all_witnessed
    assert report.logs == 3


def test_every_changed_byte_is_found(whole, copy):
    """A bit here and there in each file, one after the other: none may pass."""
    checkpoint = whole.checkpoint()
    missed = []
    for number, path in enumerate(files(copy)):
        data = path.read_bytes()
        for position in range(number % 17, len(data), 17):
            broken = bytearray(data)
            broken[position] ^= 1 << (position % 8)
            path.write_bytes(broken)
            if not copy.verify(checkpoint)[1].tampered:
                missed.append((path, position))
        path.write_bytes(data)
    assert missed == []


def test_every_cut_is_found(whole, copy):
    """Each file cut within its last line, and at every line's end. Only bytes that a failed write
    left may be lost without its being tampering, and then it is said that nobody can tell."""
    checkpoint = whole.checkpoint()
    for path in files(copy):
        data = path.read_bytes()
        ends = [0, *(at + 1 for at in range(len(data)) if data[at : at + 1] == b"\n")]
        for length in {*ends, len(data) - 1} - {len(data), -1}:
            path.write_bytes(data[:length])
            _, report = copy.verify(checkpoint)
            assert report.tampered or report.uncertain, (path, length)
        path.write_bytes(data)


def test_every_missing_file_is_found_but_the_lock_and_the_notes(whole, copy):
    checkpoint = whole.checkpoint()
    for path in files(copy):
        data = path.read_bytes()
        path.unlink()
        _, report = copy.verify(checkpoint)
        needed = path.suffix in (".jsonl", ".bodies")
        assert bool(report.tampered or report.uncertain) == needed, path
        path.write_bytes(data)


FIRST = "logs/run-1/000000000000.jsonl"
SITE_LOG = "site/000000000000.jsonl"

TAMPERINGS = {
    "an entry deleted": lambda site: change_lines(site.folder / FIRST, lambda lines: lines.pop(1)),
    "an entry repeated": lambda site: change_lines(
        site.folder / FIRST, lambda lines: lines.insert(1, lines[1])
    ),
    "two entries swapped": lambda site: change_lines(site.folder / FIRST, swap_lines),
    "an entry put in": lambda site: change_lines(
        site.folder / FIRST, lambda lines: lines.insert(1, b"{}\n")
    ),
    "an entry added to a log that had ended": lambda site: read_and_write(
        max((site.folder / "logs/run-1").glob("*.jsonl")),
        lambda data: data + data.splitlines(keepends=True)[-1],
    ),
    "bytes added to bodies": lambda site: read_and_write(
        site.folder / "logs/run-1/000000000000.bodies", lambda data: data + b"x"
    ),
    "a whole log gone": lambda site: shutil.rmtree(site.folder / "logs/run-2"),
    "a log's folder emptied": lambda site: [
        path.unlink() for path in (site.folder / "logs/run-2").iterdir()
    ],
    "a log nobody opened": lambda site: shutil.copytree(
        site.folder / "logs/run-2", site.folder / "logs/run-9"
    ),
    "two logs swapped": lambda site: [
        (site.folder / "logs/run-1").rename(site.folder / "logs/x"),
        (site.folder / "logs/run-2").rename(site.folder / "logs/run-1"),
        (site.folder / "logs/x").rename(site.folder / "logs/run-2"),
    ],
    "a site entry deleted": lambda site: change_lines(
        site.folder / SITE_LOG, lambda lines: lines.pop(2)
    ),
    "the whole site log gone": lambda site: shutil.rmtree(site.folder / "site"),
    "a file that does not belong": lambda site: (site.folder / "logs/run-1/notes.txt").touch(),
    "a segment put in": lambda site: shutil.copy(
        site.folder / FIRST, site.folder / "logs/run-1/000000000001.jsonl"
    ),
    "a segment in place of a link to it": lambda site: [
        (site.folder / FIRST).rename(site.folder.parent / "elsewhere"),
        (site.folder / FIRST).symlink_to(site.folder.parent / "elsewhere"),
    ],
    "a checkpoint under another's name": lambda site: shutil.copy(
        min((site.folder / "checkpoints").iterdir()),
        site.folder / "checkpoints/000000000001.note",
    ),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_tampering_is_found(whole, copy, tampering):
    TAMPERINGS[tampering](copy)
    findings, report = copy.verify(whole.checkpoint())
    assert report.tampered
    assert len(findings) < 30


def test_a_finding_says_file_entry_and_what(copy):
    change_lines(copy.folder / FIRST, lambda lines: lines.pop(1))
    findings, _ = copy.verify()
    assert ("logs/run-1/000000000000.jsonl", 1, "seq 2 stands in the place of 1") in [
        (finding.file, finding.entry, finding.what) for finding in findings
    ]


def test_a_change_is_said_to_lie_between_two_heads(copy):
    path = copy.folder / "logs/run-1/000000000000.jsonl"
    read_and_write(path, lambda data: data.replace(b'"ex-1"', b'"ex-9"'))
    findings, _ = copy.verify()
    (only,) = findings
    assert only.what.startswith("entries 2 to 2 are not those that were signed")


def test_checking_goes_on_after_a_difference(copy):
    for log in ("run-1", "run-2"):
        path = copy.folder / f"logs/{log}/000000000000.bodies"
        read_and_write(path, lambda data: data[:-1] + b"x")
    findings, _ = copy.verify()
    assert [(finding.file, finding.entry) for finding in findings] == [
        ("logs/run-1/000000000000.jsonl", 2),
        ("logs/run-2/000000000000.jsonl", 4),
    ]


def test_a_rolled_back_recording_is_found_by_a_checkpoint_from_elsewhere(site, tmp_path):
    records = site.run()
    older = site.copy(tmp_path / "older")
    records.append([entry(1)])
    records.close()
    assert older.verify()[1].all_witnessed
    (finding,) = older.verify(site.checkpoint())[0]
    assert finding.what == "3 entries are there, 5 are signed for: cut or rolled back"


def test_a_recording_written_again_with_another_key_is_found(site, tmp_path):
    site.run().close()
    forged = tmp_path / "forged"
    key = Ed25519PrivateKey.from_private_bytes(b"another test's key, as worthless")
    records = RecordFiles(forged, site=SITE, key=key, now=site.now, writer="run-1", run={})
    records.open()
    records.close()
    for checkpoint in (None, site.checkpoint()):
        steps = list(verify(forged, VERIFIER, checkpoint))
        assert steps[-1].tampered
    forged_note = max((forged / "checkpoints").iterdir()).read_bytes()
    assert site.verify(forged_note)[1].tampered


def test_a_forked_recording_is_found_though_both_are_signed_by_the_key(site, tmp_path):
    records = site.run()
    fork = site.copy(tmp_path / "fork")
    crash(records)
    for number, side in enumerate((site, fork)):
        run = RecordFiles(
            side.folder, site=SITE, key=KEY, now=site.now, writer=f"side-{number}", run={}
        )
        run.open()
        run.close()
    assert site.verify(site.checkpoint())[1].tampered == 0
    assert fork.verify(site.checkpoint())[1].tampered


def test_what_came_after_the_checkpoint_is_counted_and_never_called_verified(site):
    records = site.run()
    records.append([entry(1)])
    records.checkpoint()
    checkpoint = site.checkpoint()
    records.append([entry(5), entry(6)])
    findings, report = site.verify(checkpoint)
    assert findings == []
    assert not report.all_witnessed
    assert report.unwitnessed.entries == 2
    times = [line["time"] for line in site.lines("logs/run-1/000000000000.jsonl")]
    assert (report.unwitnessed.first, report.unwitnessed.last) == (times[-2], times[-1])
    records.close()


def test_an_older_checkpoint_from_elsewhere_covers_what_it_covered_and_no_more(whole):
    oldest = min((whole.folder / "checkpoints").iterdir()).read_bytes()
    findings, report = whole.verify(oldest)
    assert findings == []
    assert (report.logs, report.covered.entries) == (1, 4)
    assert report.unwitnessed.entries > 20


def test_without_any_checkpoint_nothing_is_verified(copy):
    shutil.rmtree(copy.folder / "checkpoints")
    findings, report = copy.verify()
    assert [finding.severity for finding in findings] == [Severity.UNCERTAIN]
    assert report.covered.entries == 0


def test_a_recording_is_in_order_while_it_is_being_written(site):
    records = site.run()
    records.append([entry(1, body=b"{}")])
    records.checkpoint()
    log = site.folder / "logs/run-1"
    with (log / "000000000000.bodies").open("ab") as file:
        file.write(b"a frame whose line comes next")
    with (log / "000000000000.jsonl").open("ab") as file:
        file.write(b'{"seq":2,"ti')
    (log / "000000000002.jsonl.new").write_bytes(b'{"seq":2')
    (site.folder / "checkpoints/000000000009.note.new").write_bytes(b"jitg")
    findings, report = site.verify(site.checkpoint())
    assert findings == []
    assert report.unfinished == 29 + 12
    assert not report.all_witnessed
    crash(records)


def test_a_log_that_is_just_being_opened_is_no_stranger_and_not_missing(site):
    site.run().close()
    path = site.folder / "site/000000000000.jsonl"
    path.chmod(0o600)
    line = json.loads(path.read_bytes().splitlines()[-1])
    line |= {"seq": line["seq"] + 1, "type": "log.opened", "log": "run-2"}
    with path.open("ab") as file:
        file.write(json.dumps(line).encode() + b"\n")
    assert site.verify()[0] == []
    (site.folder / "logs/run-2").mkdir()
    assert site.verify()[0] == []


def test_a_power_cut_may_shorten_what_a_failed_write_left_and_that_is_uncertain(copy):
    path = copy.folder / "logs/run-3/000000000000.bodies"
    assert path.read_bytes() != b""
    path.write_bytes(b"")
    findings, report = copy.verify()
    assert [finding.severity for finding in findings] == [Severity.UNCERTAIN]
    assert report.tampered == 0


def test_copying_and_touching_change_nothing(whole, copy):
    for path in copy.folder.rglob("*"):
        os.utime(path, (0, 0))
        path.chmod(0o755)
    findings, report = copy.verify(whole.checkpoint())
    assert findings == []
    assert report.all_witnessed


def test_nothing_is_written(whole):
    before = {path: path.read_bytes() for path in files(whole)}
    whole.verify()
    assert {path: path.read_bytes() for path in files(whole)} == before


def test_progress_runs_to_the_end_and_never_back(whole):
    steps = list(verify(whole.folder, VERIFIER))
    done = [step.done for step in steps if isinstance(step, Progress)]
    assert done == sorted(done)
    assert done[-1] == sum(path.stat().st_size for path in files(whole))
    assert isinstance(steps[-1], Report)


def test_an_entry_of_the_site_log_that_is_nonsense_is_survived(site):
    records = site.run()
    crash(records)
    path = site.folder / "site/000000000000.jsonl"
    time = '"time":"2027-01-01T00:00:00.000000Z"'
    nonsense = [
        '"type":"log.head","log":7,"size":1,"root":"x"',
        '"type":"log.head","log":"run-1","size":"x","root":[]',
        '"type":"log.head","log":"run-1","size":99999999999999999999,"root":""',
        '"type":"log.closed","log":"run-1","size":-5,"root":"","abandoned":[{"bytes":"x"},7]',
        '"type":"log.opened","log":"../../etc"',
        '"type":"segment.resumed","bodies":{"x":{"file":"../../x"}},"abandoned":5',
    ]
    with path.open("a") as file:
        for number, fields in enumerate(nonsense, 3):
            file.write(f'{{"seq":{number},{time},{fields}}}\n')
    assert site.verify()[1].tampered


def test_the_kept_vector_is_read_and_verified():
    key = VerifierKey.parse((VECTOR / "site.vkey").read_text())
    assert key == Signer(vector.SITE, vector.KEY).verifier
    *_, report = verify(VECTOR / "recordings", key, (VECTOR / "checkpoint.note").read_bytes())
    assert (report.tampered, report.uncertain, report.all_witnessed) == (0, 0, True)
    assert (report.logs, report.covered.entries, report.covered.bodies) == (2, 22, 2)


def test_the_kept_vector_is_what_is_written_today(tmp_path):
    """Frames may differ with the version of zstd; the lines' keys and order may not."""
    vector.make(tmp_path)
    for path in (tmp_path / "recordings").rglob("*.jsonl"):
        kept = VECTOR / path.relative_to(tmp_path)
        assert shapes(path) == shapes(kept)


def shapes(path):
    return [
        [
            [key, *value] if isinstance(value, dict) else key
            for key, value in json.loads(line).items()
        ]
        for line in path.read_bytes().splitlines()[:5]
    ]


def append_line(site, path, **fields):
    """A line as nobody signed it, behind the last one of an open log."""
    with (site.folder / path).open("ab") as file:
        file.write(json.dumps(fields).encode() + b"\n")


def whats(site):
    return [finding.what for finding in site.verify()[0]]


def test_time_that_runs_back_is_found_though_nothing_is_signed_yet(site):
    crash(site.run())
    time = "2001-01-01T00:00:00.000000Z"
    append_line(site, FIRST, seq=1, time=time, type="x")
    assert whats(site) == ["time runs back"]


def test_entries_missing_at_the_end_of_a_segment_are_named(copy):
    change_lines(copy.folder / FIRST, lambda lines: lines.pop())
    assert whats(copy)[0] == "entries 2 to 2 are missing"


def test_a_log_that_goes_on_after_it_was_said_to_have_ended_is_found(site):
    records = site.run(segment_bytes=10)
    records.append([entry(1)])
    crash(records)
    time = "2027-01-01T00:00:00.000000Z"
    end = {"log": "run-1", "size": 0, "root": ""}
    last = max((site.folder / "site").iterdir()).relative_to(site.folder)
    seq = site.lines(last)[-1]["seq"] + 1
    append_line(site, last, seq=seq, time=time, type="log.closed", **end)
    assert "the log had ended with 0 entries" in whats(site)


def test_bytes_between_two_bodies_are_found_though_nothing_is_signed_yet(site):
    crash(site.run())
    body = Body(b"{}", 2, complete=True)
    frame, ref = pack(body, ZstdCompressor(), "000000000000.bodies", 3)
    (site.folder / "logs/run-1/000000000000.bodies").write_bytes(b"gap" + frame)
    time = "2027-01-01T00:00:00.000000Z"
    append_line(site, FIRST, seq=1, time=time, type="x", bodies={"response": ref})
    assert whats(site) == ["its body 'response': it begins at 3, the one before it ends at 0"]


def test_every_signed_checkpoint_must_have_the_trees_root_at_its_size(whole, copy):
    """One that the key has signed and that is of another tree: the key's holder has lied once."""
    sizes = sorted(int(path.stem) for path in (copy.folder / "checkpoints").iterdir())
    for size in (1, sizes[-1] - 1):
        assert size not in sizes
        path = copy.folder / "checkpoints" / f"{size:012d}.note"
        path.write_text(Signer(SITE, KEY).sign(Checkpoint(SITE, size, bytes(32)).text))
        findings, report = copy.verify(whole.checkpoint())
        assert report.tampered
        assert "not those that were signed" in findings[0].what
        path.unlink()


def test_two_signed_checkpoints_of_one_size_contradict_each_other(whole):
    size = int(whole.checkpoint().split(b"\n")[1])
    other = Signer(SITE, KEY).sign(Checkpoint(SITE, size, bytes(32)).text).encode()
    findings, report = whole.verify(other)
    assert report.tampered
    assert f"it contradicts another head of {size} entries" in [each.what for each in findings]
