"""Taking stock of a log that another process, or an earlier one, has written."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jitgate.core.merkle import Tree, leaf_hash
from jitgate.errors import StateUnusable
from jitgate.stores.frames import BodyRef, FrameInvalid
from jitgate.stores.layout import bodies_name, lines_name, refuse_strangers, segments
from jitgate.stores.opening import length_of, opened
from jitgate.stores.scanning import Tail, counted, left_behind

LEFT_BYTES = 1024 * 1024 * 1024
"""Bytes that may stand behind what counts in a file. A crash leaves one batch, which memory held;
whoever can write there can make a file of any length, which takes hours to read."""

Visit = Callable[[dict[str, Any], Tree], None]
"""Is called for each entry that counts, with the tree that ends with it."""


@dataclass(frozen=True, slots=True)
class Stock:
    """What stands of a log: the tree of what counts, and what was left behind it."""

    tree: Tree = field(default_factory=Tree)
    last: str = ""
    """The time of the last entry."""
    abandoned: tuple[Tail, ...] = ()
    whole: bool = True
    """Whether the segments fit together; a crash cannot break that, a hand can."""


def take_stock(folder: Path, visit: Visit) -> Stock:
    """Read what stands on stable storage; raises `OSError`.

    It is a log that has not ended, or the site log: nothing of it was deleted lawfully.
    """
    refuse_strangers(folder)
    firsts = segments(folder)
    for first in firsts[-1:]:
        settle(folder / lines_name(first))
        settle(folder / bodies_name(first))
    tree, last, whole, first, size, bodies_size = Tree(), "", True, -1, 0, 0
    for line in counted(folder):
        if line.first != first:
            whole = whole and line.first == tree.size
            first, size, bodies_size = line.first, 0, 0
        size += len(line.raw)
        bodies_size = max(bodies_size, _bodies_end(line.content))
        last = line.content["time"]
        tree.append(leaf_hash(line.raw))
        visit(line.content, tree)
    whole = whole and firsts[-1:] in ([], [first])
    abandoned = tails(folder, first, size, bodies_size) if whole and firsts else ()
    return Stock(tree, last, abandoned, whole)


def tails(folder: Path, first: int, size: int, bodies_size: int) -> tuple[Tail, ...]:
    """What stands in a segment's files behind what counts; raises `OSError`.

    It is read from the disk, not from what memory keeps of a write that may have failed. Raises
    `StateUnusable` where that is more than any crash leaves.
    """
    forget(folder / lines_name(first))
    forget(folder / bodies_name(first))
    every = left_behind(folder, first, size, bodies_size)
    for left in every:
        if left.bytes > LEFT_BYTES:
            raise StateUnusable(
                f"{left.path} goes on for {left.bytes} bytes behind its last entry: no crash "
                f"leaves more than {LEFT_BYTES}. Find out who has put that there, and cut the "
                f"file after its first {left.offset} bytes."
            )
    return tuple(left.tail for left in every)


def settle(path: Path) -> None:
    """Bring what a dead process has written to stable storage, so that it can be counted."""
    if length_of(path) is not None:
        with opened(path) as file:
            os.fdatasync(file.fileno())
        forget(path)


def forget(path: Path) -> None:
    """Drop the clean pages that memory keeps of a file.

    After a failed sync they hold what was written while the disk may hold something else.
    """
    if length_of(path) is not None:
        with opened(path) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _bodies_end(content: dict[str, Any]) -> int:
    """Where the last frame of an entry ends; 0 if it names none in a form that can be read."""
    bodies = content.get("bodies", {})
    try:
        refs = [BodyRef.parse(ref) for ref in bodies.values()]
    except (AttributeError, FrameInvalid):
        return 0
    return max((ref.offset + ref.length for ref in refs), default=0)
