"""What `jitgate sessions` is asked to find, and finding it."""

from __future__ import annotations

import argparse
import re
import sys
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from jitgate.cli.bar import Bar
from jitgate.core.durations import duration
from jitgate.errors import StateUnusable
from jitgate.stores.facets import FACETS
from jitgate.stores.findings import Progress
from jitgate.stores.index_place import place_for
from jitgate.stores.index_search import Wanted
from jitgate.stores.lines import timestamp
from jitgate.stores.reading import Session

_PHRASE: Final = re.compile(r'"([^"]*)"|([^\s"]+)')

_CLASS: Final = re.compile("[1-5][xX]{2}")

_LAST_SECOND: Final = 253_402_300_799
"""The last of the year 9999, as far as entries' times go."""


def wanted(arguments: argparse.Namespace, now: float) -> Wanted | None:
    """What is to be found; None for everything. Raises `StateUnusable` for what cannot be meant."""
    asked = ((name, getattr(arguments, name)) for name in FACETS)
    found = Wanted(
        facets={name: [*map(_glob, globs)] for name, globs in asked if globs},
        words=[words for text in arguments.text or () for words in _phrases(text)],
        since=None if arguments.since is None else moment_of(arguments.since, now),
        until=None if arguments.until is None else moment_of(arguments.until, now),
    )
    return None if found == Wanted(words=[]) else found


def search(recording: Path, arguments: argparse.Namespace, what: Wanted) -> list[Session]:
    """The sessions that are wanted; on standard error, how far it is and what could not be done."""
    found: list[Session] = []
    bar = Bar()
    with place_for(recording, arguments.index) as (place, why_not):
        if why_not is not None:
            print(f"{why_not} So this one is made anew; --index DIR keeps it.", file=sys.stderr)
        try:
            for step in place.search(what, anew=arguments.reindex):
                if isinstance(step, Progress):
                    bar.show(step.done, step.total)
                else:
                    found = step
        except KeyboardInterrupt:
            raise StateUnusable("Stopped: nothing was searched.") from None
        finally:
            bar.clear()
        if what.words and place.unread:
            print(
                f"Entries whose bodies cannot be read, and so are not searched: {place.unread}. "
                "jitgate verify tells more.",
                file=sys.stderr,
            )
    return found


def _glob(name: str) -> str:
    """A name as it is looked for; a class of statuses may be written as it is spoken: `4xx`."""
    return f"{name[0]}??" if _CLASS.fullmatch(name) else name


def _phrases(text: str) -> list[str]:
    """The words of a text; several in double quotes stand together."""
    found = [quoted or plain for quoted, plain in _PHRASE.findall(text)]
    if not found or not all(map(_has_word, found)):
        raise StateUnusable(f"--text {text!r} holds something in which there is no word.")
    return found


def _has_word(text: str) -> bool:
    return any(unicodedata.category(char)[0] in "LN" for char in text)


def moment_of(text: str, now: float) -> str:
    """A point in time as entries have it: an instant, the begin of a day, or so long ago.

    Raises `StateUnusable`.
    """
    ago = duration(text)
    try:
        seconds = _instant(text) if ago is None else now - ago
        return timestamp(min(max(seconds, 0), _LAST_SECOND))
    except (ValueError, OverflowError):
        raise StateUnusable(
            f"{text!r} is no time: give one such as 2026-11-24, 2026-11-24T02:06:00Z, or 2h for "
            "two hours ago. Without a zone it is UTC."
        ) from None


def _instant(text: str) -> float:
    instant = datetime.fromisoformat(text)
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
