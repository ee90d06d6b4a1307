"""`jitgate replay`: a session as it went, at once, in its own time, or while it goes on."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from jitgate.cli.columns import width
from jitgate.cli.records import entry_content, print_json, reading, unknown
from jitgate.cli.telling import NOT_TOLD
from jitgate.cli.timeline import after, heading, timeline, told
from jitgate.core.durations import WANTED, duration
from jitgate.core.visible import visible
from jitgate.errors import StateUnusable
from jitgate.stores.following import Follower, Withdrawn
from jitgate.stores.reading import Belongs, Kept, Recording, Sorter, timelines

LOOK_SECONDS: Final = 0.5
"""How often the files are looked at while they are followed: soon enough for an eye."""

Sleep = Callable[[float], None]


def replay(arguments: argparse.Namespace, sleep: Sleep = time.sleep) -> int:
    """Show a session's timeline, or that of one thing in it."""
    longest = _longest_pause(arguments)
    try:
        with reading(arguments) as recording:
            found = [] if arguments.follow else timelines(recording, arguments.id)
        if arguments.follow:
            _Followed(recording, arguments.id, in_json=arguments.json).go(sleep)
        elif not found:
            raise unknown(arguments.id)
        elif arguments.json:
            print_json([entry_content(kept) for entries in found for kept in entries])
        else:
            _show(recording, found, arguments.speed, lambda gap: sleep(min(gap, longest)))
    except KeyboardInterrupt:
        if not arguments.json:
            print()  # what the terminal shows of Ctrl-C has a line of its own
        return 0 if arguments.follow or arguments.speed else NOT_TOLD
    return 0


def _show(recording: Recording, found: list[list[Kept]], speed: float | None, wait: Sleep) -> None:
    for number, entries in enumerate(found):
        _say([""] if number else [])
        if speed is None:
            _say(timeline(recording, entries, width()))
        else:
            _play(recording, entries, lambda gap: wait(gap / speed))


def _longest_pause(arguments: argparse.Namespace) -> float:
    """In seconds. Raises `StateUnusable` for options that do not go together."""
    if arguments.speed is None:
        if arguments.pause is not None:
            raise StateUnusable("--pause goes with --speed.")
        return 0.0
    if not 0 < arguments.speed < float("inf"):
        raise StateUnusable("--speed takes a number above 0: 1 is as it happened.")
    if arguments.json:
        raise StateUnusable("--speed is for the eye, --json for a program: give one of them.")
    longest = _ENDLESS if arguments.pause is None else duration(arguments.pause)
    if longest is None:
        raise StateUnusable(f"--pause {arguments.pause!r}: {WANTED}.")
    return longest


_ENDLESS: Final = 366 * 86_400.0
"""Seconds: longer than anybody watches, and not too long to sleep."""


def _play(recording: Recording, entries: Sequence[Kept], wait: Sleep) -> None:
    """Tell each entry so long after the one before it as ``wait`` makes of the time between."""
    _say(heading(entries, width()))
    before = entries[0]
    for kept in entries:
        wait(max(after(kept, before) or 0.0, 0.0))
        _say(told(recording, kept, entries[0], width()))
        before = kept


class _Followed:
    """What is called ``wanted``, told while it is written, until it or the run has ended."""

    def __init__(self, recording: Recording, wanted: str, *, in_json: bool) -> None:
        self._recording = recording
        self._wanted = wanted
        self._in_json = in_json
        self._follower = Follower(recording.folder)
        self._sorter = Sorter()
        self._first: dict[tuple[str, str], Kept] = {}
        """The first entry of each session that was told."""
        self._now: tuple[str, str] | None = None
        """The session that was told of last."""
        self._over = False
        """Whether the exchange that is followed has its outcome."""

    def go(self, sleep: Sleep) -> None:
        """Tell everything, to the end; raises `StateUnusable` where nothing will come."""
        self._look()
        if not self._first:
            if self._follower.ended:
                raise unknown(self._wanted)
            self._remark(f"Nothing is on record yet of {visible(self._wanted)}.")
        while not (self._over or self._follower.ended):
            sleep(LOOK_SECONDS)
            self._look()
        self._look()  # what was written between the look and the end
        why = "the exchange has its outcome" if self._over else "the gateway's run has ended"
        self._remark(f"Closed: {why}.")

    def _look(self) -> None:
        for step in self._follower.grown():
            if isinstance(step, Withdrawn):
                self._remark(
                    f"The last {step.entries} entries of {step.log} could not be made durable: "
                    "they do not count, even where they were shown."
                )
                continue
            belongs = self._sorter.place(step)
            named = step.is_about(self._wanted)
            if belongs is not None and (named or belongs.session == self._wanted):
                self._tell(step, belongs)
                is_exchange = step.text("exchange") == self._wanted
                self._over = self._over or (is_exchange and step.type == "outcome")

    def _tell(self, kept: Kept, belongs: Belongs) -> None:
        key = belongs[:2]
        first = self._first.setdefault(key, kept)
        if self._in_json:
            print(json.dumps(entry_content(kept)), flush=True)
            return
        if key != self._now:
            _say([""] if self._now is not None else [])
            _say(heading([first], width()))
        self._now = key
        _say(told(self._recording, kept, first, width()))

    def _remark(self, text: str) -> None:
        """Say what is no entry, and no part of an answer for a program."""
        if self._in_json:
            print(text, file=sys.stderr, flush=True)
        else:
            _say(["", text])


def _say(lines: Sequence[str] | Iterator[str]) -> None:
    """Print lines as they come: whoever watches must not wait for a buffer to fill."""
    for line in lines:
        print(line)
    sys.stdout.flush()
