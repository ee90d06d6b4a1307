"""Where the index over a recording lives, and whether what is found there is still what was left.

Never in the recording, which is not touched by reading it. The index holds words of it, and can
hide what it should find: it stands in a folder that nobody else can write to, readable to us alone,
and one of which a byte has changed is built anew.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import file_digest, sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from jitgate.errors import StateUnusable
from jitgate.stores.findings import Progress
from jitgate.stores.index_search import IndexSearch, Wanted
from jitgate.stores.reading import Session
from jitgate.stores.record_index import IndexStale, RecordIndex

FOLDER_MODE: Final = 0o700

_SIDES: Final = (".sqlite", ".sqlite-journal", ".sha256")


class IndexPlace:
    """Keeps indexes in ``folder``, each under a name made of its recording's path.

    Raises `StateUnusable` where ``folder`` is in the recording, or others can write to it.
    """

    def __init__(self, folder: Path, recording: Path) -> None:
        self.unread = 0
        """How many entries have a body that could not be read, and so was not searched."""
        self._recording = recording.resolve()
        self._stem = folder / sha256(os.fsencode(self._recording)).hexdigest()[:32]
        if folder.resolve().is_relative_to(self._recording):
            raise StateUnusable(f"An index is no part of a recording: {folder} is in it.")
        try:
            folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            seen = folder.stat()
        except OSError as error:
            raise StateUnusable(f"No index can be kept in {folder}: {error.strerror}.") from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StateUnusable(f"No index can be kept in {folder}: it cannot be written to.")
        if seen.st_uid != os.geteuid() or seen.st_mode & 0o022:
            raise StateUnusable(
                f"Others may write to {folder}, and an index there could hide what it should find. "
                "Take a folder of your own."
            )

    def search(self, wanted: Wanted, *, anew: bool = False) -> Iterator[Progress | list[Session]]:
        """Bring the index up to date, telling how far that is; last, the sessions that are wanted.

        Built ``anew`` if that is asked for, or if what is there cannot be used. Raises
        `StateUnusable`, `OSError`.
        """
        with self._held():
            if not anew:
                try:
                    yield from self._searched(wanted)
                except (IndexStale, sqlite3.Error):
                    pass
                else:
                    return
            self._remove()
            try:
                yield from self._searched(wanted)
            except IndexStale:
                raise StateUnusable("The recording changes while it is read: try again.") from None
            except sqlite3.Error as error:
                raise StateUnusable(
                    f"No index can be made in {self._stem.parent}: {error}."
                ) from None

    def _searched(self, wanted: Wanted) -> Iterator[Progress | list[Session]]:
        file = self._stem.with_suffix(".sqlite")
        if not self._as_it_was_left():
            self._remove()
        with closing(_opened(file)) as database:
            index = RecordIndex(database, self._recording)
            for number, progress in enumerate(index.extend()):
                if not number:
                    self._stem.with_suffix(".sha256").unlink(missing_ok=True)
                yield progress
            self.unread = index.unread
            found = IndexSearch(database, self._recording).sessions(wanted)
        if not self._stem.with_suffix(".sha256").exists():
            self._leave()
        yield found

    @contextmanager
    def _held(self) -> Iterator[None]:
        """While one process works with the index, others wait for it."""
        lock = os.open(
            self._stem.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _as_it_was_left(self) -> bool:
        try:
            return self._stem.with_suffix(".sha256").read_text() == self._digest()
        except (OSError, UnicodeDecodeError):
            return False

    def _leave(self) -> None:
        prepared = self._stem.with_suffix(".new")
        prepared.touch(mode=0o600)
        prepared.write_text(self._digest())
        prepared.replace(self._stem.with_suffix(".sha256"))

    def _digest(self) -> str:
        with self._stem.with_suffix(".sqlite").open("rb") as file:
            return file_digest(file, sha256).hexdigest()

    def _remove(self) -> None:
        for suffix in _SIDES:
            self._stem.with_suffix(suffix).unlink(missing_ok=True)


def _opened(file: Path) -> sqlite3.Connection:
    """The database, for us alone. Whatever a crash leaves of it is found by its digest."""
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    database = sqlite3.connect(file)
    database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
    return database


def usual_place() -> Path:
    """Where a user's programs keep what can be made anew (XDG Base Directory Specification)."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if cache.startswith("/") else Path.home() / ".cache") / "jitgate"


@contextmanager
def place_for(recording: Path, named: Path | None) -> Iterator[tuple[IndexPlace, str | None]]:
    """The place that was named, else the usual one, else one for the time of the search.

    With it comes why the usual one is not used, if it is not. Raises `StateUnusable` for one that
    was named and cannot be used.
    """
    if named is not None:
        yield IndexPlace(named, recording), None
        return
    try:
        place = IndexPlace(usual_place(), recording)
    except (StateUnusable, RuntimeError) as error:
        with TemporaryDirectory(prefix="jitgate-index-") as folder:
            yield IndexPlace(Path(folder), recording), str(error)
        return
    yield place, None
