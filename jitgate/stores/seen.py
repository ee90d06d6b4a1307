"""What the site log tells while it is read at the start of a run."""

from __future__ import annotations

from collections.abc import Mapping

from jitgate.core.merkle import Tree
from jitgate.core.note import Checkpoint
from jitgate.core.rotation import Rotation
from jitgate.stores.archived import InArchives
from jitgate.stores.extent import Deleted
from jitgate.stores.layout import LOGS, is_log_name, lines_name


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
