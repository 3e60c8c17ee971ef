"""The tree over audit rows. Roots of complete blocks of 256 are kept; smaller subtrees are made from the leaves."""

from __future__ import annotations

import time

from healthcode.audit.tree import EMPTY_ROOT, LeafList, RightEdge, range_hash
from healthcode.errors import InternalError
from healthcode.storage.sqlite import Database, Session
from province_node.store.sqlite.audit.audit_rows import log_size, row_id
from province_node.store.sqlite.statements import number

__all__ = ["BLOCK", "BLOCK_LEVEL", "RowTree", "build_tree", "read_leaves", "root_of"]

BLOCK_LEVEL = 8
BLOCK = 1 << BLOCK_LEVEL
_BLOCKS = 16  # of one transaction
_PAUSE_SECONDS = 0.002


class RowTree:
    """The `Subtrees` of a log whose complete blocks are built."""

    def __init__(self, db: Session, log: int) -> None:
        self._db = db
        self._log = log

    def subtree(self, level: int, index: int) -> bytes:
        if level < BLOCK_LEVEL:
            return LeafList(read_leaves(self._db, self._log, index << level, 1 << level)).subtree(level, 0)
        row = self._db.one(
            "SELECT hash FROM audit_node WHERE log = ? AND level = ? AND idx = ?", (self._log, level, index)
        )
        if row is None:
            raise InternalError("the tree of the audit log lacks a node: `province-node audit verify`")
        return bytes(row[0])


def read_leaves(db: Session, log: int, first: int, count: int) -> list[bytes]:
    """The leaves first to first + count. Raises InternalError if one is missing."""
    rows = db.all(
        "SELECT leaf FROM audit WHERE id >= ? AND id < ? ORDER BY id",
        (row_id(log, first), row_id(log, first + count)),
    )
    if len(rows) != count:
        raise InternalError("the audit log lacks an entry: `province-node audit verify` names it")
    return [bytes(row[0]) for row in rows]


def root_of(db: Session, log: int, size: int) -> bytes:
    """The root of the first `size` entries."""
    return range_hash(RowTree(db, log), 0, size) if size else EMPTY_ROOT


def build_tree(database: Database, log: int) -> None:
    """Builds the blocks that are complete and not built yet. Any process may, at any time: all make the same nodes."""
    while True:
        with database.transaction() as db:
            if _build_some(db, log) < _BLOCKS:
                return
        time.sleep(_PAUSE_SECONDS)


def _build_some(db: Session, log: int) -> int:
    """Builds the next blocks of the log; how many."""
    built = number(
        db,
        "SELECT coalesce(max(idx), -1) + 1 FROM audit_node WHERE log = ? AND level = ?",
        log,
        BLOCK_LEVEL,
    )
    size = log_size(db, log)
    end = min(size // BLOCK, built + _BLOCKS)
    if end == built:
        return 0
    blocks = RightEdge.of(built, _Blocks(RowTree(db, log)))
    rows = []
    for block in range(built, end):
        root = LeafList(read_leaves(db, log, block * BLOCK, BLOCK)).subtree(BLOCK_LEVEL, 0)
        rows.append((log, BLOCK_LEVEL, block, root))
        for above, made in enumerate(blocks.append(root), start=1):
            rows.append((log, BLOCK_LEVEL + above, block >> above, made))
    db.execute_many("INSERT INTO audit_node VALUES (?, ?, ?, ?)", rows)
    return end - built


class _Blocks:
    """The same tree, with blocks for leaves."""

    def __init__(self, tree: RowTree) -> None:
        self._tree = tree

    def subtree(self, level: int, index: int) -> bytes:
        return self._tree.subtree(level + BLOCK_LEVEL, index)
