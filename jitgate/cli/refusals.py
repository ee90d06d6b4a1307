"""`jitgate refusals`: who was refused outside of any session, as a list."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from time import time
from typing import Final

from jitgate.cli.contents import LINE_CHARS, cut
from jitgate.cli.finding import moment_of
from jitgate.cli.listing import in_rows
from jitgate.cli.records import entry_content, print_json, reading
from jitgate.core.globs import globs_matcher
from jitgate.core.visible import visible
from jitgate.stores.reading import Kept, Recording

LISTED: Final = 1000
"""How many are listed, the last of them: a few screens. `--json` has all."""

_DROPPED: Final = "connections.dropped"

_WHO: Final = ("peer", "person", "uid", "user")
_WHY: Final = ("denial", "detail", "why", "result")


def refusals(arguments: argparse.Namespace) -> int:
    """List them by time; 1 if there is none."""
    now = time()
    since = "" if arguments.since is None else moment_of(arguments.since, now)
    until = "~" if arguments.until is None else moment_of(arguments.until, now)  # behind all
    is_type, is_who = (
        globs_matcher(each or ["*"], re.IGNORECASE) for each in (arguments.type, arguments.who)
    )
    with reading(arguments) as recording:
        found = [
            kept
            for kept in _refused(recording)
            if since <= kept.time < until and is_type(kept.type) and any(map(is_who, _named(kept)))
        ]
    if arguments.json:
        print_json([entry_content(kept) for kept in found])
    elif found:
        print(*in_rows([_HEADINGS, *map(_row, found[-LISTED:])]), sep="\n")
        if len(found) > LISTED:
            print(f"… {len(found) - LISTED} earlier ones: --json, or --since and --until")
    else:
        print("Nobody was refused so.", file=sys.stderr)
    return int(not found)


def _refused(recording: Recording) -> Iterator[Kept]:
    """What tells of somebody who got nothing, and belongs to no exchange."""
    for kept in recording.every_entry():
        is_tunnel = kept.type == "tunnel" and kept.content.get("result") == "refused"
        if is_tunnel or kept.type in {"refused", _DROPPED} or kept.type.endswith(".refused"):
            yield kept


def _named(kept: Kept) -> Iterator[str]:
    """Who it was, in each way that the entry names them; an address with its port and without."""
    for name in _WHO:
        value = kept.content.get(name)
        if isinstance(value, str | int):
            yield f"{value}"
            if name == "peer":
                yield f"{value}".rpartition(":")[0].strip("[]")
    yield ""


_HEADINGS: Final = ("TIME", "ENTRY", "TYPE", "WHO", "WHY", "MORE LEFT OUT")


def _row(kept: Kept) -> Sequence[str]:
    who = next(_named(kept)) or "-"
    about = kept.content.get("authority") or kept.content.get("command")
    said = [kept.content.get(name) for name in _WHY]
    why = ": ".join(f"{each}" for each in said if each and each != "refused") or "-"
    if kept.type == _DROPPED:
        why = f"{kept.content.get('count')} connections made room for others"
    if about:
        why = f"{about}: {why}"
    left_out = kept.content.get("left_out")
    return (
        f"{kept.time[:19]}Z",
        visible(kept.name),
        _word(kept.type),
        _word(who),
        _word(why),
        "-" if left_out is None else _word(left_out),
    )


def _word(value: object) -> str:
    return cut(visible(f"{value}"), LINE_CHARS)
