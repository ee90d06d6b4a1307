"""Retention for those who ask at the control socket, away from the thread that records.

Reading a segment takes a second, in which nothing must wait for the recorder. So that is done in a
thread of its own, and only the word on record goes the recorder's way.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from queue import Empty, Queue
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from jitgate.approvers.commands import Line, Refused
from jitgate.flow.recorder import InThread
from jitgate.stores.recordings import RecordFiles
from jitgate.stores.retention import Retention, Term
from jitgate.values import Entry

RECORDED_WITHIN = 30.0
"""Seconds for a word on record: a gateway that stops meanwhile does not wait for ever."""


class SiteLog:
    """The site log of ``records`` for another thread than ``recorder``, which writes it."""

    def __init__(self, records: RecordFiles, recorder: InThread, reactor: Any) -> None:
        self._records = records
        self._recorder = recorder
        self._reactor = reactor

    @property
    def ended(self) -> set[str]:
        """As `RecordFiles.ended`."""
        return self._records.ended

    def tell(self, entry: Entry) -> None:
        """As `RecordFiles.tell`; raises `OSError` too where that is not told in time."""
        done: Queue[object] = Queue(1)
        self._reactor.callFromThread(self._tell, entry, done)
        try:
            result = done.get(timeout=RECORDED_WITHIN)
        except Empty:
            raise OSError(errno.ETIMEDOUT, "the recorder does not answer") from None
        if isinstance(result, Failure):
            result.raiseException()

    def _tell(self, entry: Entry, done: Queue[object]) -> None:
        told = self._recorder(self._records.tell, entry)
        assert isinstance(told, Deferred)  # noqa: S101 (a worker's answer is one)
        told.addBoth(done.put)


class Retaining:
    """Does what is asked about ``retention``, one thing at a time."""

    def __init__(self, retention: Retention, reactor: Any) -> None:
        self._retention = retention
        self._reactor = reactor
        self._lock = DeferredLock()

    async def __call__(
        self, name: str, key: str, person: str, reason: str
    ) -> Sequence[Line] | Refused:
        """The lines that answer the command ``name``, or why it was not done."""
        does: dict[str, Callable[[], Sequence[Line]]] = {
            "retention": lambda: [_line(each) for each in self._retention.terms()],
            "hold": lambda: _names(self._retention.hold(key, person, reason)),
            "release": lambda: _names(self._retention.release(key, person, reason)),
            "delete-expired": lambda: _names(self._retention.delete_expired(person)),
        }
        try:
            done: Sequence[Line] = await self._lock.run(
                deferToThreadPool,
                self._reactor,
                self._reactor.getThreadPool(),
                self._do,
                does[name],
            )
        except OSError as error:
            why = error.strerror or type(error).__name__
            return Refused(f"{why[:1].upper()}{why[1:]}.")
        return done

    def _do(self, deed: Callable[[], Sequence[Line]]) -> Sequence[Line]:
        try:
            return deed()
        finally:
            self._retention.close()


def _line(term: Term) -> Line:
    until = None if term.until is None else datetime.fromtimestamp(term.until, UTC)
    return {
        "segment": term.name,
        "bytes": term.bytes,
        "until": None if until is None else until.isoformat(timespec="seconds"),
        "held": term.held,
        "expired": term.expired,
    }


def _names(names: Sequence[str]) -> Sequence[Line]:
    return [{"segment": name} for name in names]
