"""The auditor's commands: `sessions`, `refusals`, `replay`, `show`, `verify` and others. They read.

What they need is imported when one of them is called, so that every other command starts fast.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from jitgate.cli.approving import added
from jitgate.cli.telling import told


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the auditor's commands; each sets ``handler``, which takes the arguments."""
    sessions = commands.add_parser(
        "sessions", help="list the recorded sessions, or find some", epilog=_FINDING
    )
    _takes_what_to_find(sessions)
    _takes_recording(sessions, "sessions", "jitgate.cli.listing")
    _refusals(
        commands.add_parser(
            "refusals", help="list who was refused outside of any session", epilog=_REFUSALS
        )
    )
    _replay(commands.add_parser("replay", help="show a session, or one exchange, as a timeline"))
    show = commands.add_parser("show", help="show an entry whole, with its bodies")
    show.add_argument(
        "entry",
        metavar="ENTRY",
        help="LOG:SEQ; or an exchange, an access request or a grant for all its entries",
    )
    show.add_argument("--body", metavar="NAME", help="this body alone, byte for byte, to a file")
    _takes_recording(show, "show", "jitgate.cli.records")
    copy = added(
        commands,
        "copy",
        "take a copy of the recording from the gateway; that is put on record",
        "For auditors who may not read its files.",
        module="jitgate.cli.copying",
    )
    copy.add_argument("folder", metavar="DIR", type=Path, help="a folder that is not there yet")
    copy.add_argument("--reason", metavar="TEXT", default="", help="why; it is put on record")
    _verify(commands.add_parser("verify", help="check recordings against a signed checkpoint"))
    _proofs(commands.add_parser("proof", help="make and check proofs for who has no recording"))


def _refusals(refusals: argparse.ArgumentParser) -> None:
    refusals.add_argument(
        "--type", metavar="NAME", action="append", help="entries of this type: control.*"
    )
    refusals.add_argument(
        "--who", metavar="NAME", action="append", help="an address, a uid or a person"
    )
    _takes_times(refusals)
    _takes_recording(refusals, "refusals", "jitgate.cli.refusals")


def _replay(replay: argparse.ArgumentParser) -> None:
    replay.add_argument(
        "id", metavar="ID", help="a session, an exchange, an access request or a grant"
    )
    pace = replay.add_mutually_exclusive_group()
    pace.add_argument(
        "--speed", metavar="N", type=float, help="1: as it happened; 10: ten times as fast"
    )
    pace.add_argument("--follow", action="store_true", help="go on as it is written, until Ctrl-C")
    replay.add_argument("--pause", metavar="TIME", help="with --speed: no pause is longer; 5s")
    _takes_recording(replay, "replay", "jitgate.cli.replaying")


def _verify(verify: argparse.ArgumentParser) -> None:
    verify.add_argument("paths", metavar="PATH", nargs="*", type=Path, help="a recording's folder")
    verify.add_argument("--checkpoint", metavar="FILE", type=Path, help="one kept elsewhere")
    verify.add_argument("--key", metavar="FILE", type=Path, help="the site log's public key")
    verify.add_argument("--config", metavar="FILE", type=Path, help="has the key, and the PATH")
    verify.add_argument("--allow-unwitnessed", action="store_true", help="exit 0 all the same")
    verify.add_argument("--json", action="store_true", help="answer for a program")
    verify.set_defaults(handler=told("jitgate.cli.verification", "verify"))


def _proofs(proof: argparse.ArgumentParser) -> None:
    kinds = proof.add_subparsers(metavar="KIND", required=True)
    consistency = kinds.add_parser("consistency", help="that the log only grew since a checkpoint")
    consistency.add_argument("old", metavar="OLD", type=Path, help="the older checkpoint")
    inclusion = kinds.add_parser("inclusion", help="that an entry is under a checkpoint")
    inclusion.add_argument("entry", metavar="LOG:SEQ", help="the entry, as `show` calls it")
    for parser, name in ((consistency, "consistency"), (inclusion, "inclusion")):
        parser.add_argument("path", metavar="PATH", type=Path, help="the recording's folder")
        parser.add_argument("--checkpoint", metavar="FILE", type=Path, help="else the newest there")
        parser.set_defaults(handler=told("jitgate.cli.proofs", name))
    check = kinds.add_parser("check", help="check a proof; needs no recording")
    check.add_argument("proof", metavar="FILE", type=Path, help="what one of the others wrote")
    check.add_argument("--since", metavar="OLD", type=Path, help="the checkpoint that was kept")
    check.add_argument(
        "--key-before",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="a retired key, by which the checkpoint that was kept is signed",
    )
    check.set_defaults(handler=told("jitgate.cli.proofs", "check"))
    for parser in (consistency, inclusion, check):
        parser.add_argument("--key", metavar="FILE", type=Path, help="the site log's public key")
        parser.add_argument("--config", metavar="FILE", type=Path, help="has the key")


def _takes_what_to_find(parser: argparse.ArgumentParser) -> None:
    """Add the options by which sessions are found."""
    for name, what in _FOUND_BY.items():
        metavar = "NAME" if name != "status" else "STATUS"
        parser.add_argument(f"--{name}", metavar=metavar, action="append", help=what)
    parser.add_argument(
        "--decision", action="append", choices=("permit", "review", "deny"), help="what policy said"
    )
    _takes_times(parser)
    parser.add_argument("--text", metavar="WORDS", action="append", help="all of these words")
    parser.add_argument("--index", metavar="DIR", type=Path, help="where the search index is kept")
    parser.add_argument("--reindex", action="store_true", help="build the index anew")


def _takes_times(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", metavar="TIME", help="at or after it: an instant, a day, 2h ago")
    parser.add_argument("--until", metavar="TIME", help="before it")


_REFUSALS = (
    "Tunnels that were refused, for want of a good token or of a target; attempts at the control "
    "socket, at callbacks, in Slack and at the admin port. Names may hold * and ?, and case does "
    "not matter. What was refused in a session stands in that."
)

_FOUND_BY = {
    "subject": "whose it is, by the subject's id",
    "target": "which target was called",
    "action": "which action was asked for",
    "approver": "who answered for it",
    "status": "the answer's status, or the outcome: 403, 4xx, denied, unknown",
    "masked": "what was hidden: a path, a name in it, or what hid it",
}

_FINDING = (
    "Names may hold * and ?, and case does not matter. Of the same option several may be given, "
    "and one of them must fit; of different ones all must, in one exchange."
)


def _takes_recording(parser: argparse.ArgumentParser, name: str, module: str) -> None:
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--config", metavar="FILE", type=Path, help="the gateway's configuration")
    where.add_argument("--recordings", metavar="DIR", type=Path, help="a recording's folder")
    parser.add_argument("--json", action="store_true", help="answer for a program")
    parser.set_defaults(handler=told(module, name))
