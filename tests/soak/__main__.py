"""``python -m tests.soak``: how long, how it goes, and what came of it."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from . import shown
from .run import Found, soaked


def main(arguments: list[str]) -> int:
    """Soak it; 0 only if nothing grows, everything is explained, and the record is whole.

    With a leak that is put in: only if that one is found, and nothing else.
    """
    asked = _parser().parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="jitgate-soak-"))
    folder.chmod(0o755)
    try:
        found = soaked(
            folder,
            minutes=asked.minutes,
            rounds=asked.rounds,
            workers=asked.workers,
            seed=asked.seed,
            whole=not asked.small,
            store=asked.store,
            quick=asked.agents,
            leak=asked.leak,
            say=_say,
        )
    except BaseException:
        _say(f"What it left is in {folder}")
        raise
    _write(asked, found)
    print("\n".join(told(found)))
    as_wanted = found.grown == [asked.leak] if asked.leak else found.is_well
    if as_wanted and not asked.keep:
        shutil.rmtree(folder)
    else:
        _say(f"What it left is in {folder}")
    return 0 if as_wanted else 1


def told(found: Found) -> list[str]:
    """What came of it, in figures."""
    lines = ["", f"seed {found.seed}, {found.seconds / 60:.1f} minutes under load"]
    lines.append(
        f"{found.calls:,} calls, {found.rate:.1f} a second; it can {found.capacity:.1f} a second "
        f"here, with its agents and its targets on the same machine"
    )
    lines.append("")
    lines += [f"{'call':12} {'done':>8} {'p50 ms':>9} {'p99 ms':>9}"]
    lines += [
        f"{kind:12} {each['done']:8,} {each['p50']:9,.1f} {each['p99']:9,.1f}"
        for kind, each in sorted(found.kinds.items())
    ]
    lines += ["", f"{'fault':16} {'times':>6} {'errors that it explains':>24}"]
    lines += [
        f"{name:16} {times:6} {found.explained.get(name, 0):24,}"
        for name, times in sorted(found.faults.items())
    ]
    lines += ["", *shown.text(found.looks, found.names), ""]
    for each in found.growths:
        verdict = "flat" if each.is_flat else "GROWS"
        lines.append(
            f"{each.process:16} {each.quantity:12} {verdict:6} {each.first:,.0f} to "
            f"{each.last:,.0f} (at most {each.allowed:,.0f} more)"
        )
    lines += ["", *(f"UNEXPLAINED: {each}" for each in found.unexplained[:50])]
    if len(found.unexplained) > 50:
        lines.append(f"UNEXPLAINED: and {len(found.unexplained) - 50} more")
    lines += [f"RECORD: {each}" for each in found.lacking[:50]]
    lines.append(
        f"record: {found.entries:,} entries, {found.recorded:,} answers looked up, "
        f"{len(found.lacking)} missing; {found.verdict}"
    )
    lines.append(f"exit status of the gateway {found.status}")
    lines.append("All is well." if found.is_well else "NOT WELL: " + "; ".join(found.wrong))
    return lines


def _write(asked: argparse.Namespace, found: Found) -> None:
    if asked.json:
        asked.json.write_text(json.dumps(found.as_json(), indent=1) + "\n")
    if asked.chart:
        asked.chart.write_text(shown.picture(found.looks, found.names, found.windows))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="under load")
    parser.add_argument("--rounds", type=int, help="so many times everything rests and is counted")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    parser.add_argument("--agents", type=int, default=12, help="that ask as fast as they may")
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="postgres")
    parser.add_argument("--small", action="store_true", help="without an Okta org and a Slack")
    parser.add_argument(
        "--leak",
        choices=("deferreds", "descriptors", "memory"),
        default="",
        help="let the gateway leak; ends with 0 if that is found",
    )
    parser.add_argument("--json", type=Path, help="write what was found to this file")
    parser.add_argument("--chart", type=Path, help="draw an SVG into this file")
    parser.add_argument("--keep", action="store_true", help="leave the folder, if all is well too")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
