"""Following a recording while it is written: each exchange once, and only when it is durable."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores.site import FailingDisk, Site, crash, entry
from vectors.recording import make as vector

from jitgate.exports.exchanges import of_every_log
from jitgate.exports.following import Follower
from jitgate.stores.reading import Recording

RECORDINGS = Path(vector.__file__).parent / "recordings"


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path / "recordings")


def exchange(number):
    return [entry(number), entry(number, kind="outcome")]


def ids(told):
    return [each.id for each in told]


def test_nothing_is_told_before_the_site_log_says_that_it_is_durable(site):
    run, follower = site.run(), Follower(site.folder)
    run.append(exchange(1))
    assert ids(follower.more()) == []
    run.checkpoint()
    assert ids(follower.more()) == ["ex-1"]
    run.append(exchange(2))
    assert ids(follower.more()) == []
    run.close()
    assert ids(follower.more()) == ["ex-2"]


def test_lines_of_a_batch_that_failed_are_never_told(site):
    run, follower = site.run(), Follower(site.folder)
    run.append(exchange(1))
    run.checkpoint()
    site.disk.failing = "sync"
    with pytest.raises(OSError, match="error"):
        run.append(exchange(2))
    assert ids(follower.more()) == ["ex-1"]
    site.disk.failing = None
    run.recover()
    run.append(exchange(3))
    run.close()
    assert ids(follower.more()) == ["ex-3"]


def test_what_has_no_outcome_is_told_once_its_run_is_known_to_be_over(site):
    run, follower = site.run(), Follower(site.folder)
    run.append([entry(1), entry(2), entry(2, kind="outcome")])
    run.checkpoint()
    assert ids(follower.more()) == ["ex-2"]
    crash(run)
    assert ids(follower.more()) == []
    other = site.run()
    (told,) = follower.more()
    assert (told.id, told.outcome) == ("ex-1", None)
    other.append(exchange(3))
    other.close()
    assert ids(follower.more()) == ["ex-3"]


def test_a_recording_that_is_whole_is_told_as_at_once():
    assert ids(Follower(RECORDINGS).more()) == ids(of_every_log(Recording(RECORDINGS)))


def test_a_log_that_is_shorter_than_was_said_holds_nothing_up(tmp_path):
    copy = Path(shutil.copytree(RECORDINGS, tmp_path / "copy"))
    path = copy / "logs" / vector.FIRST / "000000000000.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    assert ids(Follower(copy).more()) == ["ex-1", "ex-3"]


def test_a_log_whose_first_segments_are_gone_is_told_from_there_on(site):
    run = site.run(segment_bytes=300)
    for number in range(6):
        run.append(exchange(number))
    run.close()
    first, *rest = sorted((site.folder / "logs" / "run-1").glob("*.jsonl"))
    first.unlink()
    assert rest
    told = ids(Follower(site.folder).more())
    assert told == ids(of_every_log(Recording(site.folder)))
    assert told[-1] == "ex-5"


RUNS = 9
"""Names of runs are in the order of time, as real ones are: run-10 would come before run-2."""

STEPS = ("begin", "end", "sign", "fail", "crash", "look")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(STEPS), max_size=30), st.sampled_from([300, 2000, 1 << 20]))
def test_whatever_happens_each_exchange_is_told_once_and_in_order(steps, segment_bytes):
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder) / "recordings")
        run, number, crashes, told = site.run(segment_bytes=segment_bytes), 0, 0, []
        follower = Follower(site.folder)
        for step in steps:
            if step == "begin":
                number += 1
                run.append([entry(number)])
            elif step == "end":
                run.append([entry(number, kind="outcome")])
            elif step == "sign":
                run.checkpoint()
            elif step == "fail":
                _failed(site.disk, run)
            elif step == "crash" and crashes < RUNS - 1:
                crashes += 1
                crash(run)
                run = site.run(segment_bytes=segment_bytes)
            elif step == "look":
                told += _keys(follower.more())
        run.close()
        told += _keys(follower.more())
        assert told == _keys(of_every_log(Recording(site.folder)))


def _failed(disk: FailingDisk, run) -> None:
    disk.failing = "sync"
    with pytest.raises(OSError, match="error"):
        run.append(exchange(999))
    disk.failing = None
    run.recover()


def _keys(told):
    return [(each.id, each.last.name, each.outcome is None) for each in told]
