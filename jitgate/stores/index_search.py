"""Finding sessions by an index: it says where to look, and the files say what is there."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from jitgate.core.globs import globs_matcher
from jitgate.stores.layout import lines_name, log_folder
from jitgate.stores.lines import LineInvalid, read_line
from jitgate.stores.opening import opened
from jitgate.stores.reading import Kept, Session, in_order
from jitgate.stores.record_index import IndexStale, storable

NO_STATUS: Final = "unknown"
"""The status of an exchange of which no outcome is on record."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What sessions are to be found by. Everything in it must be so of one exchange.

    ``facets`` maps names of `jitgate.stores.facets.FACETS` to globs of which one must fit, without
    regard to case; ``words`` are words, or several that must stand together; times are as entries
    have them, and ``until`` is no part of the span.
    """

    facets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    words: Sequence[str] = ()
    since: str | None = None
    until: str | None = None


class IndexSearch:
    """Searches the index in ``database``, over the recording in ``folder``."""

    def __init__(self, database: sqlite3.Connection, folder: Path) -> None:
        self._database = database
        self._folder = folder

    def sessions(self, wanted: Wanted) -> list[Session]:
        """The sessions with an exchange that is as wanted, and of them those exchanges alone.

        What happened in a session outside all exchanges counts as one without a name. Raises
        `IndexStale` where the files do not hold what the index leads to.
        """
        found: dict[tuple[int, str], set[str]] = {}
        for session, name, exchange in self._found(wanted):
            found.setdefault((session, name), set()).add(exchange)
        return in_order(self._read(*key, exchanges) for key, exchanges in found.items())

    def _found(self, wanted: Wanted) -> Iterator[tuple[int, str, str]]:
        """The exchanges that are as wanted, each with its session's number and name."""
        conditions: list[str] = []
        values: list[Any] = []
        for name, globs in wanted.facets.items():
            fitting, none = self._fitting(name, globs)
            conditions.append(" OR ".join([_HAS_FACET, _HAS_NO_STATUS][: 1 + none]))
            values += [name, json.dumps(fitting)]
        for each in wanted.words:
            conditions.append(_HAS_WORDS)
            values.append(phrase(each))
        if wanted.since is not None:
            conditions.append("x.last >= ?")
            values.append(wanted.since)
        if wanted.until is not None:
            conditions.append("x.first < ?")
            values.append(wanted.until)
        every = "SELECT s.id, s.name, x.name FROM exchanges x JOIN sessions s ON s.id = x.session"
        query = " AND ".join([f"{every} WHERE true", *(f"({each})" for each in conditions)])
        yield from self._database.execute(query, values)

    def _fitting(self, name: str, globs: Sequence[str]) -> tuple[list[str], bool]:
        """The values of a facet that a glob fits, and whether having none fits as well."""
        fits = globs_matcher([storable(glob) for glob in globs], re.IGNORECASE)
        rows = self._database.execute("SELECT DISTINCT value FROM facets WHERE name = ?", (name,))
        none = name == "status" and fits(NO_STATUS) is not None
        return [value for (value,) in rows if fits(value)], none

    def _read(self, number: int, name: str, exchanges: set[str]) -> Session:
        """A session out of the files, with these exchanges."""
        rows = self._database.execute(
            "SELECT log, segment, offset, length FROM entries"
            " WHERE exchange IN (SELECT id FROM exchanges WHERE session = ?) ORDER BY id",
            (number,),
        )
        session: Session | None = None
        for kept in self._at(rows):
            if storable(kept.text("session") or "") != name:
                raise IndexStale
            session = session or Session(kept.text("session") or "", kept.time)
            session.add(kept)
        if session is None:
            raise IndexStale
        known = session.exchanges.items()
        session.exchanges = {key: value for key, value in known if storable(key) in exchanges}
        return session

    def _at(self, rows: Iterator[tuple[str, int, int, int]]) -> Iterator[Kept]:
        """The entries at these places in the files."""
        for log, segment, offset, length in rows:
            path = log_folder(self._folder, log) / lines_name(segment)
            try:
                with opened(path) as file:
                    file.seek(offset)
                    yield Kept(log, read_line(file.read(length)))
            except (OSError, LineInvalid) as error:
                raise IndexStale from error


_HAS_FACET: Final = (
    "x.id IN (SELECT exchange FROM facets WHERE name = ?"
    " AND value IN (SELECT value FROM json_each(?)))"
)

_HAS_NO_STATUS: Final = (
    "x.name <> '' AND x.id NOT IN (SELECT exchange FROM facets WHERE name = 'status')"
)

_HAS_WORDS: Final = (
    "x.id IN (SELECT e.exchange FROM texts JOIN entries e ON e.id = abs(texts.rowid)"
    " WHERE texts MATCH ?)"
)


def phrase(words: str) -> str:
    """Words that must stand together, as FTS5 takes them: nothing in them is a part of its syntax.

    A ``*`` at the end is for whatever the last word goes on with.
    """
    stem = words.rstrip("*")
    quoted = storable(stem).replace('"', '""')
    return f'"{quoted}"{"*" if stem != words else ""}'
