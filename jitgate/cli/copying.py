"""What `jitgate copy` does: take a copy of the recording from the gateway."""

from __future__ import annotations

import argparse
import base64
import json

from jitgate.cli.bar import Bar
from jitgate.cli.calling import Gateway
from jitgate.core.visible import size
from jitgate.stores.copying import Copy, Piece


def copy(arguments: argparse.Namespace) -> int:
    """Take it into a folder of its own, and say what to do next."""
    lines = Gateway(arguments).all("copy", reason=arguments.reason)
    first = next(lines, None)  # before a folder is made for what may be refused
    taken, bar = Copy(arguments.folder), Bar()
    try:
        while first is not None:
            taken.take(Piece(first["file"], base64.b64decode(first["data"])))
            bar.passed(taken.bytes)
            first = next(lines, None)
    finally:
        bar.clear()
    if arguments.json:
        print(json.dumps({"files": taken.files, "bytes": taken.bytes}, indent=2))
        return 0
    print(f"{taken.files} files, {size(taken.bytes)}, in {arguments.folder}; that is on record.")
    print(f"Next: jitgate verify --key KEY --checkpoint FILE {arguments.folder}")
    return 0
