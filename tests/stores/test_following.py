import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores.site import Site, crash, entries, entry

from jitgate.stores.following import Follower, Withdrawn
from jitgate.stores.layout import log_folder
from jitgate.stores.reading import Recording


def read(follower):
    return [
        step if isinstance(step, Withdrawn) else (step.log, step.seq, step.type)
        for step in follower.grown()
    ]


def test_each_entry_is_given_once_over_segments_and_runs(site):
    follower = Follower(site.folder)
    assert read(follower) == []
    run = site.run(segment_bytes=300)
    given = read(follower)
    for number in range(6):
        run.append([entry(number)])
        given += read(follower)
    run.close()
    given += read(follower)
    assert follower.ended
    again = site.run()
    given += read(follower)
    assert not follower.ended
    crash(again)
    every = Recording(site.folder).every_entry()
    assert given == [(kept.log, kept.seq, kept.type) for kept in every]
    assert read(follower) == []


def test_half_a_line_is_waited_for(site):
    run = site.run()
    follower = Follower(site.folder)
    read(follower)
    run.append([entry(1)])
    crash(run)
    path = log_folder(site.folder, "run-1") / "000000000000.jsonl"
    path.chmod(0o600)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    assert read(follower) == []
    path.write_bytes(whole)
    assert read(follower) == [("run-1", 1, "decision")]


def test_what_was_given_and_never_counted_is_taken_back(site):
    run = site.run()
    run.append([entry(1)])
    site.disk.failing = "sync"
    with pytest.raises(OSError, match="error"):
        run.append(entries(2, 4))
    follower = Follower(site.folder)
    assert len(read(follower)) == 4
    site.disk.failing = None
    run.recover()
    run.append([entry(4)])
    assert read(follower) == [
        Withdrawn("run-1", 2),
        ("run-1", 2, "segment.resumed"),
        ("run-1", 3, "decision"),
    ]
    crash(run)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a log's one file, and its entries."""
    site = Site(tmp_path_factory.mktemp("whole") / "recordings")
    run = site.run()
    run.append(entries(0, 5))
    run.close()
    path = log_folder(site.folder, "run-1") / "000000000000.jsonl"
    return path.read_bytes(), len(list(Recording(site.folder).every_entry()))


@given(data=st.data())
def test_wherever_the_file_has_grown_to_every_entry_comes_once(whole, tmp_path_factory, data):
    bytes_, count = whole
    ends = [*sorted(data.draw(st.sets(st.integers(0, len(bytes_)), max_size=6))), len(bytes_)]
    folder = tmp_path_factory.mktemp("grown")
    path = log_folder(folder, "run-1") / "000000000000.jsonl"
    path.parent.mkdir(parents=True)
    site = folder / "site/000000000000.jsonl"
    site.parent.mkdir()
    time = "2026-11-24T02:06:00.000000Z"
    site.write_text(f'{{"seq":0,"time":"{time}","type":"log.opened","log":"run-1"}}\n')
    follower, given_ = Follower(folder), []
    for end in ends:
        path.write_bytes(bytes_[:end])
        given_ += [seq for _, seq, _ in read(follower)]
    assert given_ == list(range(count))
