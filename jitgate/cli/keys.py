"""`jitgate keys`: the key that signs the recording's checkpoints, and another in its place."""

from __future__ import annotations

import argparse
from typing import Any

from jitgate.cli.approving import added


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command; each of its own sets ``handler``."""
    keys = commands.add_parser("keys", help="the key that signs the recording")
    within = keys.add_subparsers(metavar="COMMAND", required=True)
    rotate = added(
        within,
        "rotate",
        "have the gateway make another key, which signs from now on",
        "The one before is retired: what it signs from then on counts no more.",
        module="jitgate.cli.rotated",
    )
    rotate.add_argument("--reason", metavar="TEXT", default="", help="why; it is put on record")
