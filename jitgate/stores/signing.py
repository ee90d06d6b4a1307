"""What signs the site log: its checkpoints, by the key in force, and the rotation to another key.

Two keys may be there. The one ``before`` is in force as long as the log does not say that it was
rotated; the start then makes the rotation, or finishes one that something came between. A log that
says neither of them is in force is not signed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from jitgate.core.note import (
    NOTE_BYTES,
    Checkpoint,
    NoteInvalid,
    Signer,
    open_checkpoint,
    signed_by,
)
from jitgate.core.rotation import ROTATED
from jitgate.errors import StateUnusable
from jitgate.stores.last_signed import LastSigned
from jitgate.stores.layout import CHECKPOINTS, NOTE, note_name, numbered
from jitgate.stores.log import Log
from jitgate.stores.opening import at_most
from jitgate.stores.seen import Seen
from jitgate.stores.segment import Disk, place
from jitgate.values import Entry


class Signing:
    """Signs the site log of the recording in ``folder`` with ``key``, after the one ``before``.

    ``site`` is its name. What is signed is ``remembered`` elsewhere as well, if it is to be.
    """

    def __init__(  # noqa: PLR0917 (as they are read)
        self,
        folder: Path,
        site: str,
        key: Ed25519PrivateKey,
        before: Ed25519PrivateKey | None,
        disk: Disk,
        remembered: LastSigned | None,
    ) -> None:
        self.remembered = remembered or LastSigned(None)
        self._folder = folder
        self._disk = disk
        self._wanted = Signer(site, key)
        self._before = None if before is None else Signer(site, before)
        self.signer = self._wanted
        """The key in force."""
        self.size = 0
        """The size of the site log that was last signed."""
        self.newest: bytes | None = None
        """The checkpoint that this run has signed last."""
        self.rotated: list[int] = []
        """The sizes of the checkpoints that end with a rotation, over all runs."""
        self.handovers: list[bytes] = []
        """Those of this run."""
        self._at_hand: tuple[Checkpoint, Signer] | None = None
        """A rotation that is on the log, and signed by nobody yet."""

    @property
    def name(self) -> str:
        """The site's."""
        return self.signer.name

    # --- at the start

    def last(self) -> Checkpoint | None:
        """The newest checkpoint, which one of the keys must have signed; it says which is in force.

        Raises `StateUnusable`, `OSError`.
        """
        self.signer = self._wanted
        sizes = numbered(self._folder / CHECKPOINTS, NOTE)
        if not sizes:
            return None
        path = self.note(sizes[-1])
        note, whys = at_most(path, NOTE_BYTES + 1), []
        for signer in [self._wanted, *([self._before] if self._before else [])]:
            try:
                checkpoint = open_checkpoint(note, signer.verifier)
            except NoteInvalid as error:
                whys.append(f"{error}")
            else:
                self.signer = signer
                return checkpoint
        raise StateUnusable(
            f"The checkpoint {path} is not this site's: {whys[0]}. Another key takes over with "
            "recording.key_before, or jitgate keys rotate."
        )

    def take_up(self, seen: Seen) -> None:
        """Go on behind what the site log has told, all of which was held against `last`.

        A rotation that is on it and not signed is signed now. Raises `StateUnusable`, `OSError`.
        """
        self.size = seen.signed_size
        self.rotated = [each.size for each, _ in seen.rotations]
        if not seen.rotations:
            return
        told, root = seen.rotations[-1]
        if told.size <= self.size:
            if told.new != self.signer.verifier:
                raise StateUnusable(_other_key(told.new.id.hex(), told.size))
        elif (told.old, told.new) == (self.signer.verifier, self._wanted.verifier):
            self._at_hand = Checkpoint(self.name, told.size, root), self._wanted
            self._hand_over()
        else:
            raise StateUnusable(_other_key(told.new.id.hex(), told.size))
        retired = {each.old for each, _ in seen.rotations}
        if self._wanted.verifier in retired:
            raise StateUnusable(
                f"The key {self._wanted.verifier.id.hex()} was retired and signs no more: make a "
                "new one."
            )

    @property
    def due(self) -> Signer | None:
        """The key that is to take over, at the end of a start; None if it has."""
        return None if self.signer.verifier == self._wanted.verifier else self._wanted

    # --- from then on

    def sign(self, site: Log, *said: str) -> None:
        """Sign the log as it stands, if that was not done; raises `OSError`."""
        self._hand_over()
        if site.size != self.size:
            head = Checkpoint(self.name, site.size, bytes.fromhex(site.root), said)
            self._place(head, self.signer)

    def rotate(
        self, site: Log, to: Signer, now: float, by: Mapping[str, object], *said: str
    ) -> None:
        """Have another key take over; durable and signed by both when it returns.

        All before it is signed. Raises `OSError`; if the entry is on the log by then, it is
        signed with the next checkpoint.
        """
        keys = {"old": self.signer.verifier.text, "new": to.verifier.text}
        site.append([Entry(ROTATED, now, {**keys, **by})])
        self._at_hand = Checkpoint(self.name, site.size, bytes.fromhex(site.root), said), to
        self._hand_over()

    def note(self, size: int) -> Path:
        """Where the checkpoint of a size is."""
        return self._folder / CHECKPOINTS / note_name(size)

    def leading_to(self, note: Path) -> list[Path]:
        """The checkpoints that end with a rotation up to this one, and then it."""
        rotated = [self.note(size) for size in self.rotated if size <= int(note.stem)]
        return list(dict.fromkeys([*rotated, note]))

    def _hand_over(self) -> None:
        if self._at_hand is None:
            return
        head, to = self._at_hand
        note = self._place(head, self.signer, to)
        self.signer, self._at_hand = to, None
        self.rotated.append(head.size)
        self.handovers.append(note)

    def _place(self, head: Checkpoint, *signers: Signer) -> bytes:
        self.remembered.remember(head)  # first: what is signed may leave at once
        note = signed_by(head.text, *signers).encode()
        os.close(place(self._disk, self.note(head.size), note))
        self.size, self.newest = head.size, note
        return note


def _other_key(key: str, size: int) -> str:
    return (
        f"The site log says that from entry {size} on the key {key} signs it, and that key is not "
        "here: put it where recording.key says, and the one before as recording.key_before."
    )
