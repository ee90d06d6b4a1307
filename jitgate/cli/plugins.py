"""``jitgate plugins``: what is loaded, in order, from which file, and what it provides."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from jitgate.cli.telling import told

_PLUGINS = """\
Say which plugins the configuration loads, in order: the file, the SHA-256 of its text, what it
provides (its port, name and version), and the options that it was given; a value whose name sounds
like that of a secret is not shown. They are loaded as the gateway does it, here, now; no running
gateway is asked. Which ones a gateway runs stands in its record. Exit status: 0 all are loaded, 2
something is wrong with the configuration or with one of them, and all of it is said.
"""


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command; it sets ``handler``, which takes the arguments."""
    plugins = commands.add_parser("plugins", help="say what is loaded", description=_PLUGINS)
    plugins.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="the gateway's configuration (default: as JITGATE_CONFIG says, or etc/jitgate.yaml)",
    )
    plugins.add_argument("--json", action="store_true", help="answer for a program")
    plugins.set_defaults(handler=told("jitgate.cli.plugged", "listed"))
