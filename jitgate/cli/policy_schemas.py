"""`jitgate policy schema`: JSON Schemas of the configuration's files, for editors."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from jitgate.config.json_schema import schemas


def schema(arguments: argparse.Namespace) -> int:
    """Write each to a file of its own, or all to standard output."""
    folder: Path | None = arguments.out
    if folder is None:
        print(json.dumps(schemas(), indent=2))
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in schemas().items():
        (folder / name).write_text(f"{json.dumps(content, indent=2)}\n", encoding="utf-8")
        print(folder / name)
    return 0
