"""What a recording tells of one exchange, put together from its entries.

Nothing here trusts that a recording is what was written: what has an odd type is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jitgate.errors import JitgateError, StateUnusable
from jitgate.stores.lines import moment
from jitgate.stores.reading import Fields, Kept, Recording

_LONGEST = 2.0**33
"""Seconds that no exchange takes: two hundred years."""


_LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
"""The last second that can be written: a float so near to the next would be rounded up to it."""


@dataclass(slots=True)
class Told:
    """One exchange, by the entries that tell of it; what is not on record is None."""

    id: str
    last: Kept
    """The last of its entries so far."""
    decision: Kept | None = None
    spent: Kept | None = None
    """That a grant was used for it."""
    outcome: Kept | None = None

    @property
    def session(self) -> str:
        return self.last.text("session") or ""

    @property
    def subject(self) -> Fields:
        return _part(self.decision, "subject")

    @property
    def operation(self) -> Fields:
        return _part(self.decision, "operation")

    @property
    def method(self) -> str | None:
        return text(self.operation, "method") or text(_part(self.decision, "request"), "method")

    @property
    def url(self) -> str | None:
        """The whole URL as far as it was known which host it is for."""
        return text(self.operation, "url")

    @property
    def target(self) -> str | None:
        """What the request's line asked for."""
        return text(_part(self.decision, "request"), "target")

    @property
    def status(self) -> int | None:
        return None if self.outcome is None else count(self.outcome.content.get("status"))

    @property
    def answer(self) -> list[tuple[str, str]]:
        """The header fields of the response, as the agent got them."""
        return _pairs(_part(self.outcome, "response"))

    @property
    def asked_with(self) -> list[tuple[str, str]]:
        """The header fields of the request, as the target got them; none if nothing was sent."""
        return _pairs(_part(self.outcome, "request"))

    @property
    def sent(self) -> int | None:
        """The bytes of the request's body."""
        return count(_part(self.outcome, "request").get("bytes"))

    @property
    def released(self) -> int | None:
        """The bytes of the response's body that were released."""
        return count(_part(self.outcome, "released").get("bytes"))

    @property
    def seconds(self) -> float | None:
        """How long it took in all."""
        return None if self.outcome is None else seconds(self.outcome.content.get("seconds"))

    def part(self, name: str) -> float | None:
        """How many seconds a part of it took (`jitgate.flow.timing`); None if it had none."""
        return seconds(_part(self.outcome, "timings").get(name))

    @property
    def trailers(self) -> list[tuple[str, str]]:
        """The trailers of the response, as the agent got them."""
        return _pairs(_part(self.outcome, "response"), "trailers")

    @property
    def ended(self) -> float:
        """When the last thing is told of it, in seconds since the epoch."""
        return instant(self.last)

    @property
    def started(self) -> float:
        """When it began, in seconds since the epoch; without an outcome, when it was decided."""
        if self.seconds is not None:
            return max(self.ended - self.seconds, 0.0)
        return instant(self.decision or self.last)

    @property
    def let_go(self) -> float | None:
        """When it was known whether it may go, people included."""
        known = self.spent or self.decision
        return None if known is None else instant(known)


class Exchanges:
    """Puts exchanges together from the entries of a log, in their order."""

    def __init__(self) -> None:
        self._open: dict[str, Told] = {}

    def add(self, kept: Kept) -> Told | None:
        """One more entry; returns the exchange that it is the outcome of."""
        key = kept.text("exchange")
        if key is None or kept.type not in _TELL:
            return None
        told = self._open.setdefault(key, Told(key, kept))
        told.last = kept
        setattr(told, _TELL[kept.type], kept)
        return self._open.pop(key) if kept.type == "outcome" else None

    def rest(self) -> list[Told]:
        """Those without an outcome, which nobody waits for any longer."""
        rest, self._open = list(self._open.values()), {}
        return rest


_TELL = {"decision": "decision", "grant.spent": "spent", "outcome": "outcome"}


def exchanges(entries: Iterable[Kept]) -> list[Told]:
    """The exchanges that the entries tell of, by when they began."""
    open_ones = Exchanges()
    found = [told for kept in entries if (told := open_ones.add(kept)) is not None]
    return sorted([*found, *open_ones.rest()], key=lambda told: (told.started, told.id))


def of_every_log(recording: Recording) -> Iterator[Told]:
    """All exchanges there are now, log by log, as they ended."""
    for log in recording.logs:
        open_ones = Exchanges()
        for kept in recording.entries(log):
            if (told := open_ones.add(kept)) is not None:
                yield told
        yield from open_ones.rest()


@dataclass(frozen=True, slots=True)
class KeptBody:
    """What is kept of a body: ``of`` is the length of what was kept from, in bytes."""

    data: bytes
    of: int

    @property
    def whole(self) -> bool:
        return len(self.data) == self.of


def kept_body(recording: Recording, told: Told, name: str) -> KeptBody | JitgateError | None:
    """A body of the exchange; None: none is kept; or why what is kept cannot be read."""
    if told.outcome is None or name not in told.outcome.part("bodies"):
        return None
    try:
        data = recording.body(told.outcome, name)
    except JitgateError as error:
        return error
    except OSError:
        return StateUnusable("its file cannot be read")
    return KeptBody(data, told.outcome.content["bodies"][name]["of"])


def _pairs(part: Fields, name: str = "headers") -> list[tuple[str, str]]:
    fields = part.get(name)
    return [
        (pair[0], pair[1])
        for pair in (fields if isinstance(fields, list) else [])
        if isinstance(pair, list) and len(pair) == 2 and all(type(each) is str for each in pair)
    ]


def instant(kept: Kept) -> float:
    """When an entry was made, in seconds since the epoch. Raises `StateUnusable`."""
    try:
        return min(moment(kept.time).timestamp(), _LAST)
    except ValueError:
        raise StateUnusable(f"The entry {kept.name} has a time that there is none of.") from None


def text(fields: Mapping[str, Any], name: str) -> str | None:
    """A field that is text; None where it is not there, or something else."""
    value = fields.get(name)
    return value if isinstance(value, str) else None


def count(value: object) -> int | None:
    """A number of things; None where it is none."""
    return value if type(value) is int and 0 <= value < 2**63 else None


def seconds(value: object) -> float | None:
    """A time that something took; None where it is none that anything takes."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < _LONGEST else None


def _part(kept: Kept | None, field: str) -> Fields:
    return {} if kept is None else kept.part(field)
