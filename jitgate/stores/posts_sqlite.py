"""Remembers in the state database where channels show access requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from zope.interface import implementer

from jitgate.flow.recorder import InThread
from jitgate.interfaces import IPosts
from jitgate.stores.access_database import Database
from jitgate.values import Post

_COLUMNS = "channel, request, slot, place, shown, gave, due, over, document, revision"


@implementer(IPosts)
class SqlitePosts:
    """Posts in a table of ``database``; ``in_thread`` calls in that one's thread.

    It is open while the access store is.
    """

    def __init__(self, database: Database, *, in_thread: InThread) -> None:
        self._database = database
        self._in_thread = in_thread

    async def keep(self, post: Post) -> Post | None:
        kept = replace(post, revision=post.revision + 1)
        return kept if await self._in_thread(self._keep, kept) else None

    async def of(self, channel: str, request: str) -> Sequence[Post]:
        which = "channel = ? AND request = ? ORDER BY slot"
        return cast("Sequence[Post]", await self._in_thread(self._read, which, channel, request))

    async def at(self, channel: str, place: str) -> Post | None:
        which = "channel = ? AND place = ? AND place <> ''"
        found = cast("Sequence[Post]", await self._in_thread(self._read, which, channel, place))
        return next(iter(found), None)

    async def behind(self, channel: str, by: float) -> Sequence[str]:
        return cast("Sequence[str]", await self._in_thread(self._behind, channel, by))

    async def forget(self) -> None:
        await self._in_thread(self._forget)

    def _keep(self, post: Post) -> bool:
        """With the revision that it is to have, in the place of the one before."""
        told = (post.place, post.shown, post.grant, post.due, post.is_over, post.document)
        key = (post.channel, post.request, post.slot)
        addition = """
            INSERT INTO post VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
        """
        change = """
            UPDATE post SET place = ?, shown = ?, gave = ?, due = ?, over = ?, document = ?,
            revision = ? WHERE channel = ? AND request = ? AND slot = ? AND revision = ?
        """
        with self._database.transaction() as connection:
            if post.revision == 1:
                done = connection.execute(addition, (*key, *told, 1))
            else:
                done = connection.execute(change, (*told, post.revision, *key, post.revision - 1))
            return done.rowcount == 1

    def _read(self, which: str, *sought: str) -> Sequence[Post]:
        query = f"SELECT {_COLUMNS} FROM post WHERE {which}"  # noqa: S608 (constants alone)
        with self._database.transaction() as connection:
            rows = connection.execute(query, sought).fetchall()
        return [_post(*row) for row in rows]

    def _behind(self, channel: str, by: float) -> Sequence[str]:
        query = """
            SELECT id FROM kept WHERE kind = 'request' AND live = 1 AND NOT EXISTS (
                SELECT 1 FROM post WHERE channel = :channel AND request = kept.id
            )
            UNION
            SELECT request FROM post WHERE channel = :channel AND over = 0 AND (
                due <= :by
                OR shown < (SELECT revision FROM kept WHERE kind = 'request' AND id = request)
                OR shown < (SELECT revision FROM kept WHERE kind = 'grant' AND id = gave)
            )
            ORDER BY 1
        """
        with self._database.transaction() as connection:
            rows = connection.execute(query, {"channel": channel, "by": by}).fetchall()
        return [key for (key,) in rows]

    def _forget(self) -> None:
        gone = """
            DELETE FROM post WHERE NOT EXISTS (
                SELECT 1 FROM kept WHERE kind = 'request' AND id = post.request
            )
        """
        with self._database.transaction() as connection:
            connection.execute(gone)


def _post(*row: Any) -> Post:
    """A row as it was kept, whose ``over`` is a number."""
    *told, over, document, revision = row
    values: Any = (*told, bool(over), document, revision)
    return Post(*values)
