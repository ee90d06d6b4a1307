import os
import subprocess
import sys
from pathlib import Path

import pytest
from stores.site import FAILURES, KEY, START, Site, crash, entries, entry

from jitgate.errors import StateUnusable
from jitgate.stores.layout import segments
from jitgate.stores.recordings import RecordFiles
from jitgate.stores.stock import LEFT_BYTES
from jitgate.values import Entry


def types(site, path):
    return [line["type"] for line in site.lines(path)]


def test_a_run_leaves_two_logs_and_a_checkpoint_that_vouch_for_each_other(site):
    records = site.run()
    records.append(entries(0, 3))
    records.close()
    assert types(site, "logs/run-1/000000000000.jsonl") == [
        "log.open",
        *["decision"] * 3,
        "log.close",
    ]
    assert types(site, "site/000000000000.jsonl") == [
        "site.open",
        "log.opened",
        "log.head",
        "log.closed",
        "site.close",
    ]
    findings, report = site.verify()
    assert findings == []
    assert report.all_witnessed
    assert report.covered.entries == 10


def test_numbers_go_on_over_all_segments_and_times_never_run_back(site):
    records = site.run(segment_bytes=300)
    for number in (5, 3, 9, 1, 7):
        records.append([entry(number)])
    records.close()
    folder = site.folder / "logs" / "run-1"
    assert len(segments(folder)) > 2
    lines = [
        line for first in segments(folder) for line in site.lines(f"logs/run-1/{first:012d}.jsonl")
    ]
    assert [line["seq"] for line in lines] == list(range(len(lines)))
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    assert site.verify()[0] == []


def test_a_segment_ends_after_a_day(site):
    now = START
    records = RecordFiles(
        site.folder, site="jitgate/test", key=KEY, now=lambda: now, writer="w", run={}
    )
    records.open()
    records.append([entry(1)])
    now += 24 * 60 * 60 + 1
    records.append([entry(2)])
    assert segments(site.folder / "logs" / "w") == [0, 2]
    assert site.lines("logs/w/000000000002.jsonl")[0]["why"] == "old"
    records.close()


def test_full_bodies_end_a_segment_as_full_lines_do(site):
    records = site.run(segment_bytes=5000)
    records.append([entry(1, body=os.urandom(6000))])
    records.append([entry(2, body=b"{}")])
    records.close()
    assert segments(site.folder / "logs" / "run-1") == [0, 2]
    assert site.verify()[0] == []


def test_one_batch_is_one_write_and_one_sync_for_each_file_bodies_first(site):
    records = site.run()
    records.append([entry(0, body=b"{}")])
    site.disk.done.clear()
    records.append([entry(number, body=b"{}") for number in range(1, 20)])
    assert site.disk.done == [
        "write run-1/000000000000.bodies",
        "sync run-1/000000000000.bodies",
        "write run-1/000000000000.jsonl",
        "sync run-1/000000000000.jsonl",
    ]
    site.disk.done.clear()
    records.append(entries(20, 40))
    assert site.disk.done == ["write run-1/000000000000.jsonl", "sync run-1/000000000000.jsonl"]
    records.close()


def test_a_checkpoint_is_written_after_what_it_signs_is_durable(site):
    records = site.run()
    records.append([entry(1)])
    site.disk.done.clear()
    records.checkpoint()
    assert site.disk.done == [
        "write site/000000000000.jsonl",
        "sync site/000000000000.jsonl",
        "write checkpoints/000000000004.note.new",
        "sync checkpoints/000000000004.note.new",
        "sync checkpoints",
    ]
    records.close()


def test_a_new_body_file_is_durable_by_name_before_a_line_tells_of_it(site):
    records = site.run()
    site.disk.done.clear()
    records.append([entry(1, body=b"{}")])
    assert site.disk.done.index("sync run-1") < site.disk.done.index(
        "write run-1/000000000000.jsonl"
    )
    records.close()


@pytest.mark.parametrize("failure", FAILURES[:3])
@pytest.mark.parametrize("body", [None, b"{}"])
def test_after_a_failed_write_the_log_goes_on_in_a_new_segment_and_explains_the_rest(
    site, failure, body
):
    records = site.run()
    records.append(entries(0, 3, body=body))
    site.disk.failing = failure
    with pytest.raises(OSError, match=r"space|error|part"):
        records.append(entries(3, 6, body=body))
    site.disk.failing = None
    site.disk.done.clear()
    records.recover()
    records.append(entries(6, 8, body=body))
    records.close()
    resumed = site.lines("logs/run-1/000000000004.jsonl")[0]
    assert (resumed["type"], resumed["why"], resumed["seq"]) == ("segment.resumed", "failed", 4)
    assert resumed["abandoned"][0]["bytes"] > 0
    findings, report = site.verify()
    assert findings == []
    assert report.all_witnessed


def test_a_failed_file_is_neither_written_nor_synced_again(site):
    records = site.run()
    records.append([entry(1, body=b"{}")])
    site.disk.failing = "sync"
    with pytest.raises(OSError, match="error"):
        records.append([entry(2, body=b"{}")])
    site.disk.failing = None
    site.disk.done.clear()
    records.recover()
    records.append([entry(3, body=b"{}")])
    assert not [done for done in site.disk.done if "run-1/000000000000" in done]
    assert "sync run-1/000000000002.bodies" in site.disk.done
    records.close()


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failed_recovery_leaves_nothing_behind_and_is_tried_again(site, failure):
    records = site.run()
    site.disk.failing = "write"
    with pytest.raises(OSError, match="space"):
        records.append([entry(1)])
    site.disk.failing = failure
    for _ in range(3):
        with pytest.raises(OSError, match=r"space|error|part"):
            records.recover()
    assert len(list((site.folder / "logs" / "run-1").iterdir())) == 1
    site.disk.failing = None
    records.recover()
    records.append([entry(2)])
    records.close()
    findings, report = site.verify()
    assert findings == []
    assert report.all_witnessed


@pytest.mark.parametrize("failure", FAILURES)
def test_a_checkpoint_that_failed_is_made_up_for(site, failure):
    records = site.run()
    records.append([entry(1)])
    site.disk.failing = failure
    with pytest.raises(OSError, match=r"space|error|part"):
        records.checkpoint()
    site.disk.failing = None
    records.recover()
    findings, report = site.verify()
    assert findings == []
    assert report.all_witnessed
    records.close()


@pytest.mark.parametrize("failure", FAILURES[:3])
def test_a_run_whose_end_failed_is_ended_by_the_next(site, failure):
    records = site.run()
    records.append([entry(1)])
    site.disk.failing = failure
    with pytest.raises(OSError, match=r"space|error|part"):
        records.close()
    site.disk.failing = None
    site.run().close()
    closed = [
        line for line in site.lines("site/000000000003.jsonl") if line["type"] == "log.closed"
    ]
    assert [line["clean"] for line in closed] == [False, True]
    findings, report = site.verify()
    assert findings == []
    assert report.all_witnessed


def test_an_entry_that_others_made_no_json_is_written_and_costs_nobody_anything(site):
    records = site.run()
    records.append([entry(1), Entry("x", START, {"path": "$['\ud800']"}), entry(2)])
    records.close()
    told = types(site, "logs/run-1/000000000000.jsonl")
    assert told == ["log.open", "decision", "x", "decision", "log.close"]
    findings, report = site.verify()
    assert findings == []
    assert report.all_witnessed


def test_a_crashed_run_is_ended_by_the_next_and_never_written_again(site):
    records = site.run()
    records.append(entries(0, 3, body=b"{}"))
    crash(records)
    for suffix in ("jsonl", "bodies"):
        with (site.folder / f"logs/run-1/000000000000.{suffix}").open("ab") as file:
            file.write(b"torn")
    before = (site.folder / "logs/run-1/000000000000.jsonl").read_bytes()
    site.run().close()
    assert (site.folder / "logs/run-1/000000000000.jsonl").read_bytes() == before
    closed = site.lines("site/000000000003.jsonl")[1]
    assert (closed["type"], closed["log"], closed["size"]) == ("log.closed", "run-1", 4)
    assert closed["clean"] is False
    assert [left["bytes"] for left in closed["abandoned"]] == [4, 4]
    findings, report = site.verify()
    assert findings == []
    assert report.all_witnessed


def test_a_torn_site_log_is_explained_by_the_next_start(site):
    site.run().close()
    with (site.folder / "site/000000000000.jsonl").open("ab") as file:
        file.write(b'{"seq":5,')
    site.run().close()
    (left,) = site.lines("site/000000000005.jsonl")[0]["abandoned"]
    assert (left["file"], left["bytes"]) == ("000000000000.jsonl", 9)
    assert site.verify()[0] == []


def test_a_second_writer_is_turned_away_and_the_first_goes_on(site):
    records = site.run()
    with pytest.raises(StateUnusable, match="Another gateway is writing"):
        site.run()
    records.append([entry(1)])
    records.close()
    site.run().close()


def test_a_lock_that_was_removed_lets_no_second_writer_in(site):
    records = site.run()
    (site.folder / "lock").unlink()
    for _ in range(2):
        with pytest.raises(StateUnusable, match="Another gateway is writing"):
            site.run()
    records.append([entry(1)])
    records.close()
    site.run().close()
    assert site.verify()[0] == []


def test_a_log_is_never_taken_up_by_a_run_of_the_same_name(site):
    site.run().close()
    site._runs = iter([1])
    with pytest.raises(StateUnusable, match="There is a log run-1"):
        site.run()


def test_what_was_signed_once_is_never_signed_otherwise(site, tmp_path):
    records = site.run()
    older = site.copy(tmp_path / "older")
    records.append([entry(1)])
    records.close()
    (older.folder / "checkpoints").rename(tmp_path / "gone")
    (site.folder / "checkpoints").rename(older.folder / "checkpoints")
    with pytest.raises(StateUnusable, match="not what its checkpoint signed"):
        older.run()


def test_a_site_log_with_a_hole_is_not_continued(site):
    for _ in range(3):
        site.run().close()
    (site.folder / "site/000000000005.jsonl").unlink()
    with pytest.raises(StateUnusable, match="lacks entries"):
        site.run()


@pytest.mark.parametrize("file", ["site/000000000000.jsonl", "logs/run-1/000000000000.bodies"])
def test_more_than_a_crash_can_leave_is_not_read(site, file):
    """Whoever can write there makes a file of any length in no time, and it takes hours to read."""
    records = site.run()
    records.append([entry(1, body=b"{}")])
    crash(records)
    path = site.folder / file
    length = path.stat().st_size
    os.truncate(path, length + LEFT_BYTES + 1)
    with pytest.raises(StateUnusable, match=f"{path.name} goes on for .* after its first {length}"):
        site.run()
    os.truncate(path, length)
    site.run().close()
    assert site.verify()[0] == []


def test_another_sites_recording_is_not_continued(site):
    site.run().close()
    other = RecordFiles(
        site.folder, site="jitgate/other", key=KEY, now=site.now, writer="w", run={}
    )
    with pytest.raises(StateUnusable, match="not this site's"):
        other.open()


def test_files_are_for_the_gateway_alone_and_finished_ones_for_reading(site):
    records = site.run(segment_bytes=10)
    records.append([entry(1, body=b"{}")])
    records.append([entry(2, body=b"{}")])
    records.append([entry(3)])
    modes = {
        str(path.relative_to(site.folder)): path.stat().st_mode & 0o777
        for path in site.folder.rglob("*")
    }
    assert modes["site"] == modes["logs"] == modes["checkpoints"] == modes["logs/run-1"] == 0o700
    assert modes["logs/run-1/000000000000.jsonl"] == 0o440
    assert modes["logs/run-1/000000000001.bodies"] == 0o440
    assert modes["lock"] == modes["logs/run-1/000000000005.jsonl"] == 0o600
    records.close()
    finished = [path for path in site.folder.rglob("0*.*") if "checkpoints" not in path.parts]
    assert {path.stat().st_mode & 0o777 for path in finished} == {0o440}


def test_a_folder_that_others_may_write_to_is_refused(site):
    site.folder.mkdir()
    site.folder.chmod(0o777)
    with pytest.raises(StateUnusable, match="Others may write"):
        site.run()


def test_a_folder_that_cannot_be_is_told_in_a_sentence(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StateUnusable, match="is unusable"):
        Site(tmp_path / "file" / "recordings").run()


@pytest.mark.parametrize("name", ["", "site", "../x", ".hidden", "a/b", "x" * 101])
def test_a_writer_has_a_name_that_is_no_path(site, name):
    with pytest.raises(StateUnusable, match="cannot be the name"):
        RecordFiles(site.folder, site="s", key=KEY, now=site.now, writer=name, run={})


def test_a_name_in_the_site_log_that_is_a_path_is_not_followed(site):
    records = site.run()
    crash(records)
    path = site.folder / "site/000000000000.jsonl"
    path.chmod(0o600)
    line = b'{"seq":3,"time":"2027-11-24T02:06:00.000000Z","type":"log.opened","log":"../../x"}\n'
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(StateUnusable, match="cannot be one's name"):
        site.run()


def test_the_key_is_in_no_file_and_in_no_text(site):
    records = site.run()
    records.close()
    secret = KEY.private_bytes_raw()
    for path in site.folder.rglob("*"):
        assert path.is_dir() or secret not in path.read_bytes()
    assert repr(secret) not in repr(vars(records))


RUN_INTO_LIMIT = """
import os, resource, sys, time
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jitgate.stores.recordings import RecordFiles
from jitgate.values import Entry

key = Ed25519PrivateKey.from_private_bytes(b"a test's key, never to be used!!")
records = RecordFiles(Path(sys.argv[1]), site="jitgate/test", key=key, now=time.time,
                      writer="w", run={})
records.open()
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
kept = 0
try:
    while True:
        records.append([Entry("decision", time.time(), {"n": kept})])
        kept += 1
except OSError as error:
    print(type(error).__name__, kept)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
records.recover()
records.append([Entry("decision", time.time(), {"n": kept})])
records.close()
"""


def test_the_systems_own_limit_on_a_file_is_survived(site):
    """A real short write: the kernel takes the part of the line that still fits."""
    done = subprocess.run(
        [sys.executable, "-c", RUN_INTO_LIMIT, site.folder],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    kept = int(done.stdout.split()[1])
    folder = site.folder / "logs" / "w"
    assert (folder / "000000000000.jsonl").stat().st_size == 4096
    assert segments(folder) == [0, kept + 1]
    findings, report = site.verify()
    assert findings == []
    assert report.all_witnessed
    assert report.covered.entries > kept


def test_a_file_that_was_taken_away_takes_no_more_entries(site):
    """Writing to it would succeed, and keep nothing."""
    records = site.run()
    records.append([Entry("first", START, {})])
    (segment,) = site.folder.glob("logs/*/*.jsonl")
    segment.unlink()
    with pytest.raises(OSError, match="No such file"):
        records.append([Entry("second", START, {})])
    with pytest.raises(OSError, match="not resumed"):
        records.append([Entry("third", START, {})])
    crash(records)


@pytest.mark.parametrize("body", [b"more", None])
def test_bodies_that_were_taken_away_are_missed_with_the_next_entry(site, body):
    records = site.run()
    records.append([entry(1, body=b"body")])
    (bodies,) = site.folder.glob("logs/*/*.bodies")
    bodies.rename(bodies.with_name("x"))
    with pytest.raises(OSError, match="No such file"):
        records.append([entry(2, body=body)])
    records.recover()
    records.append([entry(3, body=b"again")])
    records.close()
    bodies.with_name("x").rename(bodies)
    assert site.verify(site.checkpoint())[0] == []
