"""Libraries that are compiled for a test, and loaded before all others into what it starts."""

from __future__ import annotations

import subprocess
from pathlib import Path


def compiled(name: str, to: Path) -> Path:
    """The library made of ``name``.c, which stands beside this file, in the folder ``to``."""
    library = to / f"{name}.so"
    command = ["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(library)]
    subprocess.run([*command, str(Path(__file__).with_name(f"{name}.c")), "-ldl"], check=True)
    return library
