"""The load: cload, built from its source, and what it says of a run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .machine import OTHERS, pinned

SOURCE = Path(__file__).with_name("cload.c")


@dataclass(frozen=True)
class Told:
    """What a run came to. Times are in milliseconds."""

    done: int
    """Requests from the moment on at which all connections were warm."""
    all: int
    """Requests from the start."""
    p50: float
    p99: float
    lost: int
    """Connections that the other end closed while they were held."""


def built(folder: Path) -> Path:
    """The generator; needs gcc and OpenSSL's headers."""
    program = folder / "cload"
    subprocess.run(["gcc", "-O2", "-o", program, SOURCE, "-lssl", "-lcrypto"], check=True)
    return program


@dataclass(frozen=True)
class Load:
    """One way of asking; ``options`` are cload's, see its source."""

    program: Path
    options: Sequence[str]

    def run(self, at: Callable[[str], None] = lambda _: None) -> Told:
        """Ask until done. ``at`` hears each word that cload says on its way: READY, HELD, DONE.

        Raises RuntimeError if anything failed: a figure of a run with errors says nothing.
        """
        command = [*pinned(OTHERS), str(self.program), *self.options]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            result: dict[str, Any] = {}
            for line in process.stdout:
                at("DONE" if line.startswith("{") else line.split()[0])
                if line.startswith("{"):
                    result = json.loads(line)
            complaint = process.stderr.read()
        if not result or result["errs"] or result["non200"] or not result["done"]:
            raise RuntimeError(f"{' '.join(command)} failed: {result} {complaint}")
        return Told(**{name: result[name] for name in ("done", "all", "p50", "p99", "lost")})
