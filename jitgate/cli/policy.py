"""``jitgate policy``: what the rules say, checked, tested and explained without a gateway."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from jitgate.cli.telling import told

_OFFLINE = (
    "No running gateway, no network and no key is needed: policy, masking, plugins and catalogs "
    "are all that is read."
)
_CHECK = f"""\
Say everything that is wrong with the rules and the masking, each with its file and line; else how
many there are, their version, and what can hardly be meant: rules that never match, or never count.
{_OFFLINE} `jitgate check` checks more: all that a gateway needs to serve. Exit status: 0 nothing is
wrong, 1 there are doubts and --strict was given, 2 something is wrong.
"""
_TEST = f"""\
Try the calls of test files, and say which do not come out as expected, with each rule's part in
that, and which rules no case touches. Without FILES: those in the folders `tests` beside the policy
files. {_OFFLINE} Exit status: 0 all pass, 1 one fails, or with --strict no case touches some rule,
2 it could not be told.
"""
_EXPLAIN = f"""\
Say what policy makes of one call: the decision, the operation that the call is, each rule's part.
{_OFFLINE} Exit status: 0 the call may go, by itself or once people approve it, 1 it is denied or
refused, 2 it could not be told.
"""
_SCHEMA = """\
Write JSON Schemas of the configuration's files, for editors. Without --out they go to standard
output, as one object by their files' names.
"""


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the commands; each sets ``handler``, which takes the arguments."""
    policy = commands.add_parser("policy", help="check, test and explain the rules")
    within = policy.add_subparsers(metavar="COMMAND", required=True)
    check = _added(within, "check", "say what is wrong with the rules", _CHECK)
    check.add_argument("--strict", action="store_true", help="exit with 1 where there are doubts")
    check.set_defaults(handler=told("jitgate.cli.policy_checking", "check"))
    test = _added(within, "test", "try the cases of test files", _TEST)
    test.add_argument("files", metavar="FILES", nargs="*", type=Path, help="test files")
    test.add_argument(
        "--strict", action="store_true", help="exit with 1 where no case touches some rule"
    )
    test.set_defaults(handler=told("jitgate.cli.policy_testing", "test"))
    _register_explain(within)
    schema = within.add_parser("schema", help="JSON Schemas for editors", description=_SCHEMA)
    schema.add_argument("--out", metavar="DIR", type=Path, help="the folder to write them to")
    schema.set_defaults(handler=told("jitgate.cli.policy_schemas", "schema"))


def _register_explain(commands: argparse._SubParsersAction[Any]) -> None:
    explain = _added(commands, "explain", "say what policy makes of one call", _EXPLAIN)
    explain.add_argument("method", metavar="METHOD", help="GET, POST, …")
    explain.add_argument("url", metavar="URL", help="as the agent would write it, https://…")
    explain.add_argument(
        "--as", metavar="SUBJECT", required=True, dest="subject", help="the agent's id (sub)"
    )
    explain.add_argument(
        "--group", metavar="G", action="append", default=[], help="one of its groups; repeat it"
    )
    explain.add_argument(
        "--issuer", metavar="NAME", help="whose token it brings: a name or URL (default: the first)"
    )
    explain.add_argument("--agent", metavar="ID", help="the program, where it acts for SUBJECT")
    explain.add_argument(
        "--human", metavar="WHO", action="append", help="a person it acts for; repeat it"
    )
    explain.add_argument("--body", metavar="FILE", help="the request's body; - is standard input")
    explain.add_argument(
        "--header", metavar="'NAME: VALUE'", action="append", default=[], help="repeat it"
    )
    explain.add_argument(
        "--fact", metavar="NAME=JSON", action="append", default=[], help="a fact; repeat it"
    )
    explain.add_argument("--at", metavar="TIME", help="as 2026-01-05T09:30:00+01:00 (default: now)")
    explain.add_argument("--all", action="store_true", help="show long texts whole")
    explain.set_defaults(handler=told("jitgate.cli.policy_explaining", "explain"))


def _added(
    commands: argparse._SubParsersAction[Any], name: str, text: str, description: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=description)
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="the gateway's configuration (default: as JITGATE_CONFIG says, or etc/jitgate.yaml)",
    )
    parser.add_argument("--json", action="store_true", help="answer for a program")
    return parser
