"""Whether all was as it should be: what grows, and what nothing explains.

Pure: it is given what was seen, and says what is wrong with that.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

MIB = 1024 * 1024

ENOUGH = 6
"""Looks at a process, after its first ones, from which one can tell whether it grows."""

WARMING = 0.2
"""Part of the looks at a process that are its beginning: what is kept for good is filled then."""

ROOM: Mapping[str, tuple[float, float]] = {
    "memory": (8 * MIB, 0.06),
    "descriptors": (6, 0.0),
    "deferreds": (40, 0.05),
    "coroutines": (40, 0.05),
    "objects": (5_000, 0.05),
}
"""By how much each may be more at the end than at the beginning: so much, or such a part of it.

What is kept for a while (connections to targets, answers, indexes) comes and goes; the least that
was seen in each third does not.
"""


@dataclass(frozen=True)
class Look:
    """What one process was found to have, when nothing was going on."""

    at: float
    """Seconds from the start."""
    pid: int
    what: Mapping[str, float]


@dataclass(frozen=True)
class Growth:
    """How one quantity of one process has changed from the first third to the last."""

    process: str
    quantity: str
    first: float
    last: float
    allowed: float

    @property
    def is_flat(self) -> bool:
        return self.last - self.first <= self.allowed


def growths(looks: Sequence[Look], names: Mapping[int, str]) -> list[Growth]:
    """How each process that was looked at often enough has changed."""
    found = []
    for pid in dict.fromkeys(look.pid for look in looks):
        own = [look for look in looks if look.pid == pid]
        own = own[max(2, int(WARMING * len(own))) :]
        if len(own) < ENOUGH:
            continue
        third = len(own) // 3
        for quantity, (most, part) in ROOM.items():
            if any(quantity not in look.what for look in own):
                continue
            first = min(look.what[quantity] for look in own[:third])
            last = min(look.what[quantity] for look in own[-third:])
            found.append(
                Growth(names.get(pid, f"{pid}"), quantity, first, last, max(most, part * first))
            )
    return found


# --- errors


@dataclass(frozen=True)
class Explains:
    """Which errors a fault explains: of calls, as ``KIND: ERROR``, and of lines of the log."""

    calls: str = r"(?!)"
    log: str = r"(?!)"
    record: bool = False
    """Whether ends of calls may be missing from the record: it could not be written."""


@dataclass(frozen=True)
class Answered:
    """The status that a call was answered with, and when."""

    path: str
    status: int
    at: float


@dataclass
class Window:
    """A fault, from its begin to its end and as long after as it may still be felt."""

    fault: str
    explains: Explains
    begun: float
    ended: float = float("inf")
    grace: float = 0.0

    def covers(self, begun: float, ended: float) -> bool:
        return self.begun <= ended and begun <= self.ended + self.grace


@dataclass(frozen=True)
class Trouble:
    """A call that did not go as its agent expected, or a line of the log."""

    begun: float
    ended: float
    text: str
    is_log: bool = False


@dataclass
class Explained:
    """What was explained, by which fault; and what was not."""

    by: dict[str, int] = field(default_factory=dict)
    unexplained: list[Trouble] = field(default_factory=list)


def explained(troubles: Iterable[Trouble], windows: Sequence[Window]) -> Explained:
    """Which fault explains which trouble: one that was under way, and may have such effects."""
    found = Explained()
    for trouble in troubles:
        for window in windows:
            pattern = window.explains.log if trouble.is_log else window.explains.calls
            if window.covers(trouble.begun, trouble.ended) and re.search(pattern, trouble.text):
                found.by[window.fault] = found.by.get(window.fault, 0) + 1
                break
        else:
            found.unexplained.append(trouble)
    return found


# --- the record


@dataclass
class Ends:
    """What the record says of each exchange."""

    statuses: dict[str, set[int]] = field(default_factory=dict)
    """The statuses of answers, by path."""
    decided: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Of each decision that has no outcome yet, by exchange: its log, and when it was made."""
    paths: dict[str, str] = field(default_factory=dict)


def lacking(
    ends: Ends,
    answered: Iterable[Answered],
    sent: Iterable[str],
    lost: Container[str],
    windows: Sequence[Window] = (),
) -> list[str]:
    """What was answered, sent or decided, and is not on record as that.

    ``lost`` are logs that ended with their worker. What was refused while the record could not be
    written is told the agent all the same; what was let through never is.
    """
    unwritten = [window for window in windows if window.explains.record]

    def is_excused(begun: float, ended: float) -> bool:
        return any(window.covers(begun, ended) for window in unwritten)

    found = [
        f"answered with {each.status}: {each.path}"
        for each in answered
        if each.status not in ends.statuses.get(each.path, ())
        and not (each.status >= 400 and is_excused(each.at, each.at))
    ]
    known = set(ends.paths.values())
    found += [f"sent: {path}" for path in sent if path not in known]
    found += [
        f"no outcome: {ends.paths[exchange]}"
        for exchange, (log, at) in ends.decided.items()
        if log not in lost and not is_excused(at, at + UNDER_WAY)
    ]
    return found


UNDER_WAY = 30.0
"""Seconds from a decision within which its call ends here, whatever it is."""
