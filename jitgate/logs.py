"""The gateway's own log: a line for each event, as text or as a JSON object, and no secret in it.

What a fault was raised with is nobody's to read: others' exceptions hold what they were given. So
of a failure stands here what kind it was and where, whatever logged it (`jitgate.errors.traced`).
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import orjson
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    PredicateResult,
    formatEvent,
    formatTime,
)
from zope.interface import implementer

from jitgate.errors import traced

TEXT, JSON = "text", "json"

LEVELS: Final = ("debug", "info", "warn", "error", "critical")

LONGEST: Final = 16 * 1024
"""Characters of one message: a line that a collector takes whole."""


def observer(out: TextIO, form: str = TEXT, level: str = "info") -> ILogObserver:
    """Writes what is of that level or above to ``out``, in that form."""
    least = LogLevelFilterPredicate(LogLevel.levelWithName(level))
    passes: list[Any] = [least] if level == "debug" else [_is_told, least]
    return FilteringLogObserver(_Lines(out, is_json=form == JSON), passes)


_TWISTEDS: Final = frozenset({"twisted", "log_legacy", "-"})
"""What the names of Twisted's own loggers begin with, and the name of what has none."""

_ENDS: Final = "twisted.internet.base"
"""What says that a signal came, and that the process ends."""


def _is_told(event: LogEvent) -> Any:
    """Not what Twisted says of its factories, connections and requests while nothing is wrong."""
    whose = f"{event.get('log_namespace', '-')}"
    is_twisteds = whose.partition(".")[0] in _TWISTEDS and whose != _ENDS
    is_wrong = event.get("log_level", LogLevel.info) > LogLevel.info
    return PredicateResult.no if is_twisteds and not is_wrong else PredicateResult.maybe


@implementer(ILogObserver)
class _Lines:
    """Writes events, a line each, at once."""

    def __init__(self, out: TextIO, *, is_json: bool) -> None:
        self._out = out
        self._line = _json if is_json else _text

    def __call__(self, event: LogEvent) -> None:
        try:
            self._out.write(self._line(event))
            self._out.flush()
        except (OSError, ValueError):
            return  # nobody listens any more, which ends nothing


def _json(event: LogEvent) -> str:
    at = datetime.fromtimestamp(event["log_time"], UTC)
    told = {
        "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": _level(event),
        "logger": f"{event.get('log_namespace', '-')}",
        "message": _message(event),
        "pid": os.getpid(),
    }
    return orjson.dumps(told).decode() + "\n"


def _text(event: LogEvent) -> str:
    where = f"{event.get('log_namespace', '-')}#{_level(event)}"
    message = _message(event).replace("\n", "\n\t")
    return f"{formatTime(event['log_time'])} [{where}] {message}\n"


def _level(event: LogEvent) -> str:
    level: Any = event.get("log_level", LogLevel.info)
    return str(level.name)


def _message(event: LogEvent) -> str:
    """What it says, and of a failure where and what kind; what cannot be encoded is escaped."""
    failure: Any = event.get("log_failure") or event.get("failure")
    # What came by Twisted's old way has the failure's own words in its text.
    is_old = event.get("isError") and "why" in event
    message = f"{event['why'] or ''}" if is_old else formatEvent(event)
    if failure is not None:
        how = traced(failure.value)
        message = f"{message}: {how}" if message else how
    return message[:LONGEST].encode("utf-8", "backslashreplace").decode()
