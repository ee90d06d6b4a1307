"""Making proofs from a recording, for people who have its public key and a checkpoint alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from jitgate.core.merkle import HASH_BYTES, consistency_proof, inclusion_proof, leaf_hash, root_of
from jitgate.core.note import NOTE_BYTES, Checkpoint, NoteInvalid, VerifierKey
from jitgate.core.proofs import Consistency, Inclusion, ProofInvalid, Step, head_in, head_of
from jitgate.stores.extent import parts
from jitgate.stores.keyring import keys_of
from jitgate.stores.layout import (
    CHECKPOINTS,
    NOTE,
    SITE,
    leaves_name,
    log_folder,
    note_name,
    numbered,
)
from jitgate.stores.opening import at_most, opened
from jitgate.stores.reading import Recording
from jitgate.stores.scanning import Counted

_Wanted = Callable[[Mapping[str, Any]], bool]


class Prover:
    """Proofs under one checkpoint: ``note``, or without it the newest in ``folder``.

    A recording is held against its checkpoint first: what does not fit it proves nothing. Every
    method raises `ProofInvalid` if it does not, and `OSError` for what cannot be read. In memory
    are the hashes of one log's entries at a time, about 70 bytes for each.
    """

    def __init__(self, folder: Path, key: VerifierKey, note: bytes | None = None) -> None:
        self._folder = folder
        self._recording = Recording(folder)
        self._note = self._newest() if note is None else note
        self._keys = keys_of(folder, key, self._note)
        self._signed = self._opened(self._note)

    def consistency(self, old_note: bytes) -> Consistency:
        """That the log only grew since ``old_note``, an older checkpoint of the same log."""
        old = self._opened(old_note)
        if old.size > self._signed.size:
            raise ProofInvalid(
                f"the older checkpoint is of {old.size} entries, "
                f"the newer one of {self._signed.size}"
            )
        leaves, _ = self._read(SITE, self._signed.size, self._signed.root, lambda _content: False)
        if root_of(leaves[: old.size]) != old.root:
            raise ProofInvalid("the recording is not what the older checkpoint stands for")
        return Consistency(old.size, tuple(consistency_proof(leaves, old.size)), self._note)

    def inclusion(self, log: str, seq: int) -> Inclusion:
        """That entry ``seq`` of ``log`` is under the checkpoint."""
        if log == SITE:
            signed = self._step(SITE, self._signed.size, self._signed.root, _is_number(seq))
            return Inclusion((self._found(signed, log, seq),), self._note)
        stands_for = _is_head_over(log, seq)
        head = self._step(SITE, self._signed.size, self._signed.root, stands_for)
        head = self._found(head, log, seq)
        _, size, root = head_in(head.line)
        entry = self._found(self._step(log, size, root, _is_number(seq)), log, seq)
        return Inclusion((entry, head), self._note)

    def _step(self, log: str, size: int, root: bytes, wanted: _Wanted) -> Step | None:
        """The step for the first entry that is wanted."""
        leaves, found = self._read(log, size, root, wanted)
        if found is None:
            return None
        seq, line = found
        return Step(log, seq, size, line, tuple(inclusion_proof(leaves, seq)))

    def _found(self, step: Step | None, log: str, seq: int) -> Step:
        if step is None:
            raise ProofInvalid(f"the checkpoint does not stand for an entry {seq} of {log}")
        return step

    def _read(
        self, log: str, size: int, root: bytes, wanted: _Wanted
    ) -> tuple[list[bytes], tuple[int, bytes] | None]:
        """The leaves of a log under its head, and the first entry that is wanted with its line."""
        leaves: list[bytes] = []
        found = None
        for leaf, line in islice(_leaves(self._recording, log), size):
            if found is None and line is not None and wanted(line.content):
                found = len(leaves), line.raw
            leaves.append(leaf)
        if len(leaves) != size or root_of(leaves) != root:
            raise ProofInvalid(
                f"the log {log} is not what was signed: `jitgate verify` tells where"
            )
        return leaves, found

    def _newest(self) -> bytes:
        sizes = numbered(self._folder / CHECKPOINTS, NOTE)
        if not sizes:
            raise ProofInvalid("the recording has no checkpoint")
        return at_most(self._folder / CHECKPOINTS / note_name(sizes[-1]), NOTE_BYTES + 1)

    def _opened(self, note: bytes) -> Checkpoint:
        try:
            return self._keys.open(note)
        except NoteInvalid as error:
            raise ProofInvalid(str(error)) from None


def _leaves(recording: Recording, log: str) -> Iterator[tuple[bytes, Counted | None]]:
    """The leaf of each entry, with its line unless retention has deleted that."""
    folder = log_folder(recording.folder, log)
    for part in parts(folder, recording.told(log)):
        if part.is_there:
            for line in recording.lines(log, only=part.first):
                yield leaf_hash(line.raw), line
        else:
            with opened(folder / leaves_name(part.first)) as file:
                while leaf := file.read(HASH_BYTES):
                    yield leaf, None


def _is_number(seq: int) -> _Wanted:
    return lambda content: content["seq"] == seq


def _is_head_over(log: str, seq: int) -> _Wanted:
    """Whether an entry of the site log has a head of ``log`` that entry ``seq`` is under."""

    def wanted(content: Mapping[str, Any]) -> bool:
        head = head_of(content)
        return head is not None and head[0] == log and head[1] > seq

    return wanted
