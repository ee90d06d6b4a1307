"""Keeps access requests, grants and uses in a database, without blocking the reactor.

Group commit: the changes that come while one transaction is being written gather and go together
in the next. Each is judged by itself, and waits for one fsync and no longer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, cast

from twisted.internet.defer import Deferred
from zope.interface import implementer

from jitgate.errors import StoreDown
from jitgate.flow.recorder import InThread
from jitgate.interfaces import IAccessStore
from jitgate.stores.access_documents import FIRST, Kind, Place, Row, columns, document
from jitgate.values import AccessRequest, Changed, Grant, Mark, Stored, Use

QUEUE = 10_000
"""Changes that may wait: beyond that the disk is too slow to promise anything."""

PAGE = 100
"""Values that are read at a time where all of a kind are: 5 ms' work, for which a change waits."""

Heard = Callable[[Sequence[Changed]], None]
"""Hears what this process has changed in a store that others have open too."""


def untold(changes: Sequence[Changed]) -> None:
    """Nobody else has it open, or the store tells them itself."""


_Result = TypeVar("_Result")
_Fate = Deferred[int | None]


class Database(Protocol):
    """What blocks: each method does what the port's of its name promises, in the one thread."""

    def open(self) -> Mark: ...
    def mark(self, run: str, revision: int) -> None: ...
    def close(self) -> None: ...
    def commit(self, changes: Sequence[Sequence[Row]]) -> list[int | None]: ...
    def one(self, kind: type[Kind], key: str) -> Kind | None: ...
    def pending(self, subject: str, fingerprint: str) -> AccessRequest | None: ...
    def live(self, kind: type[Kind], after: Place, most: int) -> list[Kind]: ...
    def grants_of(self, subject: str) -> list[Grant]: ...
    def uses_of(self, grant: str) -> list[Use]: ...
    def forget(self, before: float) -> None: ...


@implementer(IAccessStore)
class ThreadedAccess:
    """A store in ``database``; ``in_thread`` calls in one thread, in order.

    ``changed`` is told what has changed, once that is durable.
    """

    def __init__(self, database: Database, *, in_thread: InThread, changed: Heard = untold) -> None:
        self._database = database
        self._in_thread = in_thread
        self._changed = changed
        self._waiting: list[tuple[list[Row], _Fate]] = []
        self._writer: Deferred[None] | None = None
        self._closed: str | None = "The access store has not been opened."

    async def open(self) -> Mark:
        mark = cast(Mark, await self._in_thread(self._database.open))
        self._closed = None
        return mark

    async def mark(self, run: str, revision: int) -> None:
        await self._call(self._database.mark, run, revision)

    async def close(self) -> None:
        was_closed, self._closed = self._closed, "The access store has been closed."
        if self._writer is not None:
            await _joined(self._writer)
        if was_closed is None:
            await self._in_thread(self._database.close)

    async def commit(self, values: Sequence[Stored]) -> int | None:
        self._check_open()
        if len(self._waiting) >= QUEUE:
            raise StoreDown("The access store cannot keep up.")
        rows = [Row(columns(value), value.revision, document(value)) for value in values]
        fate: _Fate = Deferred()
        self._waiting.append((rows, fate))
        self._wake()
        return await fate

    async def request(self, key: str) -> AccessRequest | None:
        return await self._call(self._database.one, AccessRequest, key)

    async def pending(self, subject: str, fingerprint: str) -> AccessRequest | None:
        return await self._call(self._database.pending, subject, fingerprint)

    async def requests(self) -> Sequence[AccessRequest]:
        return await self._live(AccessRequest)

    async def grant(self, key: str) -> Grant | None:
        return await self._call(self._database.one, Grant, key)

    async def grants(self, subject: str | None = None) -> Sequence[Grant]:
        if subject is None:
            return await self._live(Grant)
        return await self._call(self._database.grants_of, subject)

    async def use(self, key: str) -> Use | None:
        return await self._call(self._database.one, Use, key)

    async def uses(self) -> Sequence[Use]:
        return await self._live(Use)

    async def uses_of(self, grant: str) -> Sequence[Use]:
        return await self._call(self._database.uses_of, grant)

    async def forget(self, before: float) -> None:
        await self._call(self._database.forget, before)

    async def _live(self, kind: type[Kind]) -> list[Kind]:
        """All of a kind that may still change, page by page: changes come between."""
        found: list[Kind] = []
        after = FIRST
        while True:
            page = await self._call(self._database.live, kind, after, PAGE)
            found += page
            if len(page) < PAGE:
                return found
            last = columns(page[-1])
            after = last.at, last.id

    async def _call(self, work: Callable[..., _Result], *args: Any) -> _Result:
        self._check_open()
        return cast(_Result, await self._in_thread(work, *args))

    def _check_open(self) -> None:
        if self._closed is not None:
            raise StoreDown(self._closed)

    # --- the one writer

    def _wake(self) -> None:
        """Set it going, unless it is at work: it takes what has come meanwhile."""
        if self._writer is None:
            done: Deferred[None] = Deferred()
            self._writer = done
            Deferred.fromCoroutine(self._write()).addBoth(self._rested, done)

    def _rested(self, result: object, done: Deferred[None]) -> object:
        self._writer = None
        done.callback(None)
        return result

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            changes = [rows for rows, _ in batch]
            try:
                answer = await self._in_thread(self._database.commit, changes)
            except Exception as error:  # noqa: BLE001 (whatever it was, nothing is durable)
                for _, fate in batch:
                    fate.errback(_down(error))
            else:
                kept = cast(list[int | None], answer)
                self._tell(changes, kept)
                for (_, fate), revision in zip(batch, kept, strict=True):
                    fate.callback(revision)

    def _tell(self, changes: Sequence[Sequence[Row]], kept: Sequence[int | None]) -> None:
        made = (rows for rows, revision in zip(changes, kept, strict=True) if revision is not None)
        columns_made = (row.columns for rows in made for row in rows)
        told = [Changed(each.kind, each.id) for each in columns_made if each.kind in _TOLD]
        if told:
            self._changed(told)


_TOLD = frozenset({"request", "grant"})
"""What others hear of: of a use they do by its grant, which changes with it."""


def _down(error: Exception) -> StoreDown:
    """The fault for one of those who waited, whatever it was that happened to all of them."""
    told = f"{error}" if isinstance(error, StoreDown) else "The state database failed."
    fault = StoreDown(told)
    fault.__cause__ = error
    return fault


def _joined(writer: Deferred[None]) -> Deferred[None]:
    """A Deferred of one's own that fires with ``writer``, which others may wait for as well."""
    mine: Deferred[None] = Deferred()
    writer.addCallback(mine.callback)
    return mine
