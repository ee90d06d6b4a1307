"""Which key signs a log's checkpoints of which size, where the key was rotated.

A rotation is an entry of the log that names the key before and the key after it. The checkpoint
that ends with this entry is signed by both; the key before signs no larger one, and the key after
no smaller one. So whoever trusts one of them can go over to the other, forward or back, and a key
that was retired is good for nothing that came later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from jitgate.core.note import (
    Checkpoint,
    NoteInvalid,
    VerifierKey,
    open_checkpoint,
    unsigned_checkpoint,
)

ROTATED = "key.rotated"
"""The type of the entry that tells of one."""


class Rotation(NamedTuple):
    """``old`` signs up to ``size`` entries, of which the last tells of this; then ``new`` does."""

    size: int
    old: VerifierKey
    new: VerifierKey

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Rotation | None:
        """What an entry of the site log tells; None if that is nothing."""
        seq, old, new = (content.get(name) for name in ("seq", "old", "new"))
        if content.get("type") != ROTATED or type(seq) is not int:
            return None
        if not (isinstance(old, str) and isinstance(new, str)):
            return None
        try:
            return cls(seq + 1, VerifierKey.parse(old), VerifierKey.parse(new))
        except NoteInvalid:
            return None

    def is_signed(self, note: bytes | None) -> bool:
        """Whether ``note`` is the checkpoint that ends with the entry, signed by both."""
        if note is None:
            return False
        try:
            return all(open_checkpoint(note, key).size == self.size for key in (self.old, self.new))
        except NoteInvalid:
            return False


class _Span(NamedTuple):
    """``key`` signs what has more entries than ``above``, and at most ``last`` (None: any)."""

    above: int
    last: int | None
    key: VerifierKey


class Keys:
    """The keys of one log, of which ``key`` came from elsewhere.

    ``told`` are the rotations that its entries tell of, in order, and ``note_at`` gives the
    checkpoint of a size, if there is one. A rotation that is not signed leads nowhere, nor does one
    to a key that was there before: what lies beyond has no key.
    """

    def __init__(
        self,
        key: VerifierKey,
        told: Iterable[Rotation] = (),
        note_at: Callable[[int], bytes | None] = lambda _size: None,
    ) -> None:
        self.given = key
        self._told = [*told]
        self.unsigned = [each for each in self._told if not each.is_signed(note_at(each.size))]
        """The rotations without the checkpoint that both keys have signed."""
        self._dead_ends = frozenset(self.unsigned)
        here = next((at for at, ends in enumerate(self._ends()) if key in ends), None)
        if here is None:
            self._spans = [_Span(0, None, key)]
        else:
            self._spans = [self._span(here, key)]
            self._spans += self._forward(here, key)
            self._spans = [*reversed([*self._backward(here, key)]), *self._spans]

    @property
    def newest(self) -> VerifierKey:
        """The last key that the given one leads to."""
        return self._spans[-1].key

    @property
    def all(self) -> list[tuple[VerifierKey, int | None]]:
        """The keys that the given one leads to, and up to which size each signs (None: any)."""
        return [(span.key, span.last) for span in self._spans]

    def at(self, size: int) -> VerifierKey | None:
        """The key that signs a checkpoint of ``size`` entries; None if nothing shows which."""
        for span in self._spans:
            if size > span.above and (span.last is None or size <= span.last):
                return span.key
        return None

    def open(self, note: bytes) -> Checkpoint:
        """The checkpoint in a note that the key of its size has signed; raises `NoteInvalid`."""
        size = unsigned_checkpoint(note).size
        key = self.at(size)
        if key is None:
            raise NoteInvalid(
                f"nothing shows whose key signs {size} entries: no checkpoint by both keys leads "
                f"there from the key {self.given.id.hex()}"
            )
        try:
            return open_checkpoint(note, key)
        except NoteInvalid:
            for span in self._spans:
                if span.key != key and _opens(note, span.key):
                    raise NoteInvalid(
                        f"it is signed by the key {span.key.id.hex()}, and of {size} entries only "
                        f"{key.id.hex()} may sign: the key was rotated"
                    ) from None
            raise

    def _ends(self) -> Iterable[tuple[VerifierKey | None, VerifierKey | None]]:
        """The key before the first rotation, those between two, and that after the last.

        Each as the rotations at its two ends say.
        """
        news = [None, *(each.new for each in self._told)]
        olds = [*(each.old for each in self._told), None]
        return zip(news, olds, strict=True)

    def _span(self, at: int, key: VerifierKey) -> _Span:
        above = self._told[at - 1].size if at > 0 else 0
        return _Span(above, self._told[at].size if at < len(self._told) else None, key)

    def _forward(self, at: int, key: VerifierKey) -> Iterable[_Span]:
        seen = {key, *(each.old for each in self._told[:at])}
        for each in self._told[at:]:
            if each.old != key or each.new in seen or each in self._dead_ends:
                return
            at, key = at + 1, each.new
            seen.add(key)
            yield self._span(at, key)

    def _backward(self, at: int, key: VerifierKey) -> Iterable[_Span]:
        seen = {key}
        for each in reversed(self._told[:at]):
            if each.new != key or each.old in seen or each in self._dead_ends:
                return
            at, key = at - 1, each.old
            seen.add(key)
            yield self._span(at, key)


def _opens(note: bytes, key: VerifierKey) -> bool:
    try:
        open_checkpoint(note, key)
    except NoteInvalid:
        return False
    return True
