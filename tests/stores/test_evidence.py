"""What a recording shows of grants after whatever happened: all that counts, or that it lacks some."""

import errno
import json
import os

import pytest
from stores.site import START, Site, crash
from zope.interface.verify import verifyObject

from jitgate.errors import StateUnusable
from jitgate.interfaces import IEvidence
from jitgate.stores.evidence import RecordedEvidence
from jitgate.stores.memory import MemoryEvidence, MemoryRecords
from jitgate.stores.scanning import counted
from jitgate.values import Body, Entry

OPENED = Entry("access.opened", START + 0.25, {"access_request": "ar-1", "revision": 1})
SPENT = Entry("grant.spent", START + 0.5, {"grant": "g-1", "use": "ex-1", "revision": 2})
SETTLED = Entry("grant.settled", START + 0.75, {"use": "ex-1", "state": "spent", "revision": 3})


def told(entries):
    """What they say. When is the recording's: there time never goes back."""
    return [(entry.type, entry.fields) for entry in entries]


TAKEN_UP = Entry("state.taken-up", START + 0.1, {"run": "run-1", "revision": 0})
REVOKED = Entry("subject.revoked", START + 0.9, {"name": "bot-7", "at": START + 0.8})


def other(number=0, **fields):
    return Entry("decision", START + number, {"exchange": f"ex-{number}", **fields})


class Files:
    """Runs that are recorded in files."""

    def __init__(self, folder):
        self.site = Site(folder)
        self.evidence = RecordedEvidence(folder)

    def run(self, *entries):
        records = self.site.run(segment_bytes=300)
        for entry in entries:
            records.append([entry])
        records.close()


class Memory:
    def __init__(self, _folder):
        self.records = MemoryRecords()
        self.evidence = MemoryEvidence(self.records)
        self.runs = 0

    def run(self, *entries):
        self.runs += 1
        self.evidence.begin(f"run-{self.runs}")
        self.records.open()
        self.records.append(entries)
        self.records.close()


@pytest.fixture(params=[Memory, Files])
def recorded(request, tmp_path):
    return request.param(tmp_path / "recordings")


def test_it_provides_the_port(recorded):
    assert verifyObject(IEvidence, recorded.evidence)


def test_it_tells_what_that_run_and_later_ones_wrote_of_grants_in_order(recorded):
    recorded.run(TAKEN_UP, OPENED)
    recorded.run(other(1), SPENT, other(2))
    recorded.run(other(3))
    recorded.run(SETTLED, other(4))
    assert told(recorded.evidence.since("run-1")) == told([TAKEN_UP, OPENED, SPENT, SETTLED])
    assert told(recorded.evidence.since("run-2")) == told([SPENT, SETTLED])
    assert told(recorded.evidence.since("run-3")) == told([SETTLED])


def test_it_tells_who_was_revoked(recorded):
    recorded.run(other(), REVOKED)
    assert told(recorded.evidence.since("run-1")) == told([REVOKED])


def test_a_run_that_wrote_nothing_of_them_is_there_all_the_same(recorded):
    recorded.run(other())
    assert recorded.evidence.since("run-1") == []


def test_a_run_without_a_log_is_not_there(recorded):
    assert recorded.evidence.since("run-1") is None
    recorded.run(SPENT)
    assert recorded.evidence.since("run-2") is None
    assert recorded.evidence.since("run") is None


def test_fields_are_as_they_were_written(recorded):
    fields = {"quorums": ({"groups": ("a", "b")},), "left": 0, "why": 'é "grant.', "x": {"y": None}}
    recorded.run(
        Entry("grant.made", START + 1000.25, fields, {"request": Body(b"{}", 2, complete=True)})
    )
    (entry,) = recorded.evidence.since("run-1")
    assert entry.fields == json.loads(json.dumps(fields))
    assert (entry.time, entry.bodies) == (START + 1000.25, {})


@pytest.mark.parametrize(
    "kind", ["accessed", "grants.x", "a.grant.spent", "access", "grant", "subjects.x", "stated"]
)
def test_types_that_only_look_like_theirs_are_not_told(recorded, kind):
    recorded.run(Entry(kind, START, {"a": "grant.spent"}))
    assert recorded.evidence.since("run-1") == []


# --- in files, after whatever happened


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path / "recordings")


def lines(files, log="run-1"):
    """The files of a log's segments, in order."""
    return sorted((files.site.folder / "logs" / log).glob("*.jsonl"))


def test_it_reads_as_many_lines_as_count_and_no_others(files):
    files.run(*(other(number, pad="x" * 100) for number in range(10)), SPENT)
    assert len(lines(files)) > 3
    there = list(counted(files.site.folder / "logs" / "run-1"))
    assert sum(line.content["type"] == "grant.spent" for line in there) == 1
    assert told(files.evidence.since("run-1")) == told([SPENT])


def test_a_run_that_was_killed_has_its_evidence(files):
    records = files.site.run()
    records.append([SPENT, other()])
    crash(records)
    files.run(SETTLED)
    assert told(files.evidence.since("run-1")) == told([SPENT, SETTLED])


@pytest.mark.parametrize("torn", range(1, 60, 7))
def test_a_torn_end_is_not_told(files, torn):
    records = files.site.run()
    records.append([SPENT])
    records.append([SETTLED])
    crash(records)
    (path,) = lines(files)
    os.truncate(path, path.stat().st_size - torn)
    assert told(files.evidence.since("run-1")) == told([SPENT])


def test_a_torn_end_of_no_interest_ends_what_counts(files):
    records = files.site.run()
    records.append([SPENT])
    records.append([other()])
    crash(records)
    (path,) = lines(files)
    os.truncate(path, path.stat().st_size - 1)
    with path.open("ab") as file:
        file.write(b'{"seq":3,"time":"2027-01-01T00:00:00.000000Z","type":"grant.spent"}\n')
    assert told(files.evidence.since("run-1")) == told([SPENT])


def test_what_a_failed_write_left_behind_is_not_told(files):
    records = files.site.run()
    records.append([SPENT])
    files.site.disk.failing = "write"
    with pytest.raises(OSError, match="No space"):
        records.append([SETTLED] * 9)
    files.site.disk.failing = None
    records.recover()
    records.append([other()])
    records.close()
    assert len(lines(files)) == 2
    assert told(files.evidence.since("run-1")) == told([SPENT])


@pytest.mark.parametrize("order", [[0, 1, 4], [0, 1, 3], [0, 1, 2, 2, 4], [0, 1, 3, 2, 4]])
def test_what_stands_behind_a_line_of_another_number_is_not_told(files, order):
    records = files.site.run()
    records.append([SPENT, other(), other(), SETTLED])
    crash(records)
    (path,) = lines(files)
    there = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(there[number] for number in order))
    assert told(files.evidence.since("run-1")) == told([SPENT])


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"grant.spent","seq":2,"time":"2026-11-24T00:00:00.000000Z"}\n',
        b'{ "seq": 2, "time": "2026-11-24T00:00:00.000000Z", "type": "grant.spent" }\n',
        b'{"seq":2,"type":"grant.spent","time":"2026-11-24T00:00:00.000000Z"}\n',
    ],
)
def test_a_line_that_begins_otherwise_is_read_to_see(files, line):
    records = files.site.run()
    records.append([SPENT])
    crash(records)
    (path,) = lines(files)
    with path.open("ab") as file:
        file.write(line)
    assert [entry.type for entry in files.evidence.since("run-1")] == ["grant.spent"] * 2


def gone(path):
    path.unlink()


def emptied(path):
    path.write_bytes(b"")


def without_its_first_line(path):
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))


def without_its_last_byte(path):
    os.truncate(path, path.stat().st_size - 1)


@pytest.mark.parametrize("harm", [gone, emptied, without_its_first_line, without_its_last_byte])
@pytest.mark.parametrize("which", [0, 1, -2])
@pytest.mark.parametrize("log", ["run-2", "run-3"])
def test_a_log_that_lacks_a_part_is_as_good_as_none(files, harm, which, log):
    files.run(SPENT)
    files.run(*(other(number, pad="x" * 100) for number in range(10)))
    files.run(*(other(number, pad="x" * 100) for number in range(10)), SETTLED)
    path = lines(files, log)[which]
    path.chmod(0o600)
    harm(path)
    assert files.evidence.since("run-1") is None
    assert files.evidence.since("run-2") is None
    if log == "run-2":
        assert told(files.evidence.since("run-3")) == told([SETTLED])


def test_a_log_without_a_file_is_no_log(files):
    files.run(SPENT)
    for path in lines(files):
        path.unlink()
    assert files.evidence.since("run-1") is None


def test_the_site_log_is_no_run(files):
    files.run(SPENT)
    assert files.evidence.since("site") is None
    assert files.evidence.since("../site") is None


def test_an_entry_of_a_time_that_no_calendar_has_shows_nothing(files):
    files.run(SPENT)
    path = lines(files)[0]
    path.write_bytes(
        path.read_bytes().replace(b'"time":"20', b'"time":"99').replace(b"-11-", b"-99-")
    )
    assert files.evidence.since("run-1") is None


def test_a_recording_that_cannot_be_read_is_told(files):
    files.run(SPENT)
    path = lines(files)[0]
    path.unlink()
    path.mkdir()
    with pytest.raises(StateUnusable, match=f"cannot be read: {os.strerror(errno.EISDIR).lower()}"):
        files.evidence.since("run-1")
