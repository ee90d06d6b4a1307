"""The command line. Each command imports what it needs when it runs, so that ``--help`` is quick.

Exit status: 0 for yes, 1 for no (denied, refused, tampered), 2 for "could not tell" (bad usage,
bad configuration).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from io import TextIOWrapper

from jitgate.cli import (
    approving,
    audit,
    backing,
    catalog,
    credentials,
    demo,
    export,
    identity,
    keys,
    mask,
    plugins,
    policy,
    retention,
    running,
    serve,
)
from jitgate.cli.typed import Parser

COMMANDS = (
    serve,
    demo,
    running,
    identity,
    credentials,
    policy,
    mask,
    catalog,
    plugins,
    approving,
    audit,
    export,
    retention,
    keys,
    backing,
)
"""In the order in which ``--help`` lists them."""


def command_line() -> argparse.ArgumentParser:
    """What may be typed: each command with its options."""
    parser = Parser(
        prog="jitgate",
        description="A gateway that lets autonomous agents use privileged APIs without a key.",
    )
    parser.add_argument("--version", action="version", version=f"jitgate {version('jitgate')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in COMMANDS:
        module.register(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = command_line().parse_args(arguments)
    if isinstance(sys.stdout, TextIOWrapper):
        # What others wrote must not end a command where the locale has no letters for it.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return int(options.handler(options))
    except BrokenPipeError:
        # Whoever read our output has seen enough (``jitgate replay | head``).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
