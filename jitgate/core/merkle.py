"""The Merkle tree of RFC 9162, section 2.1, over leaf hashes: roots, and proofs of them.

Whoever knows a root of a given size can be shown that a leaf is in that tree (inclusion), and that
a later tree only added to it (consistency). Leaves come in as hashes, so that a line may be deleted
lawfully while its hash stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

HASH_BYTES = 32
"""The length of every hash here: SHA-256."""

EMPTY_ROOT = sha256().digest()
"""The root of a tree without leaves (RFC 9162, section 2.1.1)."""


def leaf_hash(line: bytes) -> bytes:
    """The hash of one leaf: of a log's line, its LF included."""
    return sha256(b"\x00" + line).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node over its two children."""
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree that grows at its right edge, kept as the roots of its perfect subtrees.

    There is one such root for each bit set in ``size``, so a tree of a million leaves is at most
    twenty hashes.
    """

    __slots__ = ("_peaks", "size")

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self.size = 0
        self._peaks: list[bytes] = []
        self.extend(leaves)

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash. Amortised, one node is hashed."""
        carry = self.size
        while carry & 1:
            leaf = node_hash(self._peaks.pop(), leaf)
            carry >>= 1
        self._peaks.append(leaf)
        self.size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add leaf hashes in order."""
        for leaf in leaves:
            self.append(leaf)

    @property
    def root(self) -> bytes:
        """The root over every leaf so far."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root of the tree over these leaf hashes."""
    return Tree(leaves).root


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The path from leaf ``index`` to the root over ``leaves`` (RFC 9162, section 2.1.3.1)."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"there is no leaf {index} among {len(leaves)}")
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    left, right = leaves[:split], leaves[split:]
    if index < split:
        return [*inclusion_proof(left, index), root_of(right)]
    return [*inclusion_proof(right, index - split), root_of(left)]


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Whether ``proof`` shows that ``leaf`` is number ``index`` of ``size`` under ``root``.

    The steps are those of RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size:
        return False
    node, last, found = index, size - 1, leaf
    for step in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            found = node_hash(step, found)
            node, last = _to_right_child(node, last)
        else:
            found = node_hash(found, step)
        node, last = node >> 1, last >> 1
    return last == 0 and found == root


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """What shows that the first ``old_size`` leaves are unchanged (RFC 9162, section 2.1.4.1)."""
    if not 0 <= old_size <= len(leaves):
        raise IndexError(f"there was no tree of size {old_size} before {len(leaves)}")
    return _subproof(leaves, old_size, known=True) if old_size else []


def verify_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether ``proof`` shows that the new tree only adds to the old one.

    The steps are those of RFC 9162, section 2.1.4.2; a tree without leaves is the start of all.
    """
    if old_size == new_size:
        return not proof and old_root == new_root
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT
    if not (0 < old_size < new_size and proof):
        return False
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for step in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            old, new = node_hash(step, old), node_hash(step, new)
            node, last = _to_right_child(node, last)
        else:
            new = node_hash(new, step)
        node, last = node >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root


def _split(size: int) -> int:
    """The largest power of two below ``size``: where RFC 9162 parts a tree."""
    return 1 << ((size - 1).bit_length() - 1)


def _subproof(leaves: Sequence[bytes], old_size: int, *, known: bool) -> list[bytes]:
    """SUBPROOF of RFC 9162; ``known``: whether the verifier has this subtree's root already."""
    if old_size == len(leaves):
        return [] if known else [root_of(leaves)]
    split = _split(len(leaves))
    left, right = leaves[:split], leaves[split:]
    if old_size <= split:
        return [*_subproof(left, old_size, known=known), root_of(right)]
    return [*_subproof(right, old_size - split, known=False), root_of(left)]


def _to_right_child(node: int, last: int) -> tuple[int, int]:
    """Climb to where ``node`` is a right child, past levels on which it has no sibling."""
    while node and not node & 1:
        node, last = node >> 1, last >> 1
    return node, last
