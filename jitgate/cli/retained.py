"""What `jitgate retention` does: ask the gateway, and for the end of a hold the sealer."""

from __future__ import annotations

import argparse
import json
import os

from jitgate.cli.calling import Content, Gateway, NotTold
from jitgate.cli.columns import table
from jitgate.core.visible import size, visible


def list_(arguments: argparse.Namespace) -> int:
    """Show every segment."""
    found = list(Gateway(arguments).all("retention"))
    if arguments.json:
        return _print_json(found)
    rows = [(visible(each["segment"]), size(each["bytes"]), _term(each)) for each in found]
    print(*table([("SEGMENT", "SIZE", "KEPT"), *rows]), sep="\n")
    return 0


def hold_(arguments: argparse.Namespace) -> int:
    """Hold segments."""
    found = list(Gateway(arguments).all("hold", id=arguments.id, reason=arguments.reason))
    return _said(arguments, found, "Held, and on record")


def release_(arguments: argparse.Namespace) -> int:
    """End holds: first on record, then at the sealer, so that none ends unrecorded."""
    # It logs, by Twisted's logger, which the other commands need not wait for.
    from jitgate.stores.layout import lines_name
    from jitgate.stores.sealing import Sealer

    if os.geteuid() != 0:
        raise NotTold("Only root can end a hold: the sealer takes it from nobody else.")
    sealer = Sealer(arguments.sealer)
    try:
        sealer.ask("ping")
        found = list(Gateway(arguments).all("release", id=arguments.id, reason=arguments.reason))
        for log, first in [_meant(arguments.id, each["segment"]) for each in found]:
            sealer.ask(f"release {log} {lines_name(first)}")
    except OSError as error:
        raise NotTold(f"The sealer did not do it: {error.strerror}.") from error
    finally:
        sealer.hang_up()
    return _said(arguments, found, "Held no longer, and on record")


def delete_(arguments: argparse.Namespace) -> int:
    """Delete what has expired."""
    found = list(Gateway(arguments).all("delete-expired"))
    return _said(arguments, found, "Deleted, and on record")


def _meant(asked: str, segment: str) -> tuple[str, int]:
    """The log and the number of a segment that was asked for: the gateway may be in wrong hands.

    Raises `NotTold` for any other.
    """
    log, _, first = segment.partition(":")
    if asked not in {log, segment} or not (first.isascii() and first.isdigit()):
        raise NotTold(
            f"No hold has ended: asked about {visible(asked)}, the gateway answers about "
            f"{visible(segment)}. Look into that before you believe anything it says."
        )
    return log, int(first)


def _term(term: Content) -> str:
    if term["held"]:
        return "held"
    if term["until"] is None:
        return "open"
    return "expired" if term["expired"] else f"until {visible(term['until'])}"


def _said(arguments: argparse.Namespace, found: list[Content], done: str) -> int:
    if arguments.json:
        return _print_json([each["segment"] for each in found])
    print(*(f"{visible(each['segment'])}: {done}." for each in found), sep="\n")
    if not found:
        print("Nothing has expired that is not held.")
    return 0


def _print_json(content: object) -> int:
    print(json.dumps(content, indent=2))
    return 0
