"""`jitgate retention`: how long the recording is kept, what is held, and what has expired.

The running gateway does it and puts it on record; that a hold ends, root says to the sealer too.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from jitgate.cli.approving import added

SEALER = Path("/run/jitgate-sealer/socket")
"""Where the sealer is if nothing else is said."""

_NAMES = "A segment is LOG:NUMBER as `jitgate retention list` shows it; LOG alone is all of it."


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command; each of its own sets ``handler``."""
    retention = commands.add_parser("retention", help="how long the recording is kept")
    within = retention.add_subparsers(metavar="COMMAND", required=True)
    for name, text in (
        ("list", "list every segment, with until when it is kept, and whether it is held"),
        ("hold", "hold segments: they are not deleted, however old they are"),
        ("release", "end a hold; only root can"),
        ("delete", "delete what has expired and is not held"),
    ):
        parser = added(
            within, name, text, _NAMES, module="jitgate.cli.retained", handler=f"{name}_"
        )
        if name in {"hold", "release"}:
            parser.add_argument("id", metavar="SEGMENT", help="LOG:NUMBER, or LOG")
            parser.add_argument("--reason", metavar="TEXT", default="", help="put on record")
        if name == "release":
            parser.add_argument(
                "--sealer", metavar="PATH", type=Path, default=SEALER, help="the sealer's socket"
            )
