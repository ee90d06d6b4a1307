"""A sealer in a process of its own, as root, and runs of a recording under another uid without it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jitgate.stores.sealing import SealedDisk

POWERLESS = (
    "setpriv",
    "--bounding-set=-linux_immutable",
    "--inh-caps=-linux_immutable",
    "--ambient-caps=-linux_immutable",
)
"""Whatever it runs cannot clear a flag, and cannot come by the power to."""


FOUR = "-all,+linux_immutable,+dac_override,+fowner,+lease"
"""The capabilities that the unit leaves it (etc/deploy/jitgate-sealer.service)."""


class SealerProcess:
    """``python -m jitgate.sealer`` for one folder and one uid; it may be killed and begun again."""

    def __init__(self, folder: Path, socket: Path, user: int, days: int | None = None) -> None:
        self.folder, self.socket, self.user = folder, socket, user
        self.more: list[str] = []
        self.disks: list[SealedDisk] = []
        if days is not None:
            holds = socket.parent / "holds"
            holds.mkdir(mode=0o700)
            self.more = ["--retention-days", str(days), "--holds", str(holds)]
        self.begin()

    def begin(self) -> None:
        self.socket.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [
                *("setpriv", f"--bounding-set={FOUR}", "--inh-caps=-all"),
                *(sys.executable, "-m", "jitgate.sealer"),
                *("--recordings", str(self.folder), "--socket", str(self.socket)),
                *("--user", str(self.user)),
                *self.more,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        assert "sealing" in self.process.stdout.readline()

    def disk(self, *, required: bool, powerful: bool = False) -> SealedDisk:
        """One that asks it, until it ends; ``powerful`` would be true of the tests' process."""
        made = SealedDisk(self.socket, required=required, powerful=powerful)
        self.disks.append(made)
        return made

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def sealing(folder: Path, user: int, days: int | None = None) -> Iterator[SealerProcess]:
    """A sealer for ``folder``, whose files can be removed again at the end."""
    where = folder.parent / "sealer"
    where.mkdir(mode=0o755, exist_ok=True)
    sealer = SealerProcess(folder, where / "socket", user, days)
    try:
        yield sealer
    finally:
        sealer.kill()
        for disk in sealer.disks:
            disk.close()
        loosen(folder)


def loosen(folder: Path) -> None:
    """Clear every flag below a folder, as only root can."""
    # It minds pipes, links and sockets, which have no flags.
    subprocess.run(["chattr", "-R", "-i", "-a", str(folder)], check=False, capture_output=True)


def flags_of(path: Path) -> str:
    """The letters of the flags that count, by a program that nobody here wrote."""
    done = subprocess.run(["lsattr", str(path)], check=True, capture_output=True, text=True)
    return "".join(letter for letter in "ai" if letter in done.stdout.split()[0])
