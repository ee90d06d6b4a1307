"""`jitgate sessions`, `replay` and `show`: a recording for the eye, or as JSON for a program."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from jitgate.cli.configured import configuration
from jitgate.cli.timeline import body, timeline
from jitgate.cli.visible import body_lines, visible
from jitgate.errors import StateUnusable
from jitgate.stores.reading import Kept, Recording, Session, timelines
from jitgate.stores.reading import sessions as every_session


def sessions(arguments: argparse.Namespace) -> int:
    """List the sessions."""
    found = every_session(_recording(arguments))
    if arguments.json:
        _print_json([_session_content(session) for session in found])
        return 0
    for line in _table(found):
        print(line)
    return 0


def replay(arguments: argparse.Namespace) -> int:
    """Show a session's timeline, or one exchange's."""
    recording = _recording(arguments)
    found = timelines(recording, arguments.id)
    if not found:
        raise StateUnusable(
            f"No session and no exchange is called {arguments.id!r} in this recording."
        )
    if arguments.json:
        _print_json([_entry_content(kept) for entries in found for kept in entries])
        return 0
    for number, entries in enumerate(found):
        if number:
            print()
        for line in timeline(recording, entries):
            print(line)
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Show entries whole."""
    recording = _recording(arguments)
    found = list(_entries(recording, arguments.entry))
    if not found:
        raise StateUnusable(
            f"No entry and no exchange is called {arguments.entry!r} in this recording."
        )
    if arguments.json:
        _print_json([_entry_content(kept) for kept in found])
        return 0
    for number, kept in enumerate(found):
        if number:
            print()
        for line in _whole(recording, kept):
            print(line)
    return 0


def _entries(recording: Recording, wanted: str) -> Iterator[Kept]:
    log, _, seq = wanted.rpartition(":")
    if log and seq.isascii() and seq.isdigit() and (kept := recording.entry(log, int(seq))):
        yield kept
        return
    for entries in timelines(recording, wanted):
        yield from (kept for kept in entries if kept.text("exchange") == wanted)


def _whole(recording: Recording, kept: Kept) -> Iterator[str]:
    yield f"{kept.name}  {kept.time}  {visible(kept.type)}"
    yield from body_lines(json.dumps(kept.content, ensure_ascii=False).encode())
    for name in kept.part("bodies"):
        title, lines = body(recording, kept, name)
        yield title
        yield from (f"  {line}" for line in lines)


def _table(found: Sequence[Session]) -> Iterator[str]:
    rows = [("SESSION", "SUBJECT", "STARTED", "EXCHANGES", "NOT COMPLETED")]
    for session in found:
        outcomes = [exchange.outcome for exchange in session.exchanges.values()]
        rest = {word: outcomes.count(word) for word in outcomes if word != "completed"}
        rows.append(
            (
                visible(session.id),
                visible(str(session.subject.get("id", "-"))),
                session.started_at[:19] + "Z",
                str(len(outcomes)),
                ", ".join(f"{count} {visible(word)}" for word, count in rest.items()),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _session_content(session: Session) -> dict[str, Any]:
    return {
        "id": session.id,
        "subject": session.subject.get("id"),
        "started_at": session.started_at,
        "exchanges": [asdict(exchange) for exchange in session.exchanges.values()],
    }


def _entry_content(kept: Kept) -> dict[str, Any]:
    return {"log": kept.log, **kept.content}


def _recording(arguments: argparse.Namespace) -> Recording:
    folder = arguments.recordings or configuration(arguments.config).recording.directory
    recording = Recording(folder)
    if not recording.exists:
        raise StateUnusable(f"There is no recording in {folder}.")
    return recording


def _print_json(content: object) -> None:
    print(json.dumps(content, indent=2))
