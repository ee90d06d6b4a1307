"""`jitgate show`, for the eye or for a program; and how every such command gets at entries."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jitgate.cli.bar import Bar
from jitgate.cli.columns import hung, width
from jitgate.cli.configured import configuration
from jitgate.cli.contents import body
from jitgate.cli.telling import NOT_TOLD
from jitgate.core.visible import body_lines, visible
from jitgate.errors import StateUnusable
from jitgate.stores.reading import Kept, Recording, timelines


def show(arguments: argparse.Namespace) -> int:
    """Show entries whole, or a body as it is."""
    with reading(arguments) as recording:
        found = list(_entries(recording, arguments.entry))
    if not found:
        raise StateUnusable(_why_none(recording, arguments.entry))
    if arguments.body is not None:
        return _write_body(recording, found, arguments.body)
    if arguments.json:
        print_json([entry_content(kept) for kept in found])
        return 0
    for number, kept in enumerate(found):
        if number:
            print()
        for line in _whole(recording, kept):
            print(line)
    return 0


def _why_none(recording: Recording, wanted: str) -> str:
    log, _, seq = wanted.rpartition(":")
    if seq.isascii() and seq.isdigit() and recording.is_deleted(log, int(seq)):
        return f"The entry {visible(wanted)} was deleted by retention."
    return (
        f"No entry and no exchange is called {wanted!r} in this recording: give its whole id, as "
        "jitgate replay shows it."
    )


def _entries(recording: Recording, wanted: str) -> Iterator[Kept]:
    log, _, seq = wanted.rpartition(":")
    if log and seq.isascii() and seq.isdigit() and (kept := recording.entry(log, int(seq))):
        yield kept
        return
    for entries in timelines(recording, wanted):
        yield from (kept for kept in entries if kept.is_about(wanted))


def _write_body(recording: Recording, found: Sequence[Kept], name: str) -> int:
    """Write a body's bytes to standard output, which must be no terminal: that would obey them."""
    having = [kept for kept in found if name in kept.part("bodies")]
    if len(having) != 1:
        raise StateUnusable(f"Of these entries {len(having)} have a body {name!r}; one must.")
    if sys.stdout.isatty():
        raise StateUnusable("A terminal would obey what is in a body: send it to a file.")
    data = recording.body(having[0], name)
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    whole = having[0].part("bodies")[name]["of"]
    if len(data) == whole:
        return 0
    print(f"The first {len(data)} of {whole} bytes: no more is on record.", file=sys.stderr)
    return NOT_TOLD


def _whole(recording: Recording, kept: Kept) -> Iterator[str]:
    columns = width()
    yield from hung("", f"{kept.name}  {kept.time}  {visible(kept.type)}", columns)
    for line in body_lines(json.dumps(kept.content, ensure_ascii=False).encode()):
        yield from _in_columns(line, columns)
    for name in kept.part("bodies"):
        title, lines = body(recording, kept, name)
        yield from hung("", title, columns)
        for line in lines:
            yield from _in_columns(f"  {line}", columns)


def _in_columns(line: str, columns: int) -> Iterator[str]:
    """A line that keeps its margin where it goes on below."""
    text = line.lstrip(" ")
    yield from hung(" " * (len(line) - len(text)), text, columns)


def entry_content(kept: Kept) -> dict[str, Any]:
    """An entry for a program: its log's name, and all that its line has."""
    return {"log": kept.log, **kept.content}


@contextmanager
def reading(arguments: argparse.Namespace) -> Iterator[Recording]:
    """The recording; while all of it is read, how far that is. Raises `StateUnusable` for none."""
    folder = arguments.recordings or configuration(arguments.config).recording.directory
    bar = Bar()
    recording = Recording(folder, bar.passed)
    if not recording.exists:
        raise StateUnusable(f"There is no recording in {folder}.")
    try:
        yield recording
    finally:
        bar.clear()
    say_left_out(recording)


def say_left_out(recording: Recording) -> None:
    """Say on standard error what is not shown: what retention has deleted, and what is no log."""
    if deleted := recording.deleted:
        print(
            f"Retention has deleted {deleted} segment{'s' * (deleted != 1)}: what they told is not "
            "shown, and what is shown may lack its beginning or its end.",
            file=sys.stderr,
        )
    for log in recording.strangers:
        print(
            f"The site log does not name logs/{visible(log)}: it is no part of the recording, and "
            "left out. jitgate verify tells more.",
            file=sys.stderr,
        )


def print_json(content: object) -> None:
    """An answer for a program, in ASCII."""
    print(json.dumps(content, indent=2))


def unknown(wanted: str) -> StateUnusable:
    """That a recording has nothing of that name, and what would be one."""
    return StateUnusable(
        f"No session and no exchange is called {wanted!r} in this recording: give its whole id, as "
        "jitgate sessions shows it."
    )
