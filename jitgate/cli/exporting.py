"""`jitgate export har`, `ocsf` and `html`: to standard output, from files alone."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jitgate.cli.configured import configuration
from jitgate.cli.records import say_left_out, unknown
from jitgate.cli.telling import NOT_TOLD
from jitgate.errors import StateUnusable
from jitgate.exports.exchanges import Told, of_every_log
from jitgate.exports.following import Follower
from jitgate.exports.har import UNREADABLE
from jitgate.exports.har import har as archive
from jitgate.exports.ocsf import event
from jitgate.stores.layout import run_of
from jitgate.stores.reading import Kept, Recording, timelines

FOLLOW_SECONDS = 1.0
"""Between two looks at what has come. A log's durable size is said every minute or sooner."""


def har(arguments: argparse.Namespace) -> int:
    """Write a session as HAR; 2 if a body that is on record cannot be read."""
    recording = _recording(arguments)
    log, entries = archive(recording, _session(recording, arguments.session), _version())
    unreadable = 0
    print(f'{{"log":{_json(log)[:-1]},"entries":[', end="")
    for number, entry in enumerate(entries):
        unreadable += len(entry["_jitgate"].get(UNREADABLE, ()))
        print("," if number else "", _json(entry), sep="\n", end="")
    print("\n]}}")
    if unreadable:
        print(f"Bodies that are on record and cannot be read: {unreadable}.", file=sys.stderr)
    return NOT_TOLD if unreadable else 0


def ocsf(arguments: argparse.Namespace) -> int:
    """Write exchanges as OCSF events; with ``follow`` until it is interrupted."""
    recording, after = _recording(arguments), dict(map(_position, arguments.after))
    try:
        for told in _exchanges(recording, follow=arguments.follow):
            if not _is_before(told, after):
                print(_json(event(told, _version())), flush=arguments.follow)
    except KeyboardInterrupt:
        pass
    return 0


def html(arguments: argparse.Namespace) -> int:
    """Write a session as a report; 2 if nothing or not all could be verified, 1 if tampered."""
    from jitgate.cli.report import report
    from jitgate.cli.verification import verified

    recording = _recording(arguments)
    found = [_with_people(recording, each) for each in _session(recording, arguments.session)]
    checked = verified(arguments, recording.folder)
    for piece in report(
        recording, arguments.session, found, checked, version=_version(), now=time.time()
    ):
        sys.stdout.write(piece)
    return NOT_TOLD if checked is None else checked.code


def _exchanges(recording: Recording, *, follow: bool) -> Iterator[Told]:
    if not follow:
        yield from of_every_log(recording)
        return
    follower = Follower(recording.folder)
    while True:
        yield from follower.more()
        time.sleep(FOLLOW_SECONDS)


def _position(after: str) -> tuple[str, int]:
    log, _, seq = after.rpartition(":")
    if not (log and seq.isascii() and seq.isdigit()):
        raise StateUnusable(f"{after!r} is no LOG:SEQ.")
    return log, int(seq)


def _is_before(told: Told, after: Mapping[str, int]) -> bool:
    """Whether it came until there. What has no outcome is told at the end of its log.

    Runs follow each other; the logs of one are written, and told, at once.
    """
    log = told.last.log
    if run_of(log) < max(map(run_of, after), default=""):
        return True
    return told.outcome is not None and told.last.seq <= after.get(log, -1)


def _session(recording: Recording, wanted: str) -> list[list[Kept]]:
    found = timelines(recording, wanted)
    if not found:
        raise unknown(wanted)
    return found


_OF_PEOPLE = frozenset(
    ("access.opened", "access.carried", "access.answered", "access.void", "access.escalated",
     "access.ended", "grant.made", "grant.carried", "grant.ended")
)  # fmt: skip
"""What tells of an access request or a grant, and not of one call under it."""


def _with_people(recording: Recording, entries: list[Kept]) -> list[Kept]:
    """The entries, with those about the access requests and grants that they name.

    What people answered names no exchange, and may be of an earlier session.
    """
    about = {key for kept in entries for key in _about(kept)}
    named = {kept.name for kept in entries}
    more = [
        kept
        for kept in recording.every_entry()
        if kept.type in _OF_PEOPLE and about.intersection(_about(kept)) and kept.name not in named
    ]
    return sorted([*entries, *more], key=lambda kept: (kept.time, kept.log, kept.seq))


def _about(kept: Kept) -> Iterator[str]:
    """The access request and the grant that an entry names."""
    return filter(None, (kept.text("access_request"), kept.text("grant")))


def _recording(arguments: argparse.Namespace) -> Recording:
    folder: Path | None = arguments.path
    if folder is None and arguments.config is not None:
        folder = configuration(arguments.config).recording.directory
    if folder is None:
        raise StateUnusable(
            "Give the PATH of a recording, or the configuration with --config FILE."
        )
    recording = Recording(folder)
    if not recording.exists:
        raise StateUnusable(f"There is no recording in {folder}.")
    say_left_out(recording)
    return recording


def _version() -> str:
    return version("jitgate")


def _json(content: Any) -> str:
    """ASCII: whatever it holds, a terminal that it lands in obeys none of it."""
    return json.dumps(content, separators=(",", ":")).replace("\x7f", "\\u007f")
