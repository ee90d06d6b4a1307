"""Where etc/ and plugins/ are: in the wheel beside this module, in a checkout at its top."""

from __future__ import annotations

from pathlib import Path


def shipped(name: str) -> Path:
    """The folder ``etc`` or ``plugins`` as it ships."""
    here = Path(__file__).parent
    installed = here / "data" / name
    return installed if installed.is_dir() else here.parent / name
