"""Trees by the definition of RFC 9162, and proofs that cannot be forged."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthcode.audit.tree import (
    EMPTY_ROOT,
    LeafList,
    RightEdge,
    consistency_proof,
    inclusion_proof,
    is_consistent,
    is_included,
    node_hash,
    range_hash,
)

LEAVES = [hashlib.sha256(b"\x00%d" % number).digest() for number in range(300)]
TREE = LeafList(LEAVES)


def by_definition(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162 section 2.1.1, word for word."""
    if len(leaves) < 2:
        return leaves[0] if leaves else EMPTY_ROOT
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(by_definition(leaves[:split]), by_definition(leaves[split:]))


ROOTS = [by_definition(LEAVES[:size]) for size in range(301)]


def test_the_right_edge_has_the_root_of_the_definition_at_every_size() -> None:
    """Appending in O(log n) comes to the same root, also from an edge that was read again."""
    edge = RightEdge()
    assert edge.root() == EMPTY_ROOT
    for size, leaf in enumerate(LEAVES, start=1):
        completed = edge.append(leaf)
        assert edge.root() == ROOTS[size] == RightEdge.of(size, TREE).root() == range_hash(TREE, 0, size)
        for level, made in enumerate(completed, start=1):
            assert made == TREE.subtree(level, (size >> level) - 1)
    with pytest.raises(ValueError, match="2 roots"):
        RightEdge(3, [b""])


def test_every_proof_of_small_trees_holds_and_only_for_its_own_claim() -> None:
    """Inclusion and consistency for all sizes to 40; no other leaf, index, size or root has the same proof."""
    for size in range(1, 41):
        for index in range(size):
            path = inclusion_proof(TREE, index, size)
            assert is_included(LEAVES[index], index, size, path, ROOTS[size])
            assert not is_included(LEAVES[index], index, size, path, ROOTS[size + 1])
            for other in range(size):
                if other != index:
                    assert not is_included(LEAVES[other], index, size, path, ROOTS[size])
                    assert not is_included(LEAVES[index], other, size, path, ROOTS[size])
        for first in range(1, size + 1):
            path = consistency_proof(TREE, first, size)
            assert is_consistent(first, ROOTS[first], size, ROOTS[size], path)
            if first < size:
                assert not is_consistent(first, ROOTS[first + 1], size, ROOTS[size], path)
                assert not is_consistent(first, ROOTS[first], size, ROOTS[size + 1], path)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_proof_with_one_flipped_bit_or_another_length_is_refused(data: st.DataObject) -> None:
    """Whatever bit of a proof, leaf or root changes, and whatever is cut or added: refused."""
    size = data.draw(st.integers(2, 300))
    index = data.draw(st.integers(0, size - 1))
    first = data.draw(st.integers(1, size - 1))
    claims = (
        (inclusion_proof(TREE, index, size), [LEAVES[index], ROOTS[size]]),
        (consistency_proof(TREE, first, size), [ROOTS[first], ROOTS[size]]),
    )
    for kind, (path, ends) in enumerate(claims):

        def holds(path: list[bytes], low: bytes, high: bytes, kind: int = kind) -> bool:
            if kind == 0:
                return is_included(low, index, size, path, high)
            return is_consistent(first, low, size, high, path)

        assert holds(path, *ends)
        assert not holds(path[:-1], *ends)
        assert not holds([*path, LEAVES[0]], *ends)
        hashes = [*path, *ends]
        which = data.draw(st.integers(0, len(hashes) - 1))
        bit = data.draw(st.integers(0, 255))
        changed = (int.from_bytes(hashes[which]) ^ 1 << bit).to_bytes(32)
        hashes[which] = changed
        assert not holds(hashes[:-2], *hashes[-2:])
        if len(path) > 1:
            assert not holds(path[::-1], *ends)
        assert not holds([path[0][:31], *path[1:]], *ends)


def test_what_cannot_be_proved_is_refused() -> None:
    """No proof for a leaf beyond the tree, none from or to nothing, and none backwards."""
    for index, size in ((-1, 3), (3, 3), (0, 0)):
        with pytest.raises(ValueError, match="no leaf"):
            inclusion_proof(TREE, index, size)
        assert not is_included(LEAVES[0], index, size, [], LEAVES[0])
    for first, second in ((0, 3), (4, 3), (0, 0)):
        with pytest.raises(ValueError, match="no proof"):
            consistency_proof(TREE, first, second)
        assert not is_consistent(first, ROOTS[first], second, ROOTS[second], [])
    assert not is_consistent(3, ROOTS[3], 3, ROOTS[4], [])
    assert not is_consistent(3, ROOTS[3], 3, ROOTS[3], [LEAVES[0]])
