"""Whether a store that is taken up again is believed: what it knew, and what the record shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from jitgate.values import Entry, GrantState, Mark


@dataclass(frozen=True, slots=True)
class Recovery:
    """What the record says of a store that was taken up again."""

    revision: int
    """The highest that either of them knows."""
    distrust: str | None
    """Why no grant of the store may be used any more; None if the store is the one last written."""
    spent: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Every use that the record shows, by its id: its grant, and what was sent."""
    answered: frozenset[str] = frozenset()
    """Those of them that the record shows as spent."""
    forgot: bool = False
    """Whether the store may be older than what it last knew: also of who was revoked, and of what
    was taken once."""
    revoked: Sequence[tuple[str, float]] = ()
    """The subjects that the record shows as revoked, and when: seconds since the epoch."""


REVOKED: Final = "subject.revoked"
"""The type of the entry about a subject that is believed no more."""

DOUBTED: Final = "doubted"
"""The run that a store is marked with while what it granted is being revoked: no run is called so.

A start that ends before that is done leaves it doubted, whatever has been written meanwhile."""


def recovery(mark: Mark, evidence: Sequence[Entry] | None) -> Recovery:
    """Compare what a store knew when it was last written with what the recording shows.

    A change is committed before it is recorded, and nothing is sent before it is recorded. So the
    record may lack the last changes, and never knows of one that the store does not.
    """
    entries = evidence or ()
    highest = max((_revision(entry) for entry in entries), default=0)
    doubted = mark.doubted or mark.run == DOUBTED  # whatever for
    older = highest > mark.revision
    return Recovery(
        revision=max(mark.revision, highest),
        distrust=_distrust(mark, evidence, older=older),
        forgot=mark.copied or doubted or older,
        spent={
            f"{entry.fields['use']}": (f"{entry.fields['grant']}", f"{entry.fields['fingerprint']}")
            for entry in _of_type(entries, "grant.spent")
        },
        answered=frozenset(
            f"{entry.fields['use']}"
            for entry in _of_type(entries, "grant.settled")
            if entry.fields["state"] == GrantState.SPENT.value
        ),
        revoked=[
            (f"{entry.fields['name']}", at)
            for entry in _of_type(entries, REVOKED)
            if isinstance(at := entry.fields.get("at"), int | float)
        ],
    )


def _distrust(mark: Mark, evidence: Sequence[Entry] | None, *, older: bool) -> str | None:
    if mark.moved:
        return "The state was moved or restored: its database is not where it was written."
    if mark.doubted or mark.run == DOUBTED:
        return "The state was not trusted at the last start, which did not come to its end."
    if mark.run is None:
        return None
    if evidence is None:
        return "The recording that the state folder was written with is not there."
    if older:
        return "The state folder is older than the recording."
    return None


def _revision(entry: Entry) -> int:
    revision = entry.fields.get("revision")
    return revision if isinstance(revision, int) else 0


def _of_type(entries: Iterable[Entry], kind: str) -> Iterable[Entry]:
    return (entry for entry in entries if entry.type == kind)
