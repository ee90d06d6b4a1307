"""What every provider of the recorder's port promises: in memory, in files, in two at once."""

import errno
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from zope.interface.verify import verifyObject

from jitgate.interfaces import IRecordStore
from jitgate.stores.both import BothStores
from jitgate.stores.layout import NOTE, numbered
from jitgate.stores.memory import MemoryRecords
from jitgate.stores.reading import Recording
from jitgate.stores.recordings import RecordFiles
from jitgate.stores.segment import Disk
from jitgate.values import Body, Entry

FULL = OSError(errno.ENOSPC, "No space left on device")


class Memory:
    def __init__(self, _folder):
        self.store = MemoryRecords()

    def kept(self):
        return [(entry.type, entry.fields["n"]) for entry in self.store.entries]

    def body(self):
        return self.store.entries[-1].bodies["response"].data

    def checkpoints(self):
        return len(self.store.checkpoints)

    def breaks(self):
        self.store.failure = FULL

    def mends(self):
        self.store.failure = None


class Files:
    class FullDisk(Disk):
        full = False

        def write(self, descriptor, data):
            if self.full:
                raise FULL
            return super().write(descriptor, data)

    def __init__(self, folder):
        self.folder = folder
        self.disk = self.FullDisk()
        self.store = RecordFiles(
            folder,
            site="jitgate/test",
            key=Ed25519PrivateKey.generate(),
            now=lambda: 1_795_485_960.0,
            writer="w",
            run={},
            disk=self.disk,
        )

    def kept(self):
        every = Recording(self.folder).every_entry()
        return [(kept.type, kept.content["n"]) for kept in every if "n" in kept.content]

    def body(self):
        recording = Recording(self.folder)
        return recording.body(list(recording.every_entry())[-1], "response")

    def checkpoints(self):
        return len(numbered(self.folder / "checkpoints", NOTE))

    def breaks(self):
        self.disk.full = True

    def mends(self):
        self.disk.full = False


class Mirrored(Files):
    """Files and another store beside them; what counts is in both."""

    def __init__(self, folder):
        super().__init__(folder)
        self.mirror = MemoryRecords()
        self.store = BothStores(self.store, self.mirror)

    def kept(self):
        kept = super().kept()
        mirrored = [(each.type, each.fields["n"]) for each in self.mirror.entries]
        assert [each for each in mirrored if each in kept] == kept
        return kept


class MirroredBeside(Mirrored):
    """The same, and the other one breaks."""

    def breaks(self):
        self.mirror.failure = FULL

    def mends(self):
        self.mirror.failure = None


@pytest.fixture(params=[Memory, Files, Mirrored, MirroredBeside])
def subject(request, tmp_path: Path):
    return request.param(tmp_path / "recordings")


def entry(number):
    return Entry("decision", 1_795_485_960.0 + number, {"n": number})


def test_it_provides_the_port(subject):
    assert verifyObject(IRecordStore, subject.store)


def test_it_keeps_entries_in_order(subject):
    subject.store.open()
    subject.store.append([entry(1), entry(2)])
    subject.store.append([entry(3)])
    assert subject.kept() == [("decision", 1), ("decision", 2), ("decision", 3)]


def test_it_keeps_nothing_before_it_is_open(subject):
    with pytest.raises(OSError, match=r"open|closed"):
        subject.store.append([entry(1)])
    assert subject.kept() == []


def test_it_keeps_nothing_after_it_is_closed(subject):
    subject.store.open()
    subject.store.append([entry(1)])
    subject.store.close()
    with pytest.raises(OSError, match=r"open|closed"):
        subject.store.append([entry(2)])
    assert subject.kept() == [("decision", 1)]


def test_of_a_batch_that_fails_nothing_counts(subject):
    subject.store.open()
    subject.store.append([entry(1)])
    subject.breaks()
    with pytest.raises(OSError, match="No space left"):
        subject.store.append([entry(2), entry(3)])
    assert subject.kept() == [("decision", 1)]


def test_after_a_failure_it_takes_nothing_until_it_has_recovered(subject):
    subject.store.open()
    subject.breaks()
    with pytest.raises(OSError, match="No space left"):
        subject.store.append([entry(1)])
    subject.mends()
    with pytest.raises(OSError, match="failed"):
        subject.store.append([entry(2)])
    subject.store.recover()
    subject.store.append([entry(3)])
    assert subject.kept() == [("decision", 3)]


def test_it_does_not_recover_while_it_could_not_write(subject):
    subject.store.open()
    subject.breaks()
    with pytest.raises(OSError, match="No space left"):
        subject.store.append([entry(1)])
    for _ in range(3):
        with pytest.raises(OSError, match="No space left"):
            subject.store.recover()
    subject.mends()
    subject.store.recover()
    subject.store.append([entry(2)])
    assert subject.kept() == [("decision", 2)]


def test_to_recover_from_nothing_changes_nothing(subject):
    subject.store.open()
    subject.store.append([entry(1)])
    subject.store.recover()
    assert subject.kept() == [("decision", 1)]


def test_it_signs_when_it_is_opened_when_it_is_asked_and_when_it_is_closed(subject):
    subject.store.open()
    assert subject.checkpoints() == 1
    subject.store.append([entry(1)])
    subject.store.checkpoint()
    assert subject.checkpoints() == 2
    subject.store.append([entry(2)])
    subject.store.close()
    assert subject.checkpoints() == 3


def test_it_signs_nothing_twice(subject):
    subject.store.open()
    subject.store.checkpoint()
    assert subject.checkpoints() == 1


def test_a_disk_that_is_full_at_the_start_is_told(subject):
    subject.breaks()
    with pytest.raises(OSError, match="No space left"):
        subject.store.open()


def test_bodies_are_kept_with_their_entries(subject):
    body = Body(b"{}", 2, complete=True)
    subject.store.open()
    subject.store.append([Entry("outcome", 1_795_485_960.0, {"n": 1}, {"response": body})])
    assert subject.kept() == [("outcome", 1)]
    assert subject.body() == b"{}"
