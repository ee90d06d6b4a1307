"""``python -m tests.bench``: measure, print, and keep what was found."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from . import machine, site
from .figures import Row
from .proxies import PEERS, missing
from .report import table
from .rounds import Bench
from .rows import ROWS


def main(arguments: list[str]) -> int:
    """Measure what was asked for; 1 if a goal is required and missed."""
    asked = _parser().parse_args(arguments)
    if asked.list:
        print("\n".join(f"{row.name:12} {row.tells}" for row in ROWS))
        return 0
    peers = [peer for peer in asked.peers.split(",") if peer]
    for peer in peers:
        if lack := missing(peer):
            _say(f"without {peer}: {lack}")
    peers = [peer for peer in peers if not missing(peer)]
    found: list[Row] = []
    with site.running() as place:
        bench = Bench(place, peers, asked.rounds, asked.seconds, asked.held, asked.disk, _say)
        for row in ROWS:
            if not asked.row or row.name in asked.row:
                _say(f"{row.name}: {row.tells}")
                found += row.run(bench)
    print(table(found))
    if asked.json:
        result = {"machine": machine.described(), "rows": [asdict(row) for row in found]}
        asked.json.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    missed = any(row.failed or row.met is False for row in found)
    return int(asked.require and missed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    names = [row.name for row in ROWS]
    parser.add_argument("--list", action="store_true", help="say which rows there are")
    parser.add_argument("--row", nargs="+", choices=names, help="these only")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of load, in each round")
    parser.add_argument("--peers", default=",".join(PEERS), help="by comma; empty for none")
    parser.add_argument("--held", type=int, default=10_000, help="requests that wait for people")
    disk = Path(tempfile.gettempdir())
    parser.add_argument("--disk", type=Path, default=disk, help="where recording is to a disk")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    parser.add_argument("--require", action="store_true", help="fail if a goal is missed")
    return parser


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
