"""Logs of workers: written beside the run's own, on the site log, and read together with it."""

from contextlib import suppress

import pytest
from stores.site import SITE, FailingDisk, Site, crash, entries, entry

from jitgate.errors import StateUnusable
from jitgate.exports.exchanges import of_every_log
from jitgate.exports.following import Follower as DurableFollower
from jitgate.stores.findings import Severity
from jitgate.stores.following import Follower
from jitgate.stores.index_place import IndexPlace
from jitgate.stores.index_search import Wanted
from jitgate.stores.reading import Recording, timelines
from jitgate.stores.writers import Head, WorkerFiles
from jitgate.values import Entry


class Crew:
    """A run with workers, each with a log of its own."""

    def __init__(self, folder, **more):
        self.site = Site(folder)
        self.run = self.site.run(**more)
        self.disk = FailingDisk()

    def worker(self, number):
        log = f"run-1.{number}"
        self.run.enlist(log)
        files = WorkerFiles(
            self.site.folder, site=SITE, log=log, run={}, now=self.site.now, disk=self.disk
        )
        files.open()
        return files

    def hand_over(self, files, number):
        self.run.others.note(f"run-1.{number}", files.head())

    def told(self, kind):
        lines = self.site.lines("site/000000000000.jsonl")
        return [(line["log"], line.get("size")) for line in lines if line["type"] == kind]


@pytest.fixture
def crew(tmp_path):
    made = Crew(tmp_path / "recordings")
    yield made
    with suppress(OSError):
        made.run.close()


def test_a_checkpoint_covers_what_every_worker_has_handed_over(crew):
    one, other = crew.worker(1), crew.worker(2)
    one.append(entries(1, 4))
    other.append(entries(4, 6))
    crew.hand_over(one, 1)
    crew.run.checkpoint()
    findings, report = crew.site.verify()
    assert not findings
    assert (report.logs, report.unwitnessed.entries) == (2, 3)  # the other's three, and no more
    crew.hand_over(other, 2)
    crew.run.checkpoint()
    assert crew.site.verify()[1].unwitnessed.entries == 0
    assert crew.told("log.head") == [("run-1", 1), ("run-1.1", 4), ("run-1.2", 3)]


def test_what_a_worker_has_written_cannot_be_changed_unseen(crew):
    one = crew.worker(1)
    one.append(entries(1, 3))
    crew.hand_over(one, 1)
    crew.run.checkpoint()
    path = crew.site.folder / "logs/run-1.1/000000000000.jsonl"
    path.write_bytes(path.read_bytes().replace(b"ex-1", b"ex-9"))
    assert Severity.TAMPERED in [each.severity for each in crew.site.verify()[0]]


def test_a_log_that_ends_in_order_is_closed_on_the_site_log(crew):
    one = crew.worker(1)
    one.append(entries(1, 3))
    one.close()
    crew.run.closed("run-1.1", one.last)
    crew.run.close()
    findings, report = crew.site.verify()
    assert not findings
    assert report.unwitnessed.entries == 0
    assert ("run-1.1", 4) in crew.told("log.closed")
    assert (crew.site.folder / "logs/run-1.1/000000000000.jsonl").stat().st_mode & 0o777 == 0o440


def test_the_log_of_a_worker_that_died_is_ended_with_what_it_left(crew):
    one = crew.worker(1)
    one.append(entries(1, 3))
    crash_in(one)
    path = crew.site.folder / "logs/run-1.1/000000000000.jsonl"
    with path.open("ab") as file:
        file.write(b'{"seq":3,"ti')
    crew.run.lose("run-1.1")
    assert crew.told("log.closed") == [("run-1.1", 3)]
    findings, report = crew.site.verify()
    assert not findings
    assert report.unwitnessed.entries == 0
    assert path.stat().st_mode & 0o777 == 0o440


def crash_in(files):
    """Leave what a killed process leaves: only the system closes its files."""
    files._log.finish()


def test_where_that_cannot_be_put_on_record_it_is_with_the_next_checkpoint(crew):
    one = crew.worker(1)
    one.append(entries(1, 3))
    crash_in(one)
    crew.site.disk.failing = "sync"
    with pytest.raises(OSError, match="error"):
        crew.run.lose("run-1.1")
    crew.site.disk.failing = None
    crew.run.recover()
    assert "run-1.1" in crew.run.ended
    findings, report = crew.site.verify()
    assert not findings
    assert report.unwitnessed.entries == 0


def test_the_next_run_ends_the_logs_of_workers_that_died_with_their_run(crew):
    crew.worker(1).append(entries(1, 3))
    crash(crew.run)
    crew.run = crew.site.run()
    assert crew.run.ended == {"run-1", "run-1.1"}
    assert not crew.site.verify()[0]


def test_a_log_that_is_written_is_neither_archived_nor_deleted_as_one_that_has_ended(crew):
    one = crew.worker(1)
    assert not [each.key for each in crew.run.sealed("s3://b/")]
    assert "run-1.1" not in crew.run.ended
    one.close()
    crew.run.closed("run-1.1", one.last)
    assert [each.key for each in crew.run.sealed("s3://b/")] == ["logs/run-1.1/000000000000.jsonl"]
    assert "run-1.1" in crew.run.ended


@pytest.mark.parametrize("log", ["run-1", "run-2.1", "site", "run-1./x", "run-1.1"])
def test_a_worker_cannot_begin_a_log_that_is_not_its_own(crew, log):
    crew.worker(1)
    with pytest.raises(StateUnusable):
        crew.run.enlist(log)


def test_a_log_does_not_shrink(crew):
    one = crew.worker(1)
    one.append(entries(1, 3))
    crew.hand_over(one, 1)
    crew.run.others.note("run-1.1", Head(1, "00" * 32))
    crew.run.checkpoint()
    assert crew.told("log.head")[-1] == ("run-1.1", 3)
    assert not crew.site.verify()[0]


# --- reading


SUBJECT = {"issuer": "https://i", "id": "bot"}


def story(crew):
    """A call that was asked for at one worker, answered beside it, and sent by the other."""
    one, other = crew.worker(2), crew.worker(1)
    asked = {"exchange": "ex-1", "session": "s", "subject": SUBJECT, "access_request": "a-1"}
    one.append([Entry("access.opened", crew.site.now(), asked)])
    answered = {"access_request": "a-1", "session": "s"}
    crew.run.append([Entry("access.answered", crew.site.now(), answered)])
    sent = {"exchange": "ex-2", "session": "s", "subject": SUBJECT}
    other.append([Entry("decision", crew.site.now(), sent)])
    crew.run.append([Entry("access.ended", crew.site.now(), answered)])
    other.append([Entry("outcome", crew.site.now(), sent)])
    return one, other


TOLD = ["access.opened", "access.answered", "decision", "access.ended", "outcome"]


def test_a_session_over_several_logs_is_one_and_in_the_order_of_time(crew):
    story(crew)
    (timeline,) = timelines(Recording(crew.site.folder), "s")
    assert [kept.type for kept in timeline] == TOLD
    every = [kept.time for kept in Recording(crew.site.folder).every_entry()]
    assert every == sorted(every)


def test_they_are_found_together(crew, tmp_path):
    story(crew)
    who = {"access_request": "a-1", "session": "s", "approver": "alice"}
    crew.run.append([Entry("access.answered", crew.site.now(), who)])
    *_, found = IndexPlace(tmp_path / "index", crew.site.folder).search(
        Wanted({"approver": ["alice"]})
    )
    assert [name for session in found for name in session.exchanges] == ["ex-1"]


def test_they_are_followed_together(crew):
    follower = Follower(crew.site.folder)
    list(follower.grown())
    one, other = story(crew)
    assert [kept.type for kept in follower.grown() if "session" in kept.content] == TOLD
    for files, number in ((one, 2), (other, 1)):
        files.close()
        crew.run.closed(f"run-1.{number}", files.last)
    list(follower.grown())
    assert not follower.ended
    crew.run.close()
    list(follower.grown())
    assert follower.ended


def test_exchanges_of_each_are_told_when_they_are_durable_and_once(crew):
    one, other = crew.worker(1), crew.worker(2)
    follower = DurableFollower(crew.site.folder)
    for files, number in ((one, 1), (other, 2)):
        files.append([entry(number), entry(number, kind="outcome"), entry(number + 2)])
    crew.hand_over(other, 2)
    crew.run.checkpoint()
    assert [each.id for each in follower.more()] == ["ex-2"]
    crew.hand_over(one, 1)
    crew.run.checkpoint()
    assert [each.id for each in follower.more()] == ["ex-1"]
    crash_in(one)
    crew.run.lose("run-1.1")
    assert [each.id for each in follower.more()] == ["ex-3"]
    everything = of_every_log(Recording(crew.site.folder))
    assert sorted(each.id for each in everything) == ["ex-1", "ex-2", "ex-3", "ex-4"]


def test_a_checkpoint_is_whole_once_every_worker_has_cut_its_log(tmp_path):
    crew = Crew(tmp_path / "recordings", cut_every=0.5)
    begun = crew.run.whole_notes()
    one, other = crew.worker(1), crew.worker(2)
    for number, each in enumerate((one, other), 1):
        each.append(entries(4 * number, 4 * number + 3))
        crew.hand_over(each, number)
    for _ in range(4):
        crew.run.checkpoint()
    one.checkpoint()
    crew.run.checkpoint()
    assert crew.run.whole_notes() == begun
    other.checkpoint()
    crew.run.checkpoint()
    assert crew.run.whole_notes() != begun
    to = tmp_path / "archive"
    for each in (*crew.run.sealed("s3://b/"), *crew.run.whole_notes()):
        (to / each.key).parent.mkdir(parents=True, exist_ok=True)
        (to / each.key).write_bytes((crew.site.folder / each.key).read_bytes())
    findings, report = Site(to).verify()
    assert findings == []
    assert report.logs == 3
    crew.run.close()
