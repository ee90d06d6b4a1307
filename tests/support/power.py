"""A power cut: all that was not synced is gone, names in folders as well as bytes in files.

It is the hardest reading of what fsync promises. Most disks and file systems lose less.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from random import Random

from support.preloaded import compiled


@dataclass(frozen=True)
class Power:
    """What is durable of ``folder``, for processes that run with ``env``."""

    folder: Path
    library: Path
    shadow: Path

    @classmethod
    def of(cls, folder: Path, beside: Path) -> Power:
        """All that is in ``folder`` now is durable; ``beside`` takes what is needed."""
        power = cls(folder, compiled("durable", beside), beside / "shadow")
        power.settle()
        return power

    @property
    def env(self) -> dict[str, str]:
        """What a process's environment needs."""
        return {
            "LD_PRELOAD": str(self.library),
            "JITGATE_SHADOW": str(self.shadow),
            "JITGATE_SHADOWED": str(self.folder),
        }

    def settle(self) -> None:
        """Take all that is there for durable."""
        shutil.rmtree(self.shadow, ignore_errors=True)
        self.shadow.mkdir()
        keep = ctypes.CDLL(str(self.library)).keep
        for path in (self.folder, *self.folder.rglob("*")):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                assert keep(descriptor, os.fsencode(self.shadow)) == 0
            finally:
                os.close(descriptor)

    def cut(self, chance: Random | None = None) -> None:
        """Leave what is durable alone, once nothing runs any more that writes to the folder.

        With ``chance``, more may have reached the disk: some of the names, and a part of what was
        added to files.
        """
        key = self._key(self.folder)
        lost = self.folder.rename(self.folder.with_name("lost"))
        self._restore(self.folder, key)
        if chance is not None:
            self._leave_more(lost, chance)
        shutil.rmtree(lost)
        self.settle()

    def _key(self, path: Path) -> str:
        """What the file or folder is called in the shadow."""
        found = ctypes.create_string_buffer(80)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            assert ctypes.CDLL(str(self.library)).key_of(descriptor, found) == 0
        finally:
            os.close(descriptor)
        return found.value.decode()

    def _restore(self, path: Path, key: str) -> None:
        """A folder that was never synced is empty, and so is a file."""
        path.mkdir()
        names = self.shadow / key
        for line in names.read_text().splitlines() if names.exists() else ():
            mode, each, name = line.split(" ", 2)
            if int(mode, 8) & 0o170000 == 0o040000:
                self._restore(path / name, each)
            elif int(mode, 8) & 0o170000 != 0o100000:
                continue
            elif (kept := self.shadow / each).exists():
                shutil.copy(kept, path / name)
            else:
                (path / name).touch()
            (path / name).chmod(int(mode, 8) & 0o7777)

    def _leave_more(self, lost: Path, chance: Random) -> None:
        """Let some of what was lost be there all the same: what was synced of a file, or more."""
        for path in sorted(lost.rglob("*")):
            there = self.folder / path.relative_to(lost)
            if not there.parent.is_dir() or chance.random() < 0.5:
                continue
            if path.is_dir():
                there.mkdir(exist_ok=True)
            elif path.is_file():
                kept, whole = self.shadow / self._key(path), path.read_bytes()
                durable = kept.read_bytes() if kept.exists() else b""
                added = whole.startswith(durable)
                end = chance.randint(len(durable), len(whole)) if added else 0
                there.write_bytes(whole[:end] if added else durable)
            if there.exists():
                there.chmod(path.stat().st_mode & 0o7777)
