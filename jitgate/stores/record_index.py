"""An index over a recording, in SQLite with FTS5, and how it keeps up with the files.

It is derived from them and can be thrown away; `jitgate.stores.verifying` knows nothing of it.
`jitgate.stores.index_search` finds things by it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from heapq import merge
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

from jitgate.stores.extent import parts
from jitgate.stores.facets import UNREADABLE, facets, words
from jitgate.stores.findings import Progress
from jitgate.stores.layout import BODIES, lines_name, log_folder, runs
from jitgate.stores.lines import LineInvalid, read_line
from jitgate.stores.opening import length_of, opened
from jitgate.stores.reading import Belongs, Kept, Recording, Sorter
from jitgate.stores.scanning import Counted, Place, raw_lines

FORMAT: Final = 2
"""The index's form; one of another form is built anew."""

_SCHEMA: Final = """
CREATE TABLE segments (log TEXT, first INTEGER, offset INTEGER, seq INTEGER, digest TEXT,
    bodies INTEGER, bodies_digest TEXT, mark TEXT, PRIMARY KEY (log, first));
CREATE TABLE owners (key TEXT PRIMARY KEY, owner TEXT);
CREATE TABLE asked (access_request TEXT PRIMARY KEY, exchange TEXT);
CREATE TABLE sessions (id INTEGER PRIMARY KEY, name TEXT, owner TEXT, UNIQUE (name, owner));
CREATE TABLE exchanges (id INTEGER PRIMARY KEY, session INTEGER, name TEXT, first TEXT, last TEXT,
    UNIQUE (session, name));
CREATE TABLE entries (id INTEGER PRIMARY KEY, exchange INTEGER, log TEXT, segment INTEGER,
    offset INTEGER, length INTEGER);
CREATE INDEX of_exchange ON entries (exchange);
CREATE TABLE facets (name TEXT, value TEXT, exchange INTEGER,
    PRIMARY KEY (name, value, exchange)) WITHOUT ROWID;
CREATE TABLE unread (entry INTEGER PRIMARY KEY);
CREATE VIRTUAL TABLE texts USING fts5 (text, content='', tokenize='unicode61 remove_diacritics 2');
"""

_READ_AT_ONCE: Final = 1024 * 1024


class IndexStale(Exception):
    """The files are not what the index was made of: it has to be built anew."""


class _Segment(NamedTuple):
    log: str
    first: int
    path: Path
    mark: str
    """Changes whenever its files do, and sometimes when they do not."""


class _Known(NamedTuple):
    """How far a segment has been taken in, and the digests of its two files up to there."""

    offset: int = 0
    seq: int = 0
    digest: str = ""
    bodies: int = 0
    bodies_digest: str = ""
    mark: str = ""


class RecordIndex:
    """The index in ``database``, over the recording in ``folder``."""

    def __init__(self, database: sqlite3.Connection, folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._recording = Recording(folder)
        self._sorter = Sorter()

    def extend(self) -> Iterator[Progress]:
        """Take in what is new in the files; raises `IndexStale`, `OSError`, `sqlite3.Error`."""
        if not self._database.execute("SELECT 1 FROM sqlite_master").fetchone():
            self._database.executescript(f"{_SCHEMA} PRAGMA user_version = {FORMAT};")
        if self._database.execute("PRAGMA user_version").fetchone() != (FORMAT,):
            raise IndexStale
        changed = self._changed()
        if not changed and not self.unread:
            return
        self._sorter.owners.update(self._database.execute("SELECT key, owner FROM owners"))
        asked = self._database.execute("SELECT access_request, exchange FROM asked")
        self._sorter.asked.update(asked)
        total, done = sum(each.path.stat().st_size for each, _ in changed), 0
        yield Progress(0, total)
        logs = {log: list(each) for log, each in groupby(changed, lambda one: one[0].log)}
        for together in runs(logs):
            taken = (self._take_all(logs[log]) for log in together)
            for segment, line in merge(*taken, key=_time):
                self._add(segment.log, line)
                done += len(line.raw)
                yield Progress(done, total)
        self._keep_sorter()
        self._try_again()
        self._database.commit()

    @property
    def unread(self) -> int:
        """How many entries have a body that could not be read, and so is not searched."""
        (count,) = self._database.execute("SELECT count(*) FROM unread").fetchone()
        return int(count)

    def _changed(self) -> list[tuple[_Segment, _Known]]:
        """The segments that are to be read, each with how far it was."""
        rows = self._database.execute("SELECT * FROM segments")
        known = {row[:2]: _Known(*row[2:]) for row in rows}
        changed: list[tuple[_Segment, _Known]] = []
        for segment, following in _on_disk(self._recording):
            before = known.pop(segment[:2], _Known(seq=segment.first))
            if following is not None and before.seq > following:
                raise IndexStale  # what was taken in from behind there never counted
            if before.mark != segment.mark:
                changed.append((segment, before))
        if known:
            raise IndexStale  # a segment has gone
        return changed

    def _take_all(
        self, changed: Iterable[tuple[_Segment, _Known]]
    ) -> Iterator[tuple[_Segment, Counted]]:
        for segment, known in changed:
            for line in self._take(segment, known):
                yield segment, line

    def _take(self, segment: _Segment, known: _Known) -> Iterator[Counted]:
        """What a segment has that is new, and then how far it was read."""
        digest, place = sha256(), Place(segment.first, known.offset, known.seq)
        bodies = segment.path.with_suffix(BODIES)
        if known.mark:
            _feed(digest.update, segment.path, place.offset)
            if digest.hexdigest() != known.digest:
                raise IndexStale
            if _digest(bodies, known.bodies) != known.bodies_digest:
                raise IndexStale  # its words are in the index
        for line in self._recording.lines(segment.log, place, only=segment.first):
            digest.update(line.raw)
            place = line.end
            yield line
        self._database.execute(
            "INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *segment[:2],
                *_Known(place.offset, place.seq, digest.hexdigest(), *_whole(bodies), segment.mark),
            ),
        )

    def _add(self, log: str, line: Counted) -> None:
        kept = Kept(log, line.content)
        belongs = self._sorter.place(kept)
        if belongs is None:
            return
        exchange = self._exchange(belongs, kept.time)
        entry = self._database.execute(
            "INSERT INTO entries (exchange, log, segment, offset, length) VALUES (?, ?, ?, ?, ?)",
            (exchange, log, line.first, line.offset, len(line.raw)),
        ).lastrowid
        self._database.executemany(
            "INSERT OR IGNORE INTO facets VALUES (?, ?, ?)",
            [(name, storable(value), exchange) for name, value in facets(kept)],
        )
        text, is_whole = self._text(kept)
        if not is_whole:
            self._database.execute("INSERT INTO unread VALUES (?)", (entry,))
        self._database.execute("INSERT INTO texts (rowid, text) VALUES (?, ?)", (entry, text))

    def _try_again(self) -> None:
        """Take in the bodies that could not be read before, and now can.

        A text in the index cannot be replaced. The whole one stands under the entry's number with
        a minus.
        """
        rows = self._database.execute(
            "SELECT id, log, segment, offset FROM entries WHERE id IN (SELECT entry FROM unread)"
        )
        for entry, log, segment, offset in rows.fetchall():
            path = log_folder(self._folder, log) / lines_name(segment)
            raw = next(raw_lines(path, offset), b"")
            try:
                text, is_whole = self._text(Kept(log, read_line(raw)))
            except LineInvalid:
                raise IndexStale from None
            if is_whole:
                self._database.execute(
                    "INSERT INTO texts (rowid, text) VALUES (?, ?)", (-entry, text)
                )
                self._database.execute("DELETE FROM unread WHERE entry = ?", (entry,))

    def _exchange(self, belongs: Belongs, time: str) -> int:
        session = storable(belongs.session), storable(belongs.owner)
        self._database.execute(
            "INSERT OR IGNORE INTO sessions (name, owner) VALUES (?, ?)", session
        )
        (number,) = self._database.execute(
            "INSERT INTO exchanges (session, name, first, last) VALUES"
            " ((SELECT id FROM sessions WHERE name = ? AND owner = ?), ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET first = min(first, excluded.first),"
            " last = max(last, excluded.last) RETURNING id",
            (*session, storable(belongs.exchange or ""), time, time),
        ).fetchone()
        return int(number)

    def _text(self, kept: Kept) -> tuple[str, bool]:
        """The texts of an entry, and whether they are all: a body may be one that nobody reads."""
        found, is_whole = [value for _, value in facets(kept)], True
        try:
            found.extend(words(self._recording, kept))
        except UNREADABLE:
            is_whole = False
        return storable(_APART.join(found)), is_whole

    def _keep_sorter(self) -> None:
        self._database.execute("DELETE FROM owners")
        self._database.executemany("INSERT INTO owners VALUES (?, ?)", self._sorter.owners.items())
        self._database.executemany(
            "INSERT OR IGNORE INTO asked VALUES (?, ?)", self._sorter.asked.items()
        )


_APART: Final = " \ue000 "
"""Stands between two texts of an entry, so that nothing stands together over the end of one: to the
tokenizer a character for private use is a word."""


def storable(text: str) -> str:
    """The text as SQLite keeps it whole: without NUL, and without halves of surrogate pairs."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _time(taken: tuple[_Segment, Counted]) -> str:
    """When an entry was written."""
    return str(taken[1].content["time"])


def _on_disk(recording: Recording) -> Iterator[tuple[_Segment, int | None]]:
    """Every segment of the writers' logs, each with the number behind its last entry."""
    for log in recording.logs:
        inside = log_folder(recording.folder, log)
        for part in parts(inside, recording.told(log)):
            if part.is_there:
                path = inside / lines_name(part.first)
                yield _Segment(log, part.first, path, _mark(path)), part.stop


def _mark(path: Path) -> str:
    marks = []
    for each in (path, path.with_suffix(BODIES)):
        with suppress(OSError):
            seen = each.stat()
            marks += [seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns]
    return " ".join(map(str, marks))


def _feed(update: Any, path: Path, length: int) -> None:
    """Feed the first bytes of a file to a digest."""
    with opened(path) as file:
        while length and (piece := file.read(min(length, _READ_AT_ONCE))):
            update(piece)
            length -= len(piece)


def _digest(path: Path, length: int) -> str:
    """Of the first bytes of a file; of none where it cannot be read."""
    digest = sha256()
    with suppress(OSError):
        _feed(digest.update, path, length)
    return digest.hexdigest()


def _whole(path: Path) -> tuple[int, str]:
    """How long a file is, and the digest of all of it."""
    try:
        length = length_of(path) or 0
    except OSError:
        length = 0
    return length, _digest(path, length)
