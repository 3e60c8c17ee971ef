"""The Merkle tree of RFC 9162 section 2.1 over SHA-256: root, right edge, inclusion and consistency proofs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

__all__ = [
    "EMPTY_ROOT",
    "LeafList",
    "RightEdge",
    "Subtrees",
    "consistency_proof",
    "inclusion_proof",
    "is_consistent",
    "is_included",
    "node_hash",
    "range_hash",
]

EMPTY_ROOT = hashlib.sha256(b"").digest()
_NODE = b"\x01"


class Subtrees(Protocol):
    """Gives the root of a complete subtree: leaves index * 2^level to (index + 1) * 2^level, the last one excluded."""

    def subtree(self, level: int, index: int) -> bytes: ...


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(_NODE + left + right).digest()


class LeafList:
    """The subtrees of leaves in memory."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._leaves = leaves

    def subtree(self, level: int, index: int) -> bytes:
        hashes = self._leaves[index << level : (index + 1) << level]
        while len(hashes) > 1:
            hashes = [node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
        return hashes[0]


class RightEdge:
    """The roots of the complete subtrees of a growing tree, from the left: all that appending needs."""

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        """`roots`: one for each bit of `size`, the greatest subtree first."""
        if size < 0 or size.bit_count() != len(roots):
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} roots at its right edge")
        self.size = size
        self._roots = list(roots)

    @classmethod
    def of(cls, size: int, subtrees: Subtrees) -> RightEdge:
        """The edge of a tree whose subtrees are known."""
        roots, start = [], 0
        for level in reversed(range(size.bit_length())):
            if size >> level & 1:
                roots.append(subtrees.subtree(level, start >> level))
                start += 1 << level
        return cls(size, roots)

    def append(self, leaf: bytes) -> Sequence[bytes]:
        """The roots of the subtrees that this leaf completed, by level from 1."""
        completed: list[bytes] = []
        made, rest = leaf, self.size
        while rest & 1:
            made = node_hash(self._roots.pop(), made)
            completed.append(made)
            rest >>= 1
        self._roots.append(made)
        self.size += 1
        return completed

    def root(self) -> bytes:
        """The root of the tree."""
        if not self._roots:
            return EMPTY_ROOT
        *others, made = self._roots
        for left in reversed(others):
            made = node_hash(left, made)
        return made


def range_hash(subtrees: Subtrees, start: int, end: int) -> bytes:
    """MTH(D[start:end]) of a range as the proofs cut them: `start` is a multiple of a power of two ≥ its length."""
    length = end - start
    if length & (length - 1) == 0:
        level = length.bit_length() - 1
        return subtrees.subtree(level, start >> level)
    half = _split(length)
    return node_hash(
        subtrees.subtree(half.bit_length() - 1, start // half), range_hash(subtrees, start + half, end)
    )


def inclusion_proof(subtrees: Subtrees, index: int, size: int) -> list[bytes]:
    """PATH(index, D_size). Raises ValueError unless 0 ≤ index < size."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(range_hash(subtrees, middle, end))
            end = middle
        else:
            path.append(range_hash(subtrees, start, middle))
            start = middle
    return path[::-1]


def consistency_proof(subtrees: Subtrees, first: int, second: int) -> list[bytes]:
    """PROOF(first, D_second): empty if both are equal. Raises ValueError unless 0 < first ≤ second."""
    if not 0 < first <= second:
        raise ValueError(f"there is no proof from {first} to {second} leaves")
    path: list[bytes] = []
    start, end = 0, second
    is_known = True  # the smaller tree is the subtree that is left: its root need not be sent
    while first != end:
        middle = start + _split(end - start)
        if first <= middle:
            path.append(range_hash(subtrees, middle, end))
            end = middle
        else:
            path.append(range_hash(subtrees, start, middle))
            start, is_known = middle, False
    if not is_known:
        path.append(range_hash(subtrees, start, end))
    return path[::-1]


def is_included(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether `path` proves that `leaf` is the leaf `index` of the tree (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    place, last, made = index, size - 1, leaf
    for other in path:
        if last == 0 or len(other) != len(EMPTY_ROOT):
            return False
        if place & 1 or place == last:
            made = node_hash(other, made)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            made = node_hash(made, other)
        place, last = place >> 1, last >> 1
    return last == 0 and made == root


def is_consistent(
    first: int, first_root: bytes, second: int, second_root: bytes, path: Sequence[bytes]
) -> bool:
    """Whether `path` proves that the second tree begins with the first (RFC 9162 section 2.1.4.2)."""
    if first == second:
        return first > 0 and not path and first_root == second_root
    if not 0 < first < second or not path or any(len(each) != len(EMPTY_ROOT) for each in path):
        return False
    nodes = list(path) if first & (first - 1) else [first_root, *path]
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = nodes[0]
    for other in nodes[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = node_hash(other, old), node_hash(other, new)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, other)
        place, last = place >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


def _split(length: int) -> int:
    """The largest power of two below `length`."""
    return 1 << ((length - 1).bit_length() - 1)
