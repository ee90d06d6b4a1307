"""A systemd of its own, in namespaces of its own: units are started under it as they would be.

It sees this machine's files through an overlay that goes with it, and shares its network.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import jitgate

INIT = Path("/lib/systemd/systemd")
PYTHON, PROGRAM = "/opt/run/python", "/opt/run/jitgate"
SOON = 30.0
"""Seconds in which it is there."""

_BOOT = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs {at}
cd {at}
mkdir up work root
mount -t overlay overlay -o lowerdir=/,upperdir=up,workdir=work root
mount -t proc proc root/proc
mount -t tmpfs -o mode=755 tmpfs root/run
mount -t tmpfs -o mode=1777 tmpfs root/tmp
mount --bind root/proc/sys root/proc/sys
mount -o remount,bind,ro root/proc/sys
mount --rbind /dev root/dev
mount -t sysfs -o ro sysfs root/sys
mount -t cgroup2 cgroup2 root/sys/fs/cgroup
{prepare}
cd root
mkdir -p old
pivot_root . old
umount -l old
mount --make-rshared /
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin {init} --system --unit=nothing.target \
    --log-target=console --show-status=no
"""

_NOTHING = "[Unit]\nDescription=Nothing\nDefaultDependencies=no\n"


class NoSystemd(Exception):
    """One cannot be started here."""


class Booted:
    """One that runs until it is stopped.

    ``files`` stand in it, by their paths. The interpreter and jitgate are `PYTHON` and `PROGRAM`
    there; each of ``empty`` is an empty file system of its own.
    """

    def __init__(self, at: Path, files: dict[str, str], empty: tuple[str, ...] = ()) -> None:
        self._at = at
        at.mkdir()
        self._said = at.with_name("boot.txt")
        # The rest of a start is about the machine, which is others' as well.
        units = (f"/etc/systemd/system/{each}.target" for each in ("nothing", "sysinit", "basic"))
        self._files = {**dict.fromkeys(units, _NOTHING), **files}
        self._empty = empty
        self._process: subprocess.Popen[bytes] | None = None
        self._init = 0

    def start(self) -> None:
        """Start it. Raises `NoSystemd`."""
        boot = _BOOT.format(at=self._at, prepare=self._prepare(), init=INIT)
        names = ("--pid", "--mount", "--cgroup", "--uts", "--ipc", "--fork", "--kill-child")
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                ["unshare", *names, "sh", "-c", boot], stdout=said, stderr=said
            )
        self._await()

    def stop(self) -> None:
        """End it, and all that it has started."""
        if self._process is not None:
            self._process.kill()  # whose first child is killed then, and with it all others
            self._process.wait(30)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as its root."""
        into = ["nsenter", f"--target={self._init}", "--mount", "--pid", "--cgroup", "--root"]
        return subprocess.run(
            [*into, *command], capture_output=True, text=True, timeout=120, check=False
        )

    def said(self) -> str:
        """What it has said itself, for whoever looks why something failed."""
        return self._said.read_text(errors="replace")

    def _prepare(self) -> str:
        """Lines of the shell that put things where units look for them."""
        lines = [f"mkdir -p root{each} && mount -t tmpfs tmpfs root{each}" for each in self._empty]
        places = [Path(jitgate.__file__).parents[1]]
        places += [Path(each) for each in os.environ.get("PYTHONPATH", "").split(":") if each]
        places += [Path(sysconfig.get_path(each)) for each in ("purelib", "platlib")]
        # The interpreter may be somebody's own, whose folder no service gets to see.
        lines += [_bound(Path(sys.base_prefix), "/opt/jitgate")]
        found = []
        for number, place in enumerate(dict.fromkeys(each.resolve() for each in places)):
            if place.is_dir():
                found.append(f"/opt/path/{number}")
                lines.append(_bound(place, found[-1]))
        path = f"LD_LIBRARY_PATH=/opt/jitgate/lib PYTHONPATH={':'.join(found)}"
        python = f'#!/bin/sh\n{path} exec /opt/jitgate/bin/python3 "$@"\n'
        program = f'#!/bin/sh\nexec {PYTHON} -m jitgate "$@"\n'
        for path, text in {**self._files, PYTHON: python, PROGRAM: program}.items():
            folder = Path(path).parent
            lines.append(f"mkdir -p root{folder}")
            lines.append(f"printf %s {shlex.quote(text)} >root{path}")
        return "\n".join([*lines, f"chmod 755 root{PYTHON} root{PROGRAM}"])

    def _await(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + SOON
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        while time.monotonic() < deadline and self._process.poll() is None:
            named = children.read_text().split()
            if named and Path(f"/proc/{named[0]}/comm").read_text() == "systemd\n":
                self._init = int(named[0])
                state = self.run("systemctl", "is-system-running").stdout.strip()
                if state in {"running", "degraded", "starting", "initializing"}:
                    return
            time.sleep(0.05)
        raise NoSystemd(self.said())


def _bound(place: Path, at: str) -> str:
    return f"mkdir -p root{at} && mount --bind {place} root{at}"
