"""``jitgate identity check``: what the gateway would make of a token."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from jitgate.cli.telling import told

_CHECK = """\
Say what the gateway would make of the token on standard input: whom it proves, or the first rule
that refuses it, and what it says of itself. Exit status: 0 accepted, 1 refused, 2 it could not be
told. Nothing is asked of anybody, and no running gateway is needed, so an issuer whose keys are not
in a file (jwks) needs --fetch, which asks the configured issuer as the gateway would, never
anybody that the token names. Neither the token nor its signature is shown.
"""


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command; it sets ``handler``, which takes the arguments."""
    identity = commands.add_parser("identity", help="explain whose tokens are believed")
    within = identity.add_subparsers(metavar="COMMAND", required=True)
    check = within.add_parser(
        "check", help="say what the gateway would make of a token", description=_CHECK
    )
    check.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="the gateway's configuration (default: as JITGATE_CONFIG says, or etc/jitgate.yaml)",
    )
    check.add_argument("--issuer", metavar="NAME", help="as if this one alone were configured")
    check.add_argument(
        "--saml", action="store_true", help="only a SAML assertion is taken, as XML or in base64url"
    )
    check.add_argument("--fetch", action="store_true", help="ask the issuer for its keys")
    check.add_argument("--json", action="store_true", help="answer for a program")
    check.set_defaults(handler=told("jitgate.cli.explaining", "check"))
