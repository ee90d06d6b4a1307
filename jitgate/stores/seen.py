"""What the site log tells while it is read at the start of a run, and whether the run may go on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jitgate.core.merkle import Tree
from jitgate.core.note import Checkpoint
from jitgate.core.rotation import Rotation
from jitgate.errors import StateUnusable
from jitgate.stores.archived import InArchives
from jitgate.stores.extent import Deleted
from jitgate.stores.layout import LOGS, SITE, is_log_name, lines_name
from jitgate.stores.opening import length_of
from jitgate.stores.stock import Stock, take_stock


class Seen:
    """Takes in its lines; ``signed`` is the checkpoint that it must agree with.

    So must it with the head that is ``remembered`` elsewhere: a size and a root.
    """

    def __init__(
        self, signed: Checkpoint | None, remembered: tuple[int, bytes] | None = None
    ) -> None:
        self.closed: dict[str, bool] = {}
        """For each writer log, whether its end is known."""
        self.signed_size = 0 if signed is None else signed.size
        self.signed_agrees = signed is None
        self._signed = signed
        self.remembered_agrees = remembered is None
        self._remembered = remembered
        self.archived = InArchives()
        self.unsigned: set[str] = set()
        """The lines that only entries behind the checkpoint say were deleted: they must be there,
        for whoever put such an entry there would have it signed now."""

        self.rotations: list[tuple[Rotation, bytes]] = []
        """Those of the signing key, each with the root of the tree that ends with it."""

    def entry(self, content: Mapping[str, object], tree: Tree) -> None:
        if content["type"] == "file.archived":
            self.archived.learn(content)
        if content["type"] == "segment.deleted" and tree.size > self.signed_size:
            deleted, log = Deleted.read(content), str(content.get("log"))
            if deleted is not None and is_log_name(log):
                self.unsigned.add(f"{LOGS}/{log}/{lines_name(deleted.first)}")
        rotation = Rotation.read(content)
        if rotation is not None:
            self.rotations.append((rotation, tree.root))
        if content["type"] in ("log.opened", "log.closed"):
            self.closed[str(content.get("log"))] = content["type"] == "log.closed"
        if self._signed is not None and tree.size == self._signed.size:
            self.signed_agrees = tree.root == self._signed.root
        if self._remembered is not None and tree.size == self._remembered[0]:
            self.remembered_agrees = tree.root == self._remembered[1]


def held_against(recording: Path, seen: Seen) -> Stock:
    """What stands of the site log, which ``seen`` takes in: it holds all that was ever signed.

    Two trees of one log are never signed. Raises `StateUnusable`, `OSError`.
    """
    folder = recording / SITE
    stock = take_stock(folder, seen.entry)
    if not stock.whole:
        raise StateUnusable(f"The site log in {folder} lacks entries.")
    if not seen.signed_agrees:
        raise StateUnusable(f"The site log in {folder} is not what its checkpoint signed.")
    if not seen.remembered_agrees:
        raise StateUnusable(
            f"The recording in {recording} was rolled back, or is another: its key has signed what "
            "it does not hold. Put the newest copy there, or a backup of state and recording "
            "together (jitgate restore)."
        )
    for path in sorted(recording / name for name in seen.unsigned):
        if length_of(path) is None:
            raise StateUnusable(f"No checkpoint has signed that {path} was deleted: it is gone.")
    return stock
