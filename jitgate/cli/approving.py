"""The commands at the control socket: `requests`, `approve`, `deny`, `grants`, `revoke`, `reload`.

They ask the running gateway, which knows by the uid who asks. What they need is imported when one
of them is called, and none of it needs Twisted, so that they start fast.
"""

from __future__ import annotations

import argparse
import importlib
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jitgate.errors import ConfigurationInvalid, JitgateError

YES, NO, NOT_TOLD = 0, 1, 2
"""Exit codes: done; refused, not counted, or not there; it could not be told."""

Handler = Callable[[argparse.Namespace], int]


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the commands; each sets ``handler``, which takes the arguments."""
    requests = added(commands, "requests", "list what waits for approval, or show one request")
    requests.add_argument("id", metavar="ID", nargs="?", help="an access request")
    requests.add_argument("--follow", action="store_true", help="show what comes, until Ctrl-C")
    requests.add_argument("--all", action="store_true", help="show long texts whole")
    for name, text in (("approve", "let a call go out"), ("deny", "refuse a call")):
        answer = added(commands, name, text)
        answer.add_argument("id", metavar="ID", help="an access request")
        if name == "approve":
            _gives_less(answer)
        _takes_reason(answer)
    added(commands, "grants", "list what approvals have given and is not used up", ids=_NO_ID)
    revoke = added(commands, "revoke", "take back what an approval has given")
    revoke.add_argument("id", metavar="ID", help="a grant")
    _takes_reason(revoke)
    subjects = commands.add_parser("subjects", help="whom the gateway believes no more")
    within = subjects.add_subparsers(metavar="COMMAND", required=True)
    text = "end all that an agent has: tunnels, requests, grants, tokens"
    end = added(within, "revoke", text, ids=_EXACT)
    end.add_argument("id", metavar="ID", help="the agent's id (sub), or the program's (client id)")
    _takes_reason(end)
    end.set_defaults(handler=_told("revoke_subject"))
    text = "check the whole configuration again, and serve by it if it is good"
    added(commands, "reload", text, ids=_NO_ID)


_SHORT = "The beginning of an id, eight characters at least, will do if it is unique."
_NO_ID = ""
_EXACT = (
    "The id is given exactly, as `jitgate sessions` shows it, and may be the program's client id."
)


def added(
    commands: argparse._SubParsersAction[Any],
    name: str,
    text: str,
    ids: str = _SHORT,
    *,
    module: str = "jitgate.cli.answering",
    handler: str | None = None,
) -> argparse.ArgumentParser:
    """A command at the control socket, which ``handler`` (else ``name``) of ``module`` does."""
    where_else = (
        "Without --socket and --config the environment variable JITGATE_CONTROL names the socket."
    )
    told = (f"{text[0].upper()}{text[1:]}.", ids, where_else)
    described = " ".join(filter(None, told))
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=described)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--config", metavar="FILE", type=Path, help="the gateway's configuration")
    where.add_argument("--socket", metavar="PATH", type=Path, help="the gateway's control socket")
    parser.add_argument("--json", action="store_true", help="answer for a program")
    parser.set_defaults(handler=_told(handler or name, module))
    return parser


def _gives_less(parser: argparse.ArgumentParser) -> None:
    """What policy offers can be given in part; it says itself where it offers no more."""
    many = parser.add_mutually_exclusive_group()
    once = "give it for this call alone, once, where a scope is offered"
    many.add_argument("--once", action="store_true", help=once)
    many.add_argument("--uses", metavar="N", help="give at most so many of the uses offered")
    life = "give it for no longer than this (55s, 2m, 1h)"
    parser.add_argument("--life", metavar="TIME", help=life)


def _takes_reason(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", metavar="TEXT", default="", help="why; it is put on record")


def _told(name: str, module: str = "jitgate.cli.answering") -> Handler:
    """The handler of that name; what keeps it from an answer is told in a sentence."""

    def run(arguments: argparse.Namespace) -> int:
        from jitgate.cli.calling import SaidNo
        from jitgate.core.visible import visible

        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # whatever it is, it is shown
        handler: Handler = getattr(importlib.import_module(module), name)
        try:
            return handler(arguments)
        except SaidNo as no:
            print(visible(f"{no}"), file=sys.stderr)
            return NO
        except ConfigurationInvalid as error:
            print(*error.problems, sep="\n", file=sys.stderr)
            print("The control socket alone will do: give it with --socket PATH.", file=sys.stderr)
        except JitgateError as error:
            print(visible(f"{error}"), file=sys.stderr)
        return NOT_TOLD

    return run
