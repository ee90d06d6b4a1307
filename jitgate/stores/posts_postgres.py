"""Remembers where channels show access requests, in the database that several gateways share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from zope.interface import implementer

from jitgate.flow.recorder import InThread
from jitgate.interfaces import IPosts
from jitgate.stores.postgres_database import Database
from jitgate.values import Post

_COLUMNS = "channel, request, slot, place, shown, gave, due, over, document, revision"


@implementer(IPosts)
class PostgresPosts:
    """Posts in a table of ``database``; ``in_thread`` calls in that one's thread.

    It is open while the access store is. What any of the gateways shows, all of them know of.
    """

    def __init__(self, database: Database, *, in_thread: InThread) -> None:
        self._database = database
        self._in_thread = in_thread

    async def keep(self, post: Post) -> Post | None:
        kept = replace(post, revision=post.revision + 1)
        return kept if await self._in_thread(self._keep, kept) else None

    async def of(self, channel: str, request: str) -> Sequence[Post]:
        which = "channel = %s AND sha256(request) = sha256(%s)"
        found = await self._in_thread(self._read, which, channel, request.encode())
        return sorted(cast("Sequence[Post]", found), key=lambda each: each.slot)

    async def at(self, channel: str, place: str) -> Post | None:
        which = "channel = %s AND sha256(place) = sha256(%s) AND place <> ''"
        found = await self._in_thread(self._read, which, channel, place.encode())
        return next(iter(cast("Sequence[Post]", found)), None)

    async def behind(self, channel: str, by: float) -> Sequence[str]:
        return cast("Sequence[str]", await self._in_thread(self._behind, channel, by))

    async def forget(self) -> None:
        await self._in_thread(self._forget)

    def _keep(self, post: Post) -> bool:
        """With the revision that it is to have, in the place of the one before."""
        gave = None if post.grant is None else post.grant.encode()
        key = (post.channel, post.request.encode(), post.slot.encode())
        stands = (post.place.encode(), post.shown, gave, post.due, post.is_over)
        told = (*stands, post.document.encode(), post.revision)
        addition = """
            INSERT INTO post VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
        """
        change = """
            UPDATE post SET place = %s, shown = %s, gave = %s, due = %s, over = %s, document = %s,
            revision = %s WHERE channel = %s AND sha256(request) = sha256(%s)
            AND sha256(slot) = sha256(%s) AND revision = %s
        """
        with self._database.transaction() as connection:
            if post.revision == 1:
                done = connection.execute(addition, (*key, *told))
            else:
                done = connection.execute(change, (*told, *key, post.revision - 1))
            return done.rowcount == 1

    def _read(self, which: str, *sought: Any) -> Sequence[Post]:
        query = f"SELECT {_COLUMNS} FROM post WHERE {which}"  # noqa: S608 (constants alone)
        with self._database.transaction() as connection:
            rows: list[tuple[Any, ...]] = connection.execute(query.encode(), sought).fetchall()
        return [_post(*row) for row in rows]

    def _behind(self, channel: str, by: float) -> Sequence[str]:
        query = """
            SELECT id FROM kept WHERE kind = 'request' AND live AND NOT EXISTS (
                SELECT FROM post WHERE channel = %s AND sha256(request) = sha256(kept.id)
            )
            UNION
            SELECT request FROM post WHERE channel = %s AND NOT over AND (
                due <= %s
                OR shown < (SELECT max(revision) FROM kept
                            WHERE kind = 'request' AND sha256(id) = sha256(request))
                OR shown < (SELECT max(revision) FROM kept
                            WHERE kind = 'grant' AND sha256(id) = sha256(gave))
            )
        """
        with self._database.transaction() as connection:
            rows = connection.execute(query, (channel, channel, by)).fetchall()
        return sorted(key.decode() for (key,) in rows)

    def _forget(self) -> None:
        gone = """
            DELETE FROM post WHERE NOT EXISTS (
                SELECT FROM kept WHERE kind = 'request' AND sha256(id) = sha256(post.request)
            )
        """
        with self._database.transaction() as connection:
            connection.execute(gone)


def _post(  # noqa: PLR0917 (in the order of the columns)
    channel: str,
    request: bytes,
    slot: bytes,
    place: bytes,
    shown: int,
    gave: bytes | None,
    due: float | None,
    over: bool,
    document: bytes,
    revision: int,
) -> Post:
    told = channel, request.decode(), slot.decode(), place.decode(), shown
    grant = None if gave is None else gave.decode()
    return Post(*told, grant, due, over, document.decode(), revision)
