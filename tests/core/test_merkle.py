from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.merkle import (
    EMPTY_ROOT,
    Tree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

SIZES = range(1, 40)
LEAVES = [leaf_hash(b"leaf %d\n" % number) for number in range(40)]

# The inputs and roots that Certificate Transparency's implementations test themselves with.
CT_INPUTS = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
CT_ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def by_definition(leaves):
    """MTH of RFC 9162, section 2.1.1, word by word."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    both = by_definition(leaves[:split]) + by_definition(leaves[split:])
    return sha256(b"\x01" + both).digest()


def flipped(data, bit=0):
    return bytes([data[0] ^ (1 << bit), *data[1:]])


@pytest.mark.parametrize("size", CT_ROOTS)
def test_roots_are_those_that_other_implementations_have(size):
    assert root_of(map(leaf_hash, CT_INPUTS[:size])).hex() == CT_ROOTS[size]


def test_the_root_of_nothing_is_the_hash_of_nothing():
    assert Tree().root == EMPTY_ROOT == sha256(b"").digest()


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=70))
def test_a_growing_tree_has_the_root_of_the_definition_at_every_size(leaves):
    tree = Tree()
    for size, leaf in enumerate(leaves, 1):
        tree.append(leaf)
        assert tree.size == size
        assert tree.root == by_definition(leaves[:size])


@pytest.mark.parametrize("size", SIZES)
def test_every_leaf_is_shown_to_be_in_its_tree_and_nowhere_else(size):
    leaves = LEAVES[:size]
    root = root_of(leaves)
    for index, leaf in enumerate(leaves):
        proof = inclusion_proof(leaves, index)
        assert verify_inclusion(leaf, index, size, proof, root)
        assert not verify_inclusion(flipped(leaf), index, size, proof, root)
        assert not verify_inclusion(leaf, index, size, proof, flipped(root))
        assert not verify_inclusion(leaf, index, size, [*proof, leaf], root)
        others = [number for number in range(-1, size + 1) if number != index]
        assert not any(verify_inclusion(leaf, number, size, proof, root) for number in others)
        for step in range(len(proof)):
            broken = [*proof[:step], flipped(proof[step]), *proof[step + 1 :]]
            assert not verify_inclusion(leaf, index, size, broken, root)
            assert not verify_inclusion(leaf, index, size, proof[:step], root)


@pytest.mark.parametrize("size", SIZES)
def test_every_earlier_tree_is_shown_to_be_a_part_of_a_later_one(size):
    leaves = LEAVES[:size]
    root = root_of(leaves)
    for old_size in range(size + 1):
        old_root = root_of(leaves[:old_size])
        proof = consistency_proof(leaves, old_size)
        assert verify_consistency(old_size, old_root, size, root, proof)
        assert not verify_consistency(old_size, flipped(old_root), size, root, proof)
        assert not verify_consistency(old_size, old_root, size, root, [*proof, root])
        if 0 < old_size < size:
            assert not verify_consistency(old_size, old_root, size, flipped(root), proof)
            assert not verify_consistency(old_size, old_root, size, root, [])
        for step in range(len(proof)):
            broken = [*proof[:step], flipped(proof[step]), *proof[step + 1 :]]
            assert not verify_consistency(old_size, old_root, size, root, broken)


def test_a_tree_with_one_leaf_changed_is_not_consistent_with_the_old_one():
    changed = [leaf_hash(b"other\n"), *LEAVES[1:20]]
    proof = consistency_proof(changed, 7)
    assert not verify_consistency(7, root_of(LEAVES[:7]), 20, root_of(changed), proof)


def test_a_shrunk_tree_is_never_consistent():
    proof = consistency_proof(LEAVES[:9], 5)
    assert not verify_consistency(9, root_of(LEAVES[:9]), 5, root_of(LEAVES[:5]), proof)


def test_there_is_no_proof_about_what_is_not_there():
    with pytest.raises(IndexError, match="no leaf 3"):
        inclusion_proof(LEAVES[:3], 3)
    with pytest.raises(IndexError, match="no tree of size 4"):
        consistency_proof(LEAVES[:3], 4)
