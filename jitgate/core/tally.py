"""What is counted and timed on the way of a request, for whoever watches the gateway.

Labels are what the configuration or the code names: targets, rules, kinds of denial. Nothing that
an agent chooses is among them, so that no agent makes the counts grow, and no secret.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

MOST: Final = 5000
"""Series of one process: some hundred rules for some hundred targets. Labels of any more are called
`OTHER`: rules that come and go with reloads must not add up for ever."""

OTHER: Final = "other"

Series = tuple[str, ...]
"""A family's name, then the values of its labels."""

Row = list[float]
"""Of a counter its count; of a histogram the sum of all seconds, then how many fell into each
bucket, the last of which has no upper bound."""


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """What is counted, or timed where it has ``bounds``: the upper ones of its buckets, seconds."""

    name: str
    text: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


_QUICK: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""From what a rule takes to what a client waits for."""

_SLOW: Final = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""What people take."""

KNOCKS: Final = Family(
    "jitgate_knocks", "CONNECTs, by what came of each: admitted, or the denial", ("result",)
)
EXCHANGES: Final = Family(
    "jitgate_exchanges",
    "Exchanges that have ended: the target if it was known, what policy said, what came of it",
    ("target", "effect", "outcome"),
)
REFUSALS: Final = Family(
    "jitgate_refusals", "Exchanges that were refused, by the denial", ("target", "denial")
)
DECISIONS: Final = Family(
    "jitgate_decisions",
    "Decisions that were put on record, by the rule that made them",
    ("target", "effect", "rule"),
)
ANSWERS: Final = Family(
    "jitgate_answers", "Answers of targets, by the class of their status", ("target", "status")
)
CREDENTIALS: Final = Family(
    "jitgate_credentials",
    "Credentials that a call was given: issued for it, or reused",
    ("target", "how"),
)
MASKED: Final = Family(
    "jitgate_masked", "Places in answers that were hidden from agents", ("target", "what")
)
RELEASED: Final = Family("jitgate_released_bytes", "Bytes of bodies that agents got", ("target",))
LIMITS_HIT: Final = Family(
    "jitgate_limits_hit", "What was turned away because there was no room", ("limit",)
)
ENTRIES: Final = Family("jitgate_entries", "Entries that the recorder took, by type", ("type",))
RECORDER_FAILURES: Final = Family(
    "jitgate_recorder_failures", "Times that the recorder could not write"
)
EXCHANGE_SECONDS: Final = Family(
    "jitgate_exchange_seconds",
    "From a request's head to the end of its answer, the wait for people included",
    ("effect",),
    (*_QUICK, 300.0, 900.0, 3600.0),
)
STAGE_SECONDS: Final = Family(
    "jitgate_stage_seconds",
    "What each stage of an exchange took: identity, facts, policy, credential, connect, answer "
    "(from the request's first byte to the answer's head), body",
    ("stage",),
    _QUICK,
)
PEOPLE_SECONDS: Final = Family(
    "jitgate_people_seconds", "How long calls were held for people", (), _SLOW
)
DURABLE_SECONDS: Final = Family(
    "jitgate_record_durable_seconds",
    "From an entry's being taken to its being durable, of the oldest in each batch",
    (),
    _QUICK,
)
COMMIT_SECONDS: Final = Family(
    "jitgate_record_commit_seconds", "What writing and syncing a batch of entries took", (), _QUICK
)
SYNC_SECONDS: Final = Family(
    "jitgate_record_sync_seconds", "What the disk took to sync a file of the recording", (), _QUICK
)

FAMILIES: Final = (
    *(KNOCKS, EXCHANGES, REFUSALS, DECISIONS, ANSWERS, CREDENTIALS, MASKED, RELEASED, LIMITS_HIT),
    *(ENTRIES, RECORDER_FAILURES, EXCHANGE_SECONDS, STAGE_SECONDS, PEOPLE_SECONDS),
    *(DURABLE_SECONDS, COMMIT_SECONDS, SYNC_SECONDS),
)


class Tally:
    """Counts of one process. To count costs a fraction of a microsecond."""

    def __init__(self) -> None:
        # What has no labels is there from the start: it may be counted in a thread.
        self._rows: dict[tuple[Family, tuple[str, ...]], Row] = {
            (each, ()): _row(each) for each in FAMILIES if not each.labels
        }
        self._told: dict[Series, Row] = {}

    def add(self, family: Family, *labels: str, by: float = 1) -> None:
        """Count one more, or ``by``, which is never negative."""
        row = self._rows.get((family, labels))
        if row is None:
            row = self._new(family, labels)
        row[0] += by

    def took(self, family: Family, seconds: float, *labels: str) -> None:
        """Count what something took; where the clock was set back meanwhile, that is nothing."""
        row = self._rows.get((family, labels))
        if row is None:
            row = self._new(family, labels)
        if seconds > 0:
            row[0] += seconds
        row[1 + bisect_left(family.bounds, seconds)] += 1

    def timer(self, family: Family, *labels: str) -> Callable[[float], None]:
        """The same as `took` of these labels, for what is timed with each request."""
        row, bounds = self._new(family, labels), family.bounds

        def took(seconds: float) -> None:
            if seconds > 0:
                row[0] += seconds
            row[1 + bisect_left(bounds, seconds)] += 1

        return took

    def rows(self) -> Iterator[tuple[Series, Row]]:
        """All that was counted."""
        for (family, labels), row in self._rows.items():
            yield (family.name, *labels), row

    def news(self) -> Iterator[tuple[Series, Row]]:
        """What has changed since this was asked last, as it is now."""
        for series, row in self.rows():
            if self._told.get(series) != row:
                self._told[series] = now = row.copy()
                yield series, now

    def _new(self, family: Family, labels: tuple[str, ...]) -> Row:
        if len(self._rows) >= MOST:
            labels = (OTHER,) * len(labels)
        return self._rows.setdefault((family, labels), _row(family))


class Sums:
    """What another process has counted, over all its lives: each begins at nothing again."""

    def __init__(self) -> None:
        self._before: dict[Series, Row] = {}
        self._now: dict[Series, Row] = {}

    def hear(self, news: Iterable[tuple[Series, Row]]) -> None:
        """So far its counts are now."""
        self._now.update(news)

    def end(self) -> None:
        """Its life has ended."""
        self._before, self._now = summed(self._before.items(), self._now.items()), {}

    def rows(self) -> Iterable[tuple[Series, Row]]:
        """All that it has counted."""
        return summed(self._before.items(), self._now.items()).items()


def summed(*counts: Iterable[tuple[Series, Row]]) -> dict[Series, Row]:
    """What several have counted, together."""
    total: dict[Series, Row] = {}
    for each in counts:
        for series, row in each:
            before = total.get(series)
            total[series] = row if before is None else [a + b for a, b in zip(before, row)]  # noqa: B905 (rows of one series are as long)
    return total


def _row(family: Family) -> Row:
    return [0.0] * (len(family.bounds) + 2) if family.bounds else [0.0]
