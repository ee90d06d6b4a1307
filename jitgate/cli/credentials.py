"""``jitgate credentials check``: what the gateway's own credentials may do."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from jitgate.cli.telling import told

_CHECK = """\
Say what each service app of each Okta target may do, which rules need that, and warn of what no
rule needs, of what rules need and an app lacks, and of what keeps an app from being used. This is
online: it asks the org's token endpoint for tokens with the app's own key, revokes each of them at
once, and calls nothing else. What an app lacks stands in Okta's System Log as refused. Of other
targets it says whether their secret can be read, and asks nobody. No running gateway is needed; run
it as the gateway's user, who may read the keys. Without TARGET: all. Exit status: 0 all is as it
should be, 1 there are warnings, 2 it could not be told.
"""


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command; it sets ``handler``, which takes the arguments."""
    credentials = commands.add_parser("credentials", help="say what credentials may do")
    within = credentials.add_subparsers(metavar="COMMAND", required=True)
    check = within.add_parser(
        "check",
        help="ask each service app what it may do, and compare that with the rules",
        description=_CHECK,
    )
    check.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="the gateway's configuration (default: as JITGATE_CONFIG says, or etc/jitgate.yaml)",
    )
    check.add_argument("--json", action="store_true", help="answer for a program")
    check.add_argument("targets", metavar="TARGET", nargs="*", help="a target by its name")
    check.set_defaults(handler=told("jitgate.cli.credentials_checking", "check"))
