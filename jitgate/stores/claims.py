"""What a log is held against when it is verified: what is said of it elsewhere, and by whom."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from jitgate.stores.extent import Deleted, Told
from jitgate.stores.lines import moment


@dataclass(slots=True)
class Claims:
    """What is known of a log from elsewhere: from checkpoints, or from the site log."""

    heads: dict[int, str] = field(default_factory=dict)
    """The root, in hex, that the log has at a size."""
    covered: int = 0
    """How many of its entries the checkpoint stands for."""
    told: Told = field(default_factory=Told)
    """Where it ends, and what of it was deleted by an entry that is signed."""
    unsigned: set[int] = field(default_factory=set)
    """The segments of which only an entry that is not signed says that they were deleted."""
    are_all: bool = True
    """Whether the site log could be read whole."""
    sizes: list[tuple[str, int]] = field(default_factory=list)
    """When it had how many entries, as far as that is on the site log."""
    ages: dict[int, float] = field(default_factory=dict)
    """Seconds that the last entry of a deleted segment was old at most, by its first one's number,
    and by the heads that were signed before."""

    def age(self, told: Deleted, time: str) -> None:
        """Note how old a segment was when it was deleted, at ``time`` at the latest.

        An entry that a head did not have yet is younger than that head. So nobody can say of what
        was moved away that it was old enough to be deleted.
        """
        without = [at for at, size in self.sizes if size < told.first + told.entries]
        begun = max(without, default=time)
        with suppress(ValueError):
            age = (moment(time) - moment(begun)).total_seconds()
            self.ages.setdefault(told.first, age)


Again = Callable[[], Claims]
"""What is known of the log by now: the site log may have grown since it was read."""
