"""The recorder's port, by what ships: in memory, in files, in two at once, in a worker's."""

import errno

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from jitgate.stores.both import BothStores
from jitgate.stores.layout import NOTE, log_names, numbered
from jitgate.stores.memory import MemoryRecords
from jitgate.stores.reading import Recording
from jitgate.stores.recordings import RecordFiles
from jitgate.stores.segment import Disk
from jitgate.stores.writers import WorkerFiles
from jitgate.testing.records import RecordStoreContract, entry
from jitgate.values import Body, Entry

FULL = OSError(errno.ENOSPC, "No space left on device")


class Shipped(RecordStoreContract):
    """What is promised beside: bodies are kept, and what is kept is signed."""

    def make(self):
        made = self.made()
        made.name, made.version = "shipped", "1"
        return made

    def made(self):
        raise NotImplementedError

    def checkpoints(self, store):
        raise NotImplementedError

    def body(self, store):
        raise NotImplementedError

    def test_it_signs_when_it_is_opened_when_it_is_asked_and_when_it_is_closed(self):
        store = self._opened()
        assert self.checkpoints(store) == 1
        store.append([entry(1)])
        store.checkpoint()
        assert self.checkpoints(store) == 2
        store.append([entry(2)])
        self._close(store)
        assert self.checkpoints(store) == 3

    def test_it_signs_nothing_twice(self):
        store = self._opened()
        store.checkpoint()
        assert self.checkpoints(store) == 1

    def test_bodies_are_kept_with_their_entries(self):
        body = Body(b"{}", 2, complete=True)
        store = self._opened()
        store.append([Entry("outcome", 1_795_485_960.0, {"n": 1}, {"response": body})])
        assert self.kept(store) == [1]
        assert self.body(store) == b"{}"

    def test_why_nothing_is_kept_is_said(self):
        with pytest.raises(OSError, match=r"open|closed"):
            self.make().append([entry(1)])
        store = self._opened()
        self.breaks(store)
        with pytest.raises(OSError, match="No space left"):
            store.append([entry(1)])
        self.mends(store)
        with pytest.raises(OSError, match="failed"):
            store.append([entry(1)])


class TestMemory(Shipped):
    def made(self):
        """What is in memory is there as long as the store."""
        return self.__dict__.setdefault("store", MemoryRecords())

    def kept(self, store):
        return [entry.fields["n"] for entry in store.entries]

    def body(self, store):
        return store.entries[-1].bodies["response"].data

    def checkpoints(self, store):
        return len(store.checkpoints)

    def breaks(self, store):
        store.failure = FULL

    def mends(self, store):
        store.failure = None


class FullDisk(Disk):
    full = False

    def write(self, descriptor, data):
        if self.full:
            raise FULL
        return super().write(descriptor, data)


class TestFiles(Shipped):
    key = Ed25519PrivateKey.generate()

    def files(self):
        self.runs = getattr(self, "runs", 0) + 1
        self.disk = FullDisk()
        return RecordFiles(
            self.folder / "recordings",
            site="jitgate/test",
            key=self.key,
            now=lambda: 1_795_485_960.0,
            writer=f"w{self.runs}",
            run={},
            disk=self.disk,
        )

    def made(self):
        return self.files()

    def kept(self, store):
        every = Recording(self.folder / "recordings").every_entry()
        return [kept.content["n"] for kept in every if "n" in kept.content]

    def body(self, store):
        recording = Recording(self.folder / "recordings")
        return recording.body(list(recording.every_entry())[-1], "response")

    def checkpoints(self, store):
        return len(numbered(self.folder / "recordings" / "checkpoints", NOTE))

    def breaks(self, store):
        self.disk.full = True

    def mends(self, store):
        self.disk.full = False


class TestMirrored(TestFiles):
    """Files and another store beside them; what counts is in both."""

    def made(self):
        self.mirror = self.__dict__.get("mirror") or MemoryRecords()
        return BothStores(self.files(), self.mirror)

    def kept(self, store):
        kept = super().kept(store)
        mirrored = [each.fields["n"] for each in self.mirror.entries]
        assert [each for each in mirrored if each in kept] == kept
        return kept


class TestMirroredBeside(TestMirrored):
    """The same, and the other one breaks."""

    def breaks(self, store):
        self.mirror.failure = FULL

    def mends(self, store):
        self.mirror.failure = None


class TestWorkers(RecordStoreContract):
    """A worker's log, whose site log another process writes."""

    def make(self):
        self.runs = getattr(self, "runs", 0) + 1
        self.disk = FullDisk()
        (self.folder / "logs").mkdir(exist_ok=True)
        log = f"run.{self.runs}"
        made = WorkerFiles(
            self.folder, site="jitgate/test", log=log, run={}, now=lambda: 0.0, disk=self.disk
        )
        made.name, made.version = "shipped", "1"
        return made

    def kept(self, store):
        # Nobody writes a site log here, which would name the logs.
        read = Recording(self.folder)
        every = [kept for log in log_names(self.folder) for kept in read.entries(log)]
        return [kept.content["n"] for kept in every if "n" in kept.content]

    def breaks(self, store):
        self.disk.full = True

    def mends(self, store):
        self.disk.full = False
