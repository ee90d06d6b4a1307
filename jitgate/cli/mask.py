"""``jitgate mask``: what an agent would see of a response, shown and tested without a gateway."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from jitgate.cli.telling import told

_OFFLINE = (
    "No running gateway, no network and no key is needed: policy, masking, plugins and catalogs "
    "are all that is read."
)
_MASK = f"""\
Mask a response's body as the gateway would: it is read from standard input, and what an agent would
see goes to standard output, piece by piece. What was hidden, by which rule and how goes to standard
error, and never a hidden value. {_OFFLINE} Exit status: 0 it may go, whether anything was hidden or
not, 1 it is withheld or cut short, 2 it could not be told.
"""
_TEST = f"""\
Let the responses of test files go through masking, and say which do not come out as expected, and
which profiles no case names. Without FILES: those in the folders `tests` beside the masking files.
{_OFFLINE} Exit status: 0 all pass, 1 one fails, or with --strict no case names some profile, 2 it
could not be told.
"""


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the commands; each sets ``handler``, which takes the arguments."""
    mask = commands.add_parser(
        "mask", help="show and test what agents would see of responses", description=_MASK
    )
    _common(mask)
    mask.add_argument(
        "--profile", metavar="P", action="append", default=[], help="who masks; repeat it"
    )
    mask.add_argument("--target", metavar="T", help="the target that answers")
    mask.add_argument(
        "--action", metavar="A", help="what was asked of it: its catalog marks what is secret then"
    )
    mask.add_argument(
        "--content-type", metavar="TYPE", help="what the body is (default: application/json)"
    )
    mask.add_argument(
        "--head", metavar="FILE", type=Path, help="the response's head, as `curl -D FILE` writes it"
    )
    mask.add_argument(
        "--key", metavar="FILE", type=Path, help="the site key, to tell the digests on record"
    )
    mask.add_argument(
        "--report", metavar="FILE", type=Path, help="where what was hidden is written, as JSON"
    )
    mask.set_defaults(handler=told("jitgate.cli.mask_showing", "mask"))
    within = mask.add_subparsers(metavar="COMMAND")
    test = within.add_parser("test", help="try the cases of test files", description=_TEST)
    _common(test, default=argparse.SUPPRESS)
    test.add_argument("files", metavar="FILES", nargs="*", type=Path, help="test files")
    test.add_argument(
        "--strict", action="store_true", help="exit with 1 where no case names some profile"
    )
    test.set_defaults(handler=told("jitgate.cli.mask_testing", "test"))


def _common(parser: argparse.ArgumentParser, default: Any = None) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        default=default,
        help="the gateway's configuration (default: as JITGATE_CONFIG says, or etc/jitgate.yaml)",
    )
    parser.add_argument(
        "--json", action="store_true", default=default or False, help="answer for a program"
    )
