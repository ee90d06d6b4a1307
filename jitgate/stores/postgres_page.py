"""What is kept of what some changes are about, read at once and judged here, under the lock.

A change costs no trip to the server by itself: a thousand that come together cost as many as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jitgate.stores.access_documents import Columns, Row
from jitgate.stores.postgres_link import Connection
from jitgate.values import Changed

_Key = tuple[str, str]
_Slot = tuple[str | None, str | None]


class Page:
    """What is kept of what some changes are about; nobody changes it meanwhile."""

    def __init__(self, revisions: Mapping[_Key, int], slots: Mapping[_Slot, _Key]) -> None:
        self._revisions = dict(revisions)
        self._slots = dict(slots)
        self._held = {key: slot for slot, key in slots.items()}
        self._new: dict[_Key, tuple[Columns, int, bytes]] = {}

    def turn(self, rows: Sequence[Row], revision: int) -> bool:
        """Put every row in the place of the one before it, or change nothing."""
        found = {row.columns.key: row for row in rows}
        if len(found) < len(rows) or not self._fits(found):
            return False
        for key in found:
            self._slots.pop(self._held.pop(key, (None, None)), None)
        for key, row in found.items():
            self._revisions[key] = revision
            self._new[key] = row.columns, revision, row.document
            if row.columns.slot is not None:
                self._slots[row.columns.slot] = key
                self._held[key] = row.columns.slot
        return True

    def _fits(self, found: Mapping[_Key, Row]) -> bool:
        if any(row.revision != self._revisions.get(key, 0) for key, row in found.items()):
            return False
        slots = [row.columns.slot for row in found.values() if row.columns.slot is not None]
        holders = [self._slots[slot] for slot in slots if slot in self._slots]
        return len(set(slots)) == len(slots) and all(holder in found for holder in holders)

    def changed(self) -> Iterator[Changed]:
        """What others may wait for; a use is its own gateway's."""
        return (Changed(*key) for key in self._new if key[0] != "use")

    def write(self, connection: Connection) -> None:
        """First all that is replaced goes, so that what ends makes room for what begins."""
        if not self._new:
            return
        kinds, ids = _keys(self._new)
        connection.execute(
            "DELETE FROM kept USING unnest(%s::text[], %s::bytea[]) AS new (kind, id) "
            "WHERE kept.kind = new.kind AND sha256(kept.id) = sha256(new.id)",
            (kinds, ids),
        )
        rows = [_row(*each) for each in self._new.values()]
        connection.execute(
            """
            INSERT INTO kept SELECT * FROM unnest(
                %s::text[], %s::bytea[], %s::boolean[], %s::double precision[], %s::bytea[],
                %s::bytea[], %s::bytea[], %s::bigint[], %s::bytea[]
            )
            """,
            [list(column) for column in zip(*rows, strict=True)],
        )


def _row(columns: Columns, revision: int, document: bytes) -> tuple[Any, ...]:
    texts = (_data(each) for each in (columns.subject, columns.fingerprint, columns.under))
    key = columns.id.encode()
    return columns.kind, key, columns.live, columns.at, *texts, revision, document


def _data(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _keys(keys: Iterable[_Key]) -> tuple[list[str], list[bytes]]:
    found = list(keys)
    return [kind for kind, _ in found], [key.encode() for _, key in found]


def page_of(connection: Connection, columns: Sequence[Columns]) -> Page:
    """What is kept under their keys, and in the slots that they would hold."""
    revisions = connection.execute(
        """
        SELECT kept.kind, kept.id, revision FROM kept
        JOIN (SELECT DISTINCT * FROM unnest(%s::text[], %s::bytea[])) AS asked (kind, id)
        ON kept.kind = asked.kind AND sha256(kept.id) = sha256(asked.id)
        """,
        _keys(each.key for each in columns),
    ).fetchall()
    wanted = [each.slot for each in columns if each.slot is not None]
    slots = connection.execute(
        """
        SELECT kept.id, kept.subject, kept.fingerprint FROM kept
        JOIN (SELECT DISTINCT * FROM unnest(%s::bytea[], %s::bytea[])) AS asked (subject, print)
        ON sha256(kept.subject) = sha256(asked.subject)
        AND sha256(kept.fingerprint) = sha256(asked.print)
        WHERE kind = 'request' AND live
        """,
        [[_data(slot[at]) for slot in wanted] for at in (0, 1)],
    ).fetchall()
    return Page(
        {(kind, key.decode()): revision for kind, key, revision in revisions},
        {(one.decode(), other.decode()): ("request", key.decode()) for key, one, other in slots},
    )
