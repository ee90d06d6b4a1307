"""What `jitgate keys` does: ask the gateway, and say what auditors need from now on."""

from __future__ import annotations

import argparse
import json

from jitgate.cli.calling import Gateway, NotTold
from jitgate.core.visible import visible


def rotate(arguments: argparse.Namespace) -> int:
    """Have another key sign the recording."""
    for found in Gateway(arguments).all("rotate-key", reason=arguments.reason):
        if arguments.json:
            print(json.dumps({"old": found["old"], "new": found["new"]}, indent=2))
            return 0
        print(f"Retired, and on record: {visible(found['old'])}")
        print(f"It signs from now on:   {visible(found['new'])}")
        print("Give auditors the new one: the old one tells them less from now on.")
        return 0
    raise NotTold("The gateway did not say what it has done; jitgate verify tells.")
