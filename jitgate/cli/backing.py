"""``jitgate backup`` and ``jitgate restore``: the gateway's own files, for another machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from jitgate.cli.telling import told


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the commands."""
    for name, text, more in (
        (
            "backup",
            "copy the gateway's state and recording into a folder, also while it runs",
            "a folder that is not there yet",
        ),
        ("restore", "put a backup where there is nothing yet", "what `jitgate backup` has made"),
    ):
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.add_argument("folder", metavar="DIR", type=Path, help=more)
        command.add_argument("--config", type=Path, required=True, metavar="FILE")
        command.set_defaults(handler=told("jitgate.cli.backing", name))


def backup(arguments: argparse.Namespace) -> int:
    """Take one, and say what it is good for."""
    from jitgate.cli.bar import Bar
    from jitgate.core.visible import size
    from jitgate.stores.backup import back_up

    state, recording, shared = _places(arguments)
    bar = Bar()
    try:
        taken = back_up(state, recording, arguments.folder, bar.passed)
    finally:
        bar.clear()
    print(f"Keys, state and {size(taken)} of recording, in {arguments.folder}.")
    print("Whoever has it can sign as this gateway: keep it as its own folder is kept.")
    if shared:
        print("What people were asked and have granted is in the database: back that up as well.")
    return 0


def restore(arguments: argparse.Namespace) -> int:
    """Put one back, and say what a start on it comes to."""
    from jitgate.stores.backup import put_back

    state, recording, _ = _places(arguments)
    put_back(arguments.folder, state, recording)
    print(f"Put back: {state} and {recording}.")
    print(f"Next: jitgate verify --key {state / 'site.vkey'} --checkpoint FILE {recording}")
    print("At its start the gateway gives nothing of what was granted before, and believes no")
    print("token that was made before. The gateway that the backup is of must never run again.")
    return 0


def _places(arguments: argparse.Namespace) -> tuple[Path, Path, bool]:
    """The state folder, the recording, and whether requests and grants are kept elsewhere."""
    from jitgate.cli.configured import configuration

    read = configuration(arguments.config)
    settings = read.settings
    return settings.state, read.recording.directory, settings.store is not None
