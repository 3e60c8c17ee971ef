"""An audit log in memory: it grows, proves, and can be rewritten."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from healthcode.audit.checkpoint import PADDED_TO, Checkpoint
from healthcode.audit.tree import LeafList, RightEdge, consistency_proof
from healthcode.errors import NotFoundError

__all__ = ["MemoryLog"]


class MemoryLog:
    """Leaves without entries. `checkpoint` and `consistency` are what a node's own log offers."""

    def __init__(self, name: str = "first", *, blocks: int = 1) -> None:
        self.log = hashlib.sha256(name.encode()).digest()[:16]
        self.leaves: list[bytes] = []
        self.grow(blocks)

    def grow(self, blocks: int = 1) -> Checkpoint:
        """Adds so many times the entries by which a published size grows."""
        for _ in range(blocks * PADDED_TO):
            self.leaves.append(hashlib.sha256(self.log + b"%d" % len(self.leaves)).digest())
        return self.checkpoint()

    def rewrite(self, index: int = 0) -> None:
        """Changes one entry of the past; the tree is made of the leaves as they are."""
        self.leaves[index] = hashlib.sha256(b"edited" + self.leaves[index]).digest()

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        edge = RightEdge()
        for leaf in self.leaves[:size]:
            edge.append(leaf)
        return Checkpoint(self.log, edge.size, edge.root())

    def consistency(self, log: bytes, first: int, second: int) -> Sequence[bytes]:
        if log != self.log or second > len(self.leaves):
            raise NotFoundError("there is no such log here")
        return consistency_proof(LeafList(self.leaves[:second]), first, second)
