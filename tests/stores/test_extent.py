"""What counts, by one word for who verifies a recording and for who reads it.

Whatever was put into a recording: either verify says that it was tampered with, or every reader
shows what verify has checked, entry by entry.
"""

import json
import shutil
import sqlite3
import tempfile
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stores.site import START, VERIFIER, crash, entries, entry
from stores.test_verifying import TAMPERINGS, append_line, whole
from vectors.recording import make as vector

from jitgate.core.merkle import leaf_hash
from jitgate.core.note import Signer
from jitgate.errors import StateUnusable
from jitgate.exports.following import Follower as Exporter
from jitgate.stores.findings import Report
from jitgate.stores.following import Follower
from jitgate.stores.proving import Prover
from jitgate.stores.reading import Recording
from jitgate.stores.record_index import RecordIndex
from jitgate.stores.verifying import verify
from jitgate.values import Entry

__all__ = ["whole"]

VECTOR = Path(vector.__file__).parent
LATER = "2029-01-01T00:00:00.000000Z"
FIRST, SECOND = vector.FIRST, vector.SECOND


def checked(folder, key, checkpoint):
    *_, report = verify(folder, key, checkpoint)
    assert isinstance(report, Report)
    return report


def hidden(folder, report):
    """What readers do not show of what was verified, or show beyond it; nothing, if tampered."""
    if report.tampered:
        return []
    recording = Recording(folder)
    every = [kept.name for kept in recording.every_entry()]
    found = []
    if len(every) + len(list(recording.entries("site"))) != (
        report.covered.entries + report.unwitnessed.entries
    ):
        found.append("entries")
    if [kept.name for kept in Follower(folder).grown()] != every:
        found.append("followed")
    if {recording.entry(*split(name)).name for name in every} != set(every):
        found.append("shown")
    index = RecordIndex(sqlite3.connect(":memory:"), folder)
    list(index.extend())
    of_sessions = [kept for kept in recording.every_entry() if kept.text("session") is not None]
    if index._database.execute("SELECT count(*) FROM entries").fetchone() != (len(of_sessions),):
        found.append("indexed")
    return found


def split(name):
    log, _, seq = name.rpartition(":")
    return log, int(seq)


@pytest.mark.parametrize("tampering", [*TAMPERINGS, "none"])
def test_of_a_tampered_recording_readers_hide_nothing_that_verify_does_not_tell(
    whole,
    tmp_path,
    tampering,
):
    copy = whole.copy(tmp_path / "copy")
    TAMPERINGS.get(tampering, lambda _: None)(copy)
    report = checked(copy.folder, VERIFIER, whole.checkpoint())
    assert hidden(copy.folder, report) == []


def put(folder, path, data):
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_bytes(data)


def said(folder, fields):
    """An entry at the end of the site log that nobody has signed."""
    recording = Recording(folder)
    seq = len(list(recording.entries("site")))
    last = max((folder / "site").glob("*.jsonl"))
    with last.open("ab") as file:
        file.write(json.dumps({"seq": seq, "time": LATER, **fields}).encode() + b"\n")


logs = st.sampled_from([FIRST, SECOND])
places = st.integers(0, 8)
planted = st.one_of(
    st.builds(
        lambda log, at, entries: (put, f"logs/{log}/{at:012d}.leaves", bytes(32 * entries)),
        logs,
        places,
        st.integers(0, 4),
    ),
    st.builds(lambda log, at: (put, f"logs/{log}/{at:012d}.jsonl", b""), logs, places),
    st.builds(lambda at: (put, f"site/{at:012d}.leaves", b""), st.integers(0, 11)),
    st.builds(
        lambda log, kind, numbers: (said, {"type": kind, "log": log, "leaves": "00"} | numbers),
        logs,
        st.sampled_from(["segment.deleted", "log.closed", "log.opened", "log.head"]),
        st.fixed_dictionaries(
            {},
            optional={
                "first": st.integers(-1, 8) | st.just(True),
                "entries": st.integers(-1, 8),
                "size": st.integers(-1, 8) | st.just(1.0),
                "root": st.just("00") | st.none(),
            },
        ),
    ),
)


@settings(max_examples=30, deadline=None)
@given(plants=st.lists(planted, max_size=3))
@example(plants=[(put, f"logs/{SECOND}/000000000002.leaves", b"")])
@example(plants=[(said, {"type": "log.closed", "log": SECOND, "size": 0})])
@example(plants=[(said, {"type": "segment.deleted", "log": SECOND, "first": 2, "entries": 5,
                         "leaves": "00"})])  # fmt: skip
def test_whatever_is_planted_readers_hide_nothing_that_verify_does_not_tell(plants):
    with tempfile.TemporaryDirectory() as top:
        folder = Path(shutil.copytree(VECTOR / "recordings", Path(top) / "recordings"))
        for path in folder.rglob("*.jsonl"):
            path.chmod(0o600)
        for do, *what in plants:
            do(folder, *what)
        key = Signer(vector.SITE, vector.KEY).verifier
        report = checked(folder, key, (VECTOR / "checkpoint.note").read_bytes())
        assert hidden(folder, report) == []


def test_leaves_that_no_entry_tells_of_hide_nothing_and_are_found(site):
    run = site.run()
    run.append(entries(0, 4))
    run.close()
    path = site.folder / "logs/run-1/000000000002.leaves"
    path.touch()
    findings, _ = site.verify()
    assert [each.what for each in findings] == [
        "no entry tells of a deletion that has left 000000000002.leaves"
    ]
    assert len(list(Recording(site.folder).entries("run-1"))) == 6
    Prover(site.folder, VERIFIER).inclusion("run-1", 3)


def test_leaves_that_were_planted_after_a_crash_change_nothing_of_what_had_counted(site):
    run = site.run()
    run.append(entries(0, 4))
    crash(run)
    planted = [site.folder / f"{log}/000000000002.leaves" for log in ("logs/run-1", "site")]
    for path in planted:
        path.touch()
    site.run().close()
    closed = next(line for line in site_lines(site) if line["type"] == "log.closed")
    assert (closed["size"], closed.get("abandoned")) == (5, None)
    assert site.verify()[1].tampered
    for path in planted:
        path.unlink()
    assert site.verify()[0] == []


def site_lines(site):
    return [dict(kept.content) for kept in Recording(site.folder).entries("site")]


def remove_as_if_deleted(site, log="run-1"):
    """Everything that a lawful deletion does, by somebody without the key."""
    folder = site.folder / "logs" / log
    lines = (folder / "000000000000.jsonl").read_bytes().splitlines(keepends=True)
    leaves = b"".join(map(leaf_hash, lines))
    for path in folder.iterdir():
        path.unlink()
    (folder / "000000000000.leaves").write_bytes(leaves)
    fields = {"type": "segment.deleted", "log": log, "first": 0, "entries": len(lines)}
    said(site.folder, fields | {"leaves": sha256(leaves).hexdigest(), "by": "x", "why": "expired"})


def test_what_only_an_unsigned_entry_says_was_deleted_is_missing(site):
    run = site.run()
    run.append(entries(0, 2, body=b"{}"))
    run.close()
    (site.folder / "site/000000000000.jsonl").chmod(0o600)
    checkpoint = site.checkpoint()
    remove_as_if_deleted(site)
    for given_note in (checkpoint, None):
        findings, report = site.verify(given_note)
        assert report.deleted == 0
        assert [each.what for each in findings][:1] == [
            "lines are missing, and the entry that says they were deleted is not signed"
        ]


def test_a_start_signs_no_deletion_that_was_not_signed_and_is_done(site):
    run = site.run()
    run.append(entries(0, 2))
    run.close()
    (site.folder / "site/000000000000.jsonl").chmod(0o600)
    remove_as_if_deleted(site)
    with pytest.raises(StateUnusable, match="No checkpoint has signed that"):
        site.run()


def test_a_deletion_that_a_crash_cut_off_before_it_was_signed_starts(site):
    run = site.run()
    run.append(entries(0, 2))
    run.close()
    (site.folder / "site/000000000000.jsonl").chmod(0o600)
    said(site.folder, {"type": "segment.deleted", "log": "run-1", "first": 0, "entries": 4,
                       "leaves": "00"})  # fmt: skip
    site.run().close()


def test_what_is_signed_of_the_end_of_a_log_cannot_be_said_anew(site):
    run = site.run()
    run.append([entry(0)])
    crash(run)
    lines = site.folder / "logs/run-1/000000000000.jsonl"
    with lines.open("ab") as file:
        file.write(b'{"seq":2,"torn')
    site.run().close()
    checkpoint = site.checkpoint()
    lines.chmod(0o600)
    lines.write_bytes(lines.read_bytes()[:-4] + b"TORN")
    closed = next(line for line in site_lines(site) if line["type"] == "log.closed")
    tail = dict(closed["abandoned"][0], sha256=sha256(b'{"seq":2,"TORN').hexdigest())
    (max((site.folder / "site").glob("*.jsonl"))).chmod(0o600)
    said(site.folder, {**closed, "abandoned": [tail], "seq": len(site_lines(site)), "time": LATER})
    assert [each.what for each in site.verify(checkpoint)[0]] == [
        "it says twice that 'run-1' has ended",
        "the bytes that were left behind in 000000000000.jsonl are not what they were",
    ]


def delete(run, folder, path, time):
    """What retention does, without a sealer."""
    lines = path.read_bytes().splitlines(keepends=True)
    leaves = b"".join(map(leaf_hash, lines))
    told = {"log": folder.name, "first": int(path.stem), "entries": len(lines)}
    path.with_suffix(".leaves").write_bytes(leaves)
    digest = sha256(leaves).hexdigest()
    run.tell(Entry("segment.deleted", time, told | {"leaves": digest}))
    path.unlink()


def test_the_youngest_that_was_deleted_is_told_though_it_had_no_age_at_all(site):
    run = site.run(segment_bytes=600)
    for number in range(12):
        run.append([entry(number)])
    folder = site.folder / "logs/run-1"
    first, second = sorted(folder.glob("*.jsonl"))[:2]
    delete(run, folder, first, START)  # no later than the last head, which has none of it
    delete(run, folder, second, site.now() + 1000)
    run.close()
    _, report = site.verify()
    assert (report.tampered, report.deleted_segments, report.youngest) == (0, 2, 0.0)


def test_an_export_goes_on_behind_a_segment_that_was_deleted_in_between(site):
    """Of a log with a hold on its first segment the second is deleted, and the third is there."""
    run = site.run(segment_bytes=300)
    for number in range(6):
        run.append([entry(number), entry(number, kind="outcome")])
    run.close()
    folder = site.folder / "logs/run-1"
    second = sorted(folder.glob("*.jsonl"))[1]
    later = site.run()
    delete(later, folder, second, site.now())
    later.close()
    assert site.verify()[0] == []
    told = [each.id for each in Exporter(site.folder).more()]
    kept = [each.text("exchange") for each in Recording(site.folder).every_entry()]
    assert set(told) == {each for each in kept if each is not None}


def test_a_time_that_there_is_none_of_is_a_finding_and_no_end(site):
    crash(site.run())
    last = "site/000000000000.jsonl"
    told = {"type": "segment.deleted", "log": "run-1", "first": 0, "entries": 1, "leaves": ""}
    append_line(site, last, seq=3, time="2026-99-99T99:99:99.000000Z", **told)
    assert [each.what for each in site.verify()[0]] == [
        "no calendar has the time 2026-99-99T99:99:99.000000Z"
    ]
    arabic = "\u0662\u0660\u0662\u0669-01-01T00:00:00.000000Z"
    append_line(site, last, seq=4, time=arabic, **told)
    assert "time of the form" in site.verify()[0][-1].what
