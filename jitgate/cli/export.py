"""The auditor's `export`: what is on record, in forms that other tools and people read.

It only reads files. What it needs is imported when it is called.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from jitgate.cli.telling import told


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add `export` with its forms; each sets ``handler``, which takes the arguments."""
    export = commands.add_parser("export", help="write what is on record in a form for others")
    forms = export.add_subparsers(metavar="FORM", required=True)

    har = forms.add_parser("har", help="a session as an HTTP Archive (HAR 1.2), for browser tools")
    _takes_session(har)
    har.set_defaults(handler=told("jitgate.cli.exporting", "har"))

    ocsf = forms.add_parser(
        "ocsf", help="every exchange as an OCSF event (API Activity), a line each"
    )
    _takes_recording(ocsf)
    ocsf.add_argument("--follow", action="store_true", help="go on with what becomes durable")
    ocsf.add_argument(
        "--after",
        metavar="LOG:SEQ",
        action="append",
        default=[],
        help="leave out what came until this entry of a log; give it once for each log",
    )
    ocsf.set_defaults(handler=told("jitgate.cli.exporting", "ocsf"))

    html = forms.add_parser("html", help="a session as a report in one file, for people and paper")
    _takes_session(html)
    html.add_argument("--key", metavar="FILE", type=Path, help="the site log's public key")
    html.add_argument("--checkpoint", metavar="FILE", type=Path, help="one kept elsewhere")
    html.set_defaults(handler=told("jitgate.cli.exporting", "html"))


def _takes_session(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("session", metavar="SESSION", help="a session, or an exchange")
    _takes_recording(parser)


def _takes_recording(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", nargs="?", type=Path, help="a recording's folder")
    parser.add_argument("--config", metavar="FILE", type=Path, help="has the PATH, and the key")
