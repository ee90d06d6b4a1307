"""The configuration, for commands that may do without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def configuration(path: Path) -> Any:
    """What the file says; raises `ConfigurationInvalid`."""
    # Reading configurations takes a tenth of a second to import, which --recordings can spare.
    from jitgate.config import load

    return load(path)
