"""``jitgate catalog``: what is known of an API's operations, and bringing in another API."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from jitgate.cli.telling import told

_IMPORT = """\
Make a catalog for a target from a description of its API (OpenAPI 3.0 or 3.1, JSON or YAML). What
it would change in the target's present catalog goes to standard output as a diff, a summary to
standard error; --write writes it. Risks, parameters and secret fields are proposals: look through
them. What people have reviewed already is kept. Nothing is fetched. Exit status: 0 nothing is to be
changed, or it was written; 1 there is a diff; 2 it could not be told.
"""
_SHOW = """\
Show the operations of a catalog: of all targets, of one (--target), or of a file (its name ends in
.csv). PATTERN is tried on the operation's name and on its path; * stands for any characters, as in
a rule's actions. Exit status: 0 there are some, 1 there are none, 2 it could not be told.
"""


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the commands; each sets ``handler``, which takes the arguments."""
    catalog = commands.add_parser("catalog", help="show and make catalogs of operations")
    within = catalog.add_subparsers(metavar="COMMAND", required=True)
    _register_import(within)
    show = within.add_parser("show", help="show operations", description=_SHOW)
    _with_configuration(show)
    show.add_argument("--target", metavar="NAME", help="of this target alone")
    show.add_argument("words", nargs="*", metavar="[FILE] [PATTERN]", help="see above")
    show.add_argument("--json", action="store_true", help="answer for a program")
    show.set_defaults(handler=told("jitgate.cli.cataloguing", "show"))


def _register_import(within: argparse._SubParsersAction[Any]) -> None:
    bring = within.add_parser(
        "import", help="make a catalog from an OpenAPI description", description=_IMPORT
    )
    _with_configuration(bring)
    bring.add_argument("file", metavar="FILE", type=Path, help="the description")
    bring.add_argument("--target", metavar="NAME", required=True, help="the target that it is of")
    bring.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help="the catalog (default: the target's); without --config, no configuration is read",
    )
    bring.add_argument(
        "--prefix", metavar="PATH", help="the base path, instead of that of the servers"
    )
    bring.add_argument(
        "--host",
        metavar="HOST",
        action="append",
        default=[],
        help="take in what this host serves too, beside the target's own; may be repeated",
    )
    bring.add_argument("--write", action="store_true", help="write the catalog")
    bring.add_argument("--json", action="store_true", help="answer for a program")
    bring.set_defaults(handler=told("jitgate.cli.cataloguing", "bring_in"))


def _with_configuration(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="the gateway's configuration (default: as JITGATE_CONFIG says, or etc/jitgate.yaml)",
    )
