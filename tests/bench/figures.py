"""Figures: what was measured, its spread, its ratio to a peer's, and whether that is the goal."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

US = "jitgate"

Rounds = Mapping[str, Sequence[float]]
"""For each that was measured, its value in each round; the rounds of all go side by side."""


@dataclass(frozen=True)
class Goal:
    """A bound: on the ratio to a peer's value, or, where there is no peer, on the value."""

    bound: float
    peer: str | None = None
    least: bool = False
    """Whether it is the least that is wanted, and not the most."""

    def met(self, value: float) -> bool:
        return value >= self.bound if self.least else value <= self.bound

    def text(self, unit: str) -> str:
        sign = "≥" if self.least else "≤"
        return f"{sign} {self.bound:g} {unit if self.peer is None else f'× {self.peer}'}"


@dataclass(frozen=True)
class Row:
    """One line of the result: jitgate's value, beside one peer's or by itself."""

    name: str
    value: float
    unit: str
    spread: tuple[float, float]
    """The least and the greatest value of a round."""
    peer: str | None = None
    peer_value: float | None = None
    peer_spread: tuple[float, float] | None = None
    ratio: float | None = None
    ratio_spread: tuple[float, float] | None = None
    goal: str | None = None
    met: bool | None = None
    failed: str | None = None
    """Why the figure does not hold, if it does not; then no goal is met."""


def rows(
    name: str, unit: str, rounds: Rounds, goal: Goal | None, failed: str | None = None
) -> list[Row]:
    """The lines for what was measured: one for each peer, and one alone where the goal is alone.

    A goal whose peer was not measured stands in a line alone, and is neither met nor missed.
    """
    peers: list[str | None] = [each for each in rounds if each != US]
    if not peers or (goal is not None and goal.peer not in peers):
        peers.insert(0, None)
    return [_row(name, unit, rounds, peer, goal, failed) for peer in peers]


def _row(
    name: str, unit: str, rounds: Rounds, peer: str | None, goal: Goal | None, failed: str | None
) -> Row:
    own, theirs = rounds[US], () if peer is None else rounds[peer]
    ratios = [a / b for a, b in zip(own, theirs, strict=False)]
    row = Row(
        name=name,
        value=statistics.median(own),
        unit=unit,
        spread=_spread(own),
        peer=peer,
        peer_value=statistics.median(theirs) if theirs else None,
        peer_spread=_spread(theirs) if theirs else None,
        ratio=statistics.median(ratios) if ratios else None,
        ratio_spread=_spread(ratios) if ratios else None,
        failed=failed,
    )
    if goal is None or (goal.peer in rounds and goal.peer != peer) or (peer and not goal.peer):
        return row
    return replace(row, goal=goal.text(unit), met=_met(row, goal))


def _met(row: Row, goal: Goal) -> bool | None:
    if row.failed is not None:
        return False
    figure = row.value if goal.peer is None else row.ratio
    return None if figure is None else goal.met(figure)


def _spread(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)
