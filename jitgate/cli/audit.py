"""The auditor's commands: `sessions`, `replay`, `show` and `verify`. They only read.

What they need is imported when one of them is called, so that every other command starts fast.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from jitgate.cli.telling import told


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the auditor's commands; each sets ``handler``, which takes the arguments."""
    sessions = commands.add_parser("sessions", help="list the recorded sessions")
    _takes_recording(sessions, "sessions")
    replay = commands.add_parser("replay", help="show a session, or one exchange, as a timeline")
    replay.add_argument("id", metavar="ID", help="a session, or an exchange")
    _takes_recording(replay, "replay")
    show = commands.add_parser("show", help="show an entry whole, with its bodies")
    show.add_argument("entry", metavar="ENTRY", help="LOG:SEQ, or an exchange for all its entries")
    _takes_recording(show, "show")
    verify = commands.add_parser("verify", help="check recordings against a signed checkpoint")
    verify.add_argument("paths", metavar="PATH", nargs="*", type=Path, help="a recording's folder")
    verify.add_argument("--checkpoint", metavar="FILE", type=Path, help="one kept elsewhere")
    verify.add_argument("--key", metavar="FILE", type=Path, help="the site log's public key")
    verify.add_argument("--config", metavar="FILE", type=Path, help="has the key, and the PATH")
    verify.add_argument("--allow-unwitnessed", action="store_true", help="exit 0 all the same")
    verify.add_argument("--json", action="store_true", help="answer for a program")
    verify.set_defaults(handler=told("jitgate.cli.verification", "verify"))


def _takes_recording(parser: argparse.ArgumentParser, name: str) -> None:
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--config", metavar="FILE", type=Path, help="the gateway's configuration")
    where.add_argument("--recordings", metavar="DIR", type=Path, help="a recording's folder")
    parser.add_argument("--json", action="store_true", help="answer for a program")
    parser.set_defaults(handler=told("jitgate.cli.records", name))
