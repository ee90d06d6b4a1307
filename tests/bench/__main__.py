"""``python -m tests.bench``: measure, print, and keep what was found."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from . import machine, site
from .figures import Row
from .proxies import PEERS, missing
from .report import chart, markdown, marked, table, values
from .rounds import Bench
from .rows import ROWS


def main(arguments: list[str]) -> int:
    """Measure what was asked for; 1 if a goal is required and missed."""
    asked = _parser().parse_args(arguments)
    if asked.list:
        print("\n".join(f"{row.name:12} {row.tells}" for row in ROWS))
        return 0
    if asked.kept:
        kept = json.loads(asked.kept.read_text())
        where, found = kept["machine"], [Row(**row) for row in kept["rows"]]
        broken = kept["broken"]
    else:
        where = machine.described()
        found, broken = _measured(asked)
    print(table(found))
    for name, why in broken.items():
        print(f"{name} COULD NOT BE MEASURED: {why}")
    _write(asked, where, found, broken)
    missed = any(row.failed or (row.goal and not row.met) for row in found)
    return int(asked.require and (missed or bool(broken)))


def _measured(asked: argparse.Namespace) -> tuple[list[Row], dict[str, str]]:
    """The rows, and for those that broke off why they did: the others are measured all the same."""
    found: list[Row] = []
    broken: dict[str, str] = {}
    with site.running() as place:
        bench = Bench(
            place,
            _peers(asked.peers),
            asked.rounds,
            asked.seconds,
            asked.held,
            asked.disk,
            _say,
        )
        for row in ROWS:
            if not asked.row or row.name in asked.row:
                _say(f"{row.name}: {row.tells}")
                try:
                    found += row.run(bench)
                except (OSError, RuntimeError) as error:
                    broken[row.name] = f"{type(error).__name__}: {error}"
                    _say(f"  {broken[row.name]}")
    return found, broken


def _peers(wanted: str) -> list[str]:
    """Those that are wanted and can run here; who is left out is told."""
    peers = [peer for peer in wanted.split(",") if peer]
    for peer in peers:
        if lack := missing(peer):
            _say(f"without {peer}: {lack}")
    return [peer for peer in peers if not missing(peer)]


def _write(
    asked: argparse.Namespace,
    where: Mapping[str, str],
    found: Sequence[Row],
    broken: Mapping[str, str],
) -> None:
    if asked.json:
        result = {"machine": where, "rows": [asdict(row) for row in found], "broken": broken}
        asked.json.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    if asked.markdown:
        lines = markdown(found, where)
        asked.markdown.write_text(marked(asked.markdown.read_text(), "bench", lines))
    if asked.chart and (bars := values(found, "request")):
        title = "Processor time per request: 1 KiB of JSON, TLS on both sides"
        asked.chart.write_text(chart(title, "µs", bars))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    names = [row.name for row in ROWS]
    parser.add_argument("--list", action="store_true", help="say which rows there are")
    parser.add_argument("--row", nargs="+", choices=names, metavar="ROW", help="these only")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of load, in each round")
    parser.add_argument("--peers", default=",".join(PEERS), help="by comma; empty for none")
    parser.add_argument("--held", type=int, default=9_900, help="requests that wait for people")
    disk = Path(tempfile.gettempdir())
    parser.add_argument("--disk", type=Path, default=disk, help="where recording is to a disk")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    parser.add_argument("--kept", type=Path, metavar="FILE", help="take such rows, do not measure")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite its table")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the row `request` as SVG")
    parser.add_argument("--require", action="store_true", help="fail if a goal is missed")
    return parser


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
