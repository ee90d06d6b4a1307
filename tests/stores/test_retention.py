"""Lawful deletion: what has expired goes, its leaves and a word on record stay, and nothing else."""

import errno
import os
import time
from functools import partial
from hashlib import sha256

import pytest
from stores.site import VERIFIER, crash, entry
from support.sealer import flags_of, loosen

from jitgate.app.recording import _may_go
from jitgate.core.merkle import leaf_hash
from jitgate.sealer.folder import Folder
from jitgate.sealer.keeping import DAY, Keeping
from jitgate.sealer.serving import Serving, listening
from jitgate.stores.claims import Claims
from jitgate.stores.extent import Deleted
from jitgate.stores.findings import Finding, Progress, Severity
from jitgate.stores.reading import Recording
from jitgate.stores.retention import Retention
from jitgate.stores.scanning import counted
from jitgate.stores.sealing import SealedDisk, Sealer, SealerRefused
from jitgate.stores.verifying import verify
from jitgate.values import Archived, Entry

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_debian("chattr", "lsattr")]

DAYS = 30


class Near(Sealer):
    """The way to a sealer in this process, whose clock is the test's."""

    def __init__(self, serving):
        super().__init__(None)
        self.serving = serving

    def ask(self, request):
        answer = self.serving.reply(request.encode(), os.geteuid())
        if answer != b"ok":
            raise SealerRefused(answer.decode().removeprefix("no: "))


class Tearing(SealedDisk):
    """Writes the beginning of what comes next, and fails, if it is told to."""

    torn = False

    def write(self, descriptor, data):
        if not self.torn:
            return super().write(descriptor, data)
        self.torn = False
        os.write(descriptor, data[:7])
        raise OSError(errno.EIO, "torn")


class Kept:
    """A recording whose first run has ended, in several segments, and whose second goes on."""

    def __init__(self, site, serving, days):
        self.site, self.days = site, days
        self.sealer = Near(serving)
        disk = Tearing(site.folder, required=False, powerful=False)
        disk._sealer = self.sealer  # the same, over no socket
        site.disk = disk
        first = site.run(segment_bytes=600)
        for number in range(5):
            first.append([entry(number, body=b"body %d" % number)])
        first.close()
        self.take_up()
        self.records.append([entry(9, body=b"now")])

    def take_up(self):
        """Another run begins."""
        site = self.site
        self.records = site.run(segment_bytes=600)
        self.retention = Retention(
            site.folder, self.records, self.sealer, DAYS * DAY, now=self.now, disk=site.disk
        )

    def now(self):
        return time.time() + self.days[0] * DAY

    def names(self):
        return {each.name for each in self.retention.terms()}

    def told(self, kind):
        paths = sorted((self.site.folder / "site").glob("*.jsonl"))
        return [line for path in paths for line in self.site.lines(path) if line["type"] == kind]


@pytest.fixture
def kept(site, tmp_path):
    days = [0.0]
    (tmp_path / "holds").mkdir(mode=0o700)
    site.folder.mkdir(mode=0o700)
    keeping = Keeping(DAYS, tmp_path / "holds", lambda: time.time() + days[0] * DAY)
    folder = Folder(site.folder, os.geteuid(), keeping)
    with listening(tmp_path / "socket", os.geteuid()) as made:
        yield Kept(site, Serving(made, folder, os.geteuid()), days)
    folder.close()
    loosen(tmp_path)


def test_each_segment_is_listed_with_its_term(kept):
    terms = {each.name: each for each in kept.retention.terms()}
    assert len([name for name in terms if name.startswith("run-1:")]) > 2
    assert terms["run-2:0"].until is None
    others = [each for each in terms.values() if each.log == "run-1"]
    assert all(each.until - time.time() == pytest.approx(DAYS * DAY, abs=60) for each in others)
    assert not any(each.held or each.expired for each in terms.values())


def test_nothing_is_deleted_before_its_time(kept):
    before = kept.names()
    kept.days[0] = DAYS - 1
    assert kept.retention.delete_expired("bob@acme.com") == []
    assert kept.names() == before


def test_what_has_expired_goes_and_verify_knows_why(kept):
    kept.days[0] = DAYS + 1
    gone = kept.retention.delete_expired("bob@acme.com")
    assert set(gone) > {"run-1:0"}
    assert kept.names() == {"run-2:0"}
    told = kept.told("segment.deleted")
    assert [f"{line['log']}:{line['first']}" for line in told] == gone
    assert {line["by"] for line in told} == {"bob@acme.com"}
    findings, report = kept.site.verify(kept.site.checkpoint())
    assert findings == []
    assert report.deleted_segments == len(gone)
    assert report.deleted == sum(line["entries"] for line in told)
    folder = kept.site.folder / "logs" / "run-1"
    assert {path.suffix for path in folder.iterdir()} == {".leaves"}
    assert {flags_of(path)[-1:] for path in folder.iterdir()} == {"i"}
    kept.records.close()
    assert kept.site.run().close() is None
    assert kept.site.verify()[0] == []


@pytest.mark.parametrize("change", [b"", b"more"])
def test_what_was_left_behind_before_a_deleted_segment_is_explained_and_nothing_else(kept, change):
    torn = max((kept.site.folder / "logs" / "run-2").glob("*.jsonl"))
    kept.site.disk.torn = True
    with pytest.raises(OSError, match="torn"):
        kept.records.append([entry(30)])
    kept.records.recover()
    kept.records.append([entry(31)])
    kept.records.close()
    kept.take_up()
    kept.retention.hold(f"run-2:{int(torn.stem)}", "eve@acme.com", "case 9")
    kept.days[0] = DAYS + 1
    kept.retention.delete_expired("bob@acme.com")
    assert [name for name in kept.names() if name.startswith("run-2")] == [
        f"run-2:{int(torn.stem)}"
    ]
    loosen(torn.parent)
    with torn.open("ab") as file:
        file.write(change)
    findings, _ = kept.site.verify(kept.site.checkpoint())
    assert [each.severity for each in findings] == [Severity.TAMPERED] * bool(change)


class Store:
    """An archive of which no more is asked here than whether it has something."""

    def __init__(self, place):
        self.place = place
        self.there = set()
        self.asked = []

    def has(self, kept):
        self.asked.append(kept.key)
        return kept.key in self.there


def archive(kept, store, until):
    for each in kept.records.sealed(store.place):
        told = Archived("a", store.place, "b", each.key, "v", "00", 1, until)
        kept.records.archived(told, each.key)
        store.there.add(each.key)


def of_first(kept, place):
    """What of the first run is to be put there."""
    keys = [each.key for each in kept.records.sealed(place)]
    return [key for key in keys if key.startswith("logs/run-1/")]


def test_what_is_in_no_archive_yet_stays_where_there_is_one(kept):
    kept.days[0] = DAYS + 1
    store = Store("s3://b/")
    kept.retention._may_go = partial(_may_go, kept.records, store)
    assert kept.retention.delete_expired("bob@acme.com") == []
    for each in kept.records.sealed(store.place):
        if each.key.startswith("logs/run-1/000000000000."):
            told = Archived("a", store.place, "b", each.key, "v", "00", 1, time.time() + DAY)
            kept.records.archived(told, each.key)
    assert kept.retention.delete_expired("bob@acme.com") == ["run-1:0"]
    assert store.asked == []


def test_what_is_in_another_archive_stays_and_is_put_into_this_one(kept):
    kept.days[0] = DAYS + 1
    archive(kept, Store("s3://other/"), time.time() + DAY)
    store = Store("s3://b/")
    kept.retention._may_go = partial(_may_go, kept.records, store)
    assert kept.retention.delete_expired("bob@acme.com") == []
    for _ in range(2):
        assert len(of_first(kept, store.place)) > 4
        assert not of_first(kept, "s3://other/")
        kept.records.close()
        kept.records = kept.site.run()  # it reads that of the site log
    kept.records.close()


def test_what_is_not_locked_there_any_more_must_still_be_there(kept):
    kept.days[0] = DAYS + 1
    store = Store("s3://b/")
    archive(kept, store, time.time() - 1)
    gone = "logs/run-1/000000000000.bodies"
    store.there.remove(gone)
    kept.retention._may_go = partial(_may_go, kept.records, store)
    deleted = kept.retention.delete_expired("bob@acme.com")
    assert deleted
    assert "run-1:0" not in deleted
    lacking = of_first(kept, store.place)
    assert lacking[0] == gone
    assert {key[-7:] for key in lacking[1:]} == {".leaves"}  # what stays is archived as well
    assert len(lacking[1:]) == len(deleted)


STRAYS = {
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a link": lambda path: path.symlink_to("/etc/hostname"),
}


@pytest.mark.parametrize("stray", STRAYS)
def test_nothing_but_files_of_logs_that_are_known_is_archived(kept, stray):
    before = kept.records.sealed("s3://b/")
    folder = kept.site.folder / "logs" / "00-x"
    folder.mkdir()
    (folder / "000000000000.jsonl").write_bytes(b"{}\n")
    STRAYS[stray](kept.site.folder / "logs" / "run-1" / "000000000099.jsonl")
    assert kept.records.sealed("s3://b/") == before


def test_what_is_held_stays_until_it_is_released_by_root(kept):
    assert kept.retention.hold("run-1:0", "eve@acme.com", "case 7") == ["run-1:0"]
    kept.days[0] = DAYS + 1
    held = next(each for each in kept.retention.terms() if each.name == "run-1:0")
    assert held.held
    assert not held.expired
    assert "run-1:0" not in kept.retention.delete_expired("bob@acme.com")
    assert kept.names() == {"run-1:0", "run-2:0"}
    assert kept.site.verify()[0] == []
    kept.retention.release("run-1:0", "eve@acme.com", "case 7 is closed")
    assert kept.retention.delete_expired("bob@acme.com") == []  # the sealer has not been told
    kept.sealer.ask("release run-1 000000000000.jsonl")
    assert kept.retention.delete_expired("bob@acme.com") == ["run-1:0"]
    (placed,), (released,) = kept.told("hold.placed"), kept.told("hold.released")
    assert placed["why"] == "case 7"
    assert released["by"] == "eve@acme.com"


def test_what_is_open_can_be_held_and_shows_it(kept):
    assert kept.retention.hold("run-2", "eve@acme.com", "case 8") == ["run-2:0"]
    assert {each.name for each in kept.retention.terms() if each.held} == {"run-2:0"}


def test_a_log_that_has_not_ended_keeps_all_of_its_segments(kept):
    for number in range(20, 24):
        kept.records.append([entry(number, body=b"more %d" % number)])
    kept.records.checkpoint()
    others = {name for name in kept.names() if name.startswith("run-2:")}
    kept.days[0] = DAYS + 1
    assert any(each.expired for each in kept.retention.terms() if each.log == "run-2")
    kept.retention.delete_expired("bob@acme.com")
    assert kept.names() == others
    crash(kept.records)


def test_of_what_is_left_between_deleted_segments_no_more_counts_than_did(kept):
    """The lines that a failed write left look whole, and their segment's successor is gone."""
    names = sorted(kept.names() - {"run-2:0"}, key=lambda name: int(name.split(":")[1]))
    kept.retention.hold(names[0], "eve@acme.com", "")
    kept.days[0] = DAYS + 1
    kept.retention.delete_expired("bob@acme.com")
    found = [each.seq for each in Recording(kept.site.folder).entries("run-1")]
    assert found == list(range(int(names[1].split(":")[1])))


@pytest.mark.parametrize("left", [0, 1])
def test_a_segment_that_is_not_whole_stays_and_the_others_go(kept, left):
    """Of what is deleted the leaves are to stay: whose lines cannot be read has none."""
    path = kept.site.folder / "logs" / "run-1" / "000000000000.jsonl"
    loosen(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:left], b"{}\n", *lines[left + 1 :]]))
    kept.sealer.ask("seal run-1 000000000000.jsonl")
    kept.days[0] = DAYS + 1
    with pytest.raises(OSError, match="run-1:0 is not whole, so it stays"):
        kept.retention.delete_expired("bob@acme.com")
    assert kept.names() == {"run-1:0", "run-2:0"}
    assert "run-1:0" not in {
        f"{each['log']}:{each['first']}" for each in kept.told("segment.deleted")
    }


def test_leaves_that_somebody_put_there_make_nothing_shorter(kept):
    """What is deleted is told of with all of its entries, whatever stands beside it."""
    folder = kept.site.folder / "logs" / "run-1"
    (folder / "000000000001.leaves").touch()
    kept.days[0] = DAYS + 1
    kept.retention.delete_expired("bob@acme.com")
    told = [line for line in kept.told("segment.deleted") if line["first"] == 0]
    assert told[0]["entries"] > 1
    findings, _ = kept.site.verify(kept.site.checkpoint())
    assert [each.what for each in findings] == [
        "no entry tells of a deletion that has left 000000000001.leaves"
    ]


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_lawful_deletion_while_it_is_verified_is_no_tampering(kept, beyond):
    """Behind the reading of the site log, and behind the first line of the log itself."""
    at = beyond + sum(path.stat().st_size for path in (kept.site.folder / "site").iterdir())
    kept.days[0] = DAYS + 1
    found, gone = [], []
    for step in verify(kept.site.folder, VERIFIER, kept.site.checkpoint()):
        if isinstance(step, Progress) and step.done >= at and not gone:
            gone = kept.retention.delete_expired("bob@acme.com")
        found += [step] if isinstance(step, Finding) else []
    assert len(gone) > 2
    assert found == []


def test_a_name_that_nothing_has_is_said(kept):
    with pytest.raises(FileNotFoundError, match="no such log or segment"):
        kept.retention.hold("run-7", "eve@acme.com", "")


CHANGES = {
    "the leaves are gone": lambda folder: (folder / "000000000000.leaves").unlink(),
    "a leaf is another": lambda folder: (folder / "000000000000.leaves").write_bytes(
        bytes(32) + (folder / "000000000000.leaves").read_bytes()[32:]
    ),
    "a leaf too few": lambda folder: os.truncate(folder / "000000000000.leaves", 32),
}


@pytest.mark.parametrize("change", CHANGES)
def test_leaves_that_are_not_those_are_found(kept, change):
    kept.days[0] = DAYS + 1
    kept.retention.delete_expired("bob@acme.com")
    loosen(kept.site.folder)
    CHANGES[change](kept.site.folder / "logs" / "run-1")
    findings, report = kept.site.verify(kept.site.checkpoint())
    assert report.tampered
    assert any("leaves that stay of a deleted segment" in each.what for each in findings)


def test_a_segment_that_is_missing_without_a_word_on_record_is_missing(kept):
    folder = kept.site.folder / "logs" / "run-1"
    loosen(kept.site.folder)
    (folder / "000000000000.leaves").write_bytes(bytes(32))
    for path in folder.glob("000000000000.[jb]*"):
        path.unlink()
    _, report = kept.site.verify(kept.site.checkpoint())
    assert report.tampered
    assert report.deleted == 0


def test_what_is_still_there_is_verified_whatever_a_word_on_record_says(kept):
    """A gateway in wrong hands could say that of anything; the sealer would not go along."""
    kept.days[0] = DAYS + 1
    before = {path: path.read_bytes() for path in (kept.site.folder / "logs" / "run-1").iterdir()}
    kept.retention.delete_expired("bob@acme.com")
    for path, data in before.items():
        path.write_bytes(data)
    findings, report = kept.site.verify(kept.site.checkpoint())
    assert findings == []
    assert report.deleted == 0
    lines = kept.site.folder / "logs" / "run-1" / "000000000000.jsonl"
    lines.write_bytes(before[lines].replace(b"log.open", b"log.0pen"))
    assert kept.site.verify(kept.site.checkpoint())[1].tampered


def test_entries_that_are_still_there_cannot_be_said_to_be_deleted(kept):
    """The gateway's own key signs it, and the leaves are right: the sealer was never asked."""
    folder = kept.site.folder / "logs" / "run-1"
    lines = (folder / "000000000000.jsonl").read_bytes().splitlines(keepends=True)
    leaves = b"".join(map(leaf_hash, lines[1:]))
    (folder / "000000000001.leaves").write_bytes(leaves)
    told = {"log": "run-1", "first": 1, "entries": len(lines) - 1}
    told |= {"leaves": sha256(leaves).hexdigest(), "by": "x", "why": "expired"}
    kept.records.tell(Entry("segment.deleted", kept.now(), told))
    findings, report = kept.site.verify(kept.site.checkpoint())
    assert report.tampered
    assert any("stands in 000000000000.jsonl" in each.what for each in findings)


def test_what_was_moved_away_and_said_to_be_deleted_shows_how_young_it_was(kept, tmp_path):
    """Folders have no flags. The heads on the site log have times, which were signed before."""
    folder = kept.site.folder / "logs" / "run-1"
    terms = [each for each in kept.retention.terms() if each.log == "run-1"]
    leaves = {
        each.first: b"".join(leaf_hash(line.raw) for line in counted(folder, only=each.first))
        for each in terms
    }
    folder.rename(tmp_path / "away")
    folder.mkdir()
    written = kept.site.now()
    for first, data in leaves.items():
        (folder / f"{first:012d}.leaves").write_bytes(data)
        told = {"log": "run-1", "first": first, "entries": len(data) // 32}
        told |= {"leaves": sha256(data).hexdigest(), "from": "2020", "to": "2020"}
        kept.records.tell(Entry("segment.deleted", written + 3 * DAY, told))
    _, report = kept.site.verify(kept.site.checkpoint())
    assert report.deleted_segments == len(leaves)
    assert report.youngest == pytest.approx(3 * DAY, abs=60)
    # Nor does a time that has not come yet make it older.
    findings, report = kept.site.verify(kept.site.checkpoint(), now=lambda: written + DAY)
    assert report.youngest == pytest.approx(DAY, abs=60)
    assert [each.severity for each in findings] == [Severity.UNCERTAIN]
    assert "has not come yet" in findings[0].what


def test_how_old_it_was_is_known_too_where_several_heads_are_of_one_moment():
    claims = Claims()
    claims.sizes += [("2026-01-01T00:00:00.000000Z", 0), ("2026-01-01T00:00:00.000000Z", 10)]
    claims.age(Deleted(0, 10, ""), "2026-01-03T00:00:00.000000Z")
    assert claims.ages == {0: 2 * DAY}


class Cut(Exception):
    pass


@pytest.mark.parametrize("at", range(6))
def test_a_deletion_that_was_cut_off_anywhere_is_verified_and_finished(kept, at):
    """After each word to the sealer: what there is verifies, and the next time does the rest."""
    kept.days[0] = DAYS + 1
    asked, ask = [], kept.sealer.ask

    def cut(request):
        if not request.startswith("expired"):
            if len(asked) == at:
                raise Cut
            asked.append(request)
        ask(request)

    kept.sealer.ask = cut
    with pytest.raises(Cut):
        kept.retention.delete_expired("bob@acme.com")
    kept.sealer.ask = ask
    assert kept.site.verify()[0] == []
    kept.retention.delete_expired("bob@acme.com")
    assert kept.names() == {"run-2:0"}
    assert {path.suffix for path in (kept.site.folder / "logs" / "run-1").iterdir()} == {".leaves"}
    assert kept.site.verify()[0] == []
