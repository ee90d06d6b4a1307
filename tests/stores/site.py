"""A recording that tests write, break and check."""

import errno
import json
import os
import shutil
from itertools import count
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from jitgate.core.note import Signer
from jitgate.stores.findings import Finding, Report
from jitgate.stores.recordings import RecordFiles
from jitgate.stores.segment import Disk
from jitgate.stores.verifying import verify
from jitgate.values import Body, Entry

SITE = "jitgate/test"
KEY = Ed25519PrivateKey.from_private_bytes(b"a test's key, never to be used!!")
VERIFIER = Signer(SITE, KEY).verifier
START = 1_795_485_960.0


class FailingDisk(Disk):
    """Fails when it is told to, and keeps a list of what was done to which file."""

    def __init__(self):
        self.failing = None
        self.done = []

    def write(self, descriptor, data):
        self._note("write", name_of(descriptor))
        if self.failing == "write":
            os.write(descriptor, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.failing == "short write":
            return os.write(descriptor, data[: len(data) // 2])
        return super().write(descriptor, data)

    def sync(self, descriptor):
        self._note("sync", name_of(descriptor))
        if self.failing == "sync":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(descriptor)

    def sync_folder(self, folder):
        self._note("sync", folder.name)
        if self.failing == "folder sync":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync_folder(folder)

    def _note(self, what, name):
        self.done.append(f"{what} {name}")


def name_of(descriptor):
    return "/".join(Path(f"/proc/self/fd/{descriptor}").readlink().parts[-2:])


FAILURES = ["write", "short write", "sync", "folder sync"]


class Site:
    """A recording in a folder, and the runs that write it."""

    def __init__(self, folder):
        self.folder = folder
        self.disk = FailingDisk()
        self._clock = count()
        self._runs = count(1)

    def now(self):
        return START + next(self._clock) / 8

    def run(self, *, key=KEY, **more):
        """A new run, open."""
        records = RecordFiles(
            self.folder,
            site=SITE,
            key=key,
            now=self.now,
            writer=f"run-{next(self._runs)}",
            run={"host": "test"},
            disk=self.disk,
            **more,
        )
        records.open()
        return records

    def verify(self, checkpoint=None, key=VERIFIER, **more):
        """The findings and the report."""
        steps = list(verify(self.folder, key, checkpoint, **more))
        assert isinstance(steps[-1], Report)
        return [step for step in steps if isinstance(step, Finding)], steps[-1]

    def checkpoint(self):
        """The newest checkpoint, as someone elsewhere would keep it."""
        return max((self.folder / "checkpoints").glob("*.note")).read_bytes()

    def copy(self, to):
        shutil.copytree(self.folder, to)
        other = Site(to)
        other._clock, other._runs = self._clock, self._runs
        return other

    def lines(self, path):
        return [json.loads(line) for line in (self.folder / path).read_bytes().splitlines()]


def crash(records):
    """Leave everything as a killed process leaves it: only the system closes its files."""
    records._release()


def entry(number, *, body=None, kind="decision"):
    bodies = {} if body is None else {"response": Body(body, len(body), complete=True)}
    return Entry(kind, START + number, {"exchange": f"ex-{number}", "session": "s"}, bodies)


def entries(first, last, **more):
    return [entry(number, **more) for number in range(first, last)]
