"""Proofs that can be checked without the recording: that a log only grew, that an entry is in it.

A consistency proof is written as C2SP's tlog-witness writes one for a witness. An inclusion proof
goes from an entry of a writer's log to the entry of the site log that has its head, and from there
to the checkpoint. Whoever checks one brings the public key, and nothing else is believed.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jitgate.core.merkle import HASH_BYTES, leaf_hash, verify_consistency, verify_inclusion
from jitgate.core.note import Checkpoint, NoteInvalid, VerifierKey, open_checkpoint
from jitgate.errors import JitgateError

INCLUSION = "jitgate-inclusion/1"
"""What the JSON of an inclusion proof says it is."""

SITE = "site"
"""What the site log is called in a proof; no writer's log has that name."""

DEEPEST = 63
"""Hashes in a path: a tree of 2^63 leaves needs no more, and C2SP takes no more."""

_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")


class ProofInvalid(JitgateError):
    """It is no proof, or it proves nothing; the message says why."""


@dataclass(frozen=True, slots=True)
class Consistency:
    """That the log of ``note``, a signed checkpoint, had ``old`` entries and only grew since."""

    old: int
    path: tuple[bytes, ...]
    note: bytes

    @property
    def text(self) -> bytes:
        """The proof as C2SP's tlog-witness has it in the body of add-checkpoint."""
        lines = [f"old {self.old}", *map(_base64, self.path), "", ""]
        return "\n".join(lines).encode() + self.note

    @classmethod
    def parse(cls, data: bytes) -> Consistency:
        """Read one; raises `ProofInvalid`."""
        head, blank, note = data.partition(b"\n\n")
        first, *rest = head.decode("ascii", "replace").split("\n")
        old = _OLD.fullmatch(first)
        if not blank or old is None:
            raise ProofInvalid("a consistency proof begins with 'old' and a size")
        return cls(int(old[1]), _path(rest), note)

    def check(
        self, key: VerifierKey, old_note: bytes, *before: VerifierKey
    ) -> tuple[Checkpoint, Checkpoint]:
        """The two checkpoints between which the log only grew; raises `ProofInvalid`.

        The older one was kept, and may be signed by a key ``before``; the newer one never.
        """
        old, new = _opened(old_note, key, *before), _opened(self.note, key)
        if old.size != self.old:
            raise ProofInvalid(
                f"the proof begins at {self.old} entries, the checkpoint has {old.size}"
            )
        if not verify_consistency(old.size, old.root, new.size, new.root, self.path):
            raise ProofInvalid(
                f"it does not show that {new.size} entries begin with the {old.size} signed before"
            )
        return old, new


@dataclass(frozen=True, slots=True)
class Step:
    """One entry's line (with its LF) as number ``seq`` of ``size`` in a log, and the path."""

    log: str
    seq: int
    size: int
    line: bytes
    path: tuple[bytes, ...]

    def leads_to(self, root: bytes) -> bool:
        """Whether the path leads from the entry to this root."""
        return verify_inclusion(leaf_hash(self.line), self.seq, self.size, self.path, root)


@dataclass(frozen=True, slots=True)
class Inclusion:
    """That an entry, the line of the first step, is under ``note``, a signed checkpoint."""

    steps: tuple[Step, ...]
    note: bytes

    @property
    def text(self) -> bytes:
        """The proof as JSON."""
        content = {
            "proof": INCLUSION,
            "steps": [
                {
                    "log": step.log,
                    "seq": step.seq,
                    "size": step.size,
                    "line": step.line.decode(),
                    "path": [_base64(each) for each in step.path],
                }
                for step in self.steps
            ],
            "checkpoint": self.note.decode(),
        }
        return (json.dumps(content, indent=2) + "\n").encode()

    @classmethod
    def parse(cls, data: bytes) -> Inclusion:
        """Read one; raises `ProofInvalid`."""
        try:
            content = json.loads(data)
            if content["proof"] != INCLUSION:
                raise ProofInvalid(f"it is no {INCLUSION}")
            steps = tuple(map(_step, content["steps"]))
            return cls(steps, content["checkpoint"].encode())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ProofInvalid("it is neither of the two kinds of proofs") from None

    def check(
        self, key: VerifierKey, kept: bytes | None = None, *before: VerifierKey
    ) -> Checkpoint:
        """The checkpoint that stands for the entry; raises `ProofInvalid`.

        Each line but the first is believed only because the next step shows that it is signed.
        Where a checkpoint was ``kept``, it must be that one: whoever has the key can sign two logs.
        That one alone may be signed by a key ``before``, which was retired since.
        """
        if not 1 <= len(self.steps) <= 2:
            raise ProofInvalid("a proof has a step for the site log, and at most one before it")
        checkpoint = _opened(self.note, key, *(before if kept is not None else ()))
        if kept is not None:
            _refuse_other(checkpoint, _opened(kept, key, *before))
        log, size, root = SITE, checkpoint.size, checkpoint.root
        for step in reversed(self.steps):
            if (step.log, step.size) != (log, size) or not step.leads_to(root):
                raise ProofInvalid(f"entry {step.seq} of {step.log} is not shown to be signed")
            if step is not self.steps[0]:
                log, size, root = head_in(step.line)
        return checkpoint


def head_of(content: Mapping[str, Any]) -> tuple[str, int, bytes] | None:
    """What an entry of the site log says of a writer's log: name, size, root; None if nothing."""
    log, size, root = (content.get(name) for name in ("log", "size", "root"))
    if content.get("type") not in ("log.head", "log.closed"):
        return None
    if not (isinstance(log, str) and type(size) is int and isinstance(root, str)):
        return None
    try:
        return log, size, bytes.fromhex(root)
    except ValueError:
        return None


def head_in(line: bytes) -> tuple[str, int, bytes]:
    """The same, of a line; raises `ProofInvalid` if it has no head of a writer's log."""
    try:
        head = head_of(json.loads(line))
    except (ValueError, AttributeError, RecursionError):
        head = None
    if head is None or head[0] == SITE:
        raise ProofInvalid("the entry of the site log has no head of a writer's log")
    return head


def _step(content: Mapping[str, Any]) -> Step:
    log, line = content["log"], content["line"].encode()
    seq, size = content["seq"], content["size"]
    if not (isinstance(log, str) and type(seq) is int and type(size) is int):
        raise TypeError
    return Step(log, seq, size, line, _path(content["path"]))


def _path(texts: Sequence[str]) -> tuple[bytes, ...]:
    if len(texts) > DEEPEST:
        raise ProofInvalid("the path is longer than any tree is deep")
    try:
        path = tuple(b64decode(text, validate=True) for text in texts)
    except ValueError:
        raise ProofInvalid("a hash of the path is not base64") from None
    if any(len(each) != HASH_BYTES for each in path) or list(map(_base64, path)) != list(texts):
        raise ProofInvalid(f"a hash of the path is not {HASH_BYTES} bytes in base64")
    return path


def _opened(note: bytes, *keys: VerifierKey) -> Checkpoint:
    """The checkpoint that one of the keys has signed; what is wrong is said for the first."""
    wrong = ""
    for key in keys:
        try:
            return open_checkpoint(note, key)
        except NoteInvalid as error:
            wrong = wrong or f"{error}"
    raise ProofInvalid(f"its checkpoint: {wrong}")


def _refuse_other(checkpoint: Checkpoint, kept: Checkpoint) -> None:
    if checkpoint.size != kept.size:
        raise ProofInvalid(
            f"it is under a checkpoint of {checkpoint.size} entries, and the one that was kept has "
            f"{kept.size}: only a consistency proof shows that one log has both"
        )
    if checkpoint.root != kept.root:
        raise ProofInvalid("its checkpoint is of another log than the one that was kept")


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
