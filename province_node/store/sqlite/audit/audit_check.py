"""Reads the whole audit log and finds the first entry that was edited, dropped or moved."""

from __future__ import annotations

from collections.abc import Iterator

from healthcode.audit.entry import AuditEntry, LoggedEntry, decode_content, encode_entry, leaf_hash
from healthcode.audit.events import AuditEvent
from healthcode.audit.tree import LeafList, RightEdge
from healthcode.errors import HealthcodeError
from healthcode.storage.sqlite import Row, Session
from province_node.store.audit_records import AuditFault, AuditState
from province_node.store.sqlite.audit.audit_rows import row_id
from province_node.store.sqlite.audit.audit_tree import BLOCK, BLOCK_LEVEL
from province_node.store.sqlite.statements import number

__all__ = ["check_logs"]

_ROWS = 1024  # read together
_EDITED = "is not what was recorded"
_MISSING = "is missing"
_EMPTIED = "is empty, and no purge says that it was emptied"
_REWRITTEN = f"or one of the {BLOCK - 1} entries after it was changed together with its leaf"


def check_logs(db: Session) -> AuditState | AuditFault | None:
    """The first fault of the oldest log that has one, or the state of the newest; None if there is no log."""
    purges = _read_purges(db)
    state: AuditState | None = None
    for log, name in db.all("SELECT number, id FROM audit_log ORDER BY number"):
        found = _check_log(db, log, bytes(name), purges.get(bytes(name), 0))
        if isinstance(found, AuditFault):
            return found
        state = found
    return state


def _read_purges(db: Session) -> dict[bytes, int]:
    """Below which entry each log was purged, as its own entries say. These are checked in their turn."""
    found: dict[bytes, int] = {}
    for row in db.all("SELECT content FROM audit WHERE event = ?", (AuditEvent.PURGED.value,)):
        try:
            content = decode_content(bytes(row[0]))
            log, end = bytes(content["log"]), int(content["through"]) + 1
        except (HealthcodeError, LookupError, TypeError, ValueError):
            continue  # an edited entry, which is named when its turn comes
        found[log] = max(end, found.get(log, 0))
    return found


def _check_log(db: Session, log: int, name: bytes, purged_below: int) -> AuditState | AuditFault:
    blocks, leaves = RightEdge(), list[bytes]()
    size = purged = 0
    built = number(
        db,
        "SELECT coalesce(max(idx), -1) + 1 FROM audit_node WHERE log = ? AND level = ?",
        log,
        BLOCK_LEVEL,
    )
    for row in _rows(db, log):
        if row["seq"] != size:
            return AuditFault(name, size, _MISSING)
        if row["salt"] is None:
            purged += 1
            if size >= purged_below:
                return AuditFault(name, size, _EMPTIED)
        elif not _is_as_recorded(row, name):
            return AuditFault(name, size, _EDITED)
        size += 1
        leaves.append(bytes(row["leaf"]))
        if len(leaves) == BLOCK:
            if blocks.size < built and not _is_built_so(db, log, blocks, leaves):
                return AuditFault(name, size - BLOCK, _REWRITTEN)
            leaves.clear()
    if size < max(1, built * BLOCK):
        return AuditFault(name, size, _MISSING)
    return AuditState(name, size, purged)


def _rows(db: Session, log: int) -> Iterator[Row]:
    behind = -1
    while True:
        rows = db.all(
            "SELECT seq, at, event, actor, role, subject, content, salt, leaf FROM audit"
            " WHERE id > ? AND id < ? ORDER BY id LIMIT ?",
            (row_id(log, behind), row_id(log + 1, 0), _ROWS),
        )
        yield from rows
        if len(rows) < _ROWS:
            return
        behind = rows[-1]["seq"]


def _is_as_recorded(row: Row, log: bytes) -> bool:
    entry = AuditEntry(row["event"], row["actor"], row["role"], row["subject"] or "")
    try:
        encoded = encode_entry(LoggedEntry(log, row["seq"], row["at"], entry), row["content"])
    except HealthcodeError:  # no entry is like this
        return False
    return leaf_hash(bytes(row["salt"]), encoded) == bytes(row["leaf"])


def _is_built_so(db: Session, log: int, blocks: RightEdge, leaves: list[bytes]) -> bool:
    """Whether the nodes that this block completes are those that were kept. Appends it to `blocks`."""
    block = blocks.size
    root = LeafList(leaves).subtree(BLOCK_LEVEL, 0)
    made = [root, *blocks.append(root)]
    return all(
        number(
            db,
            "SELECT count(*) FROM audit_node WHERE log = ? AND level = ? AND idx = ? AND hash = ?",
            log,
            BLOCK_LEVEL + above,
            block >> above,
            each,
        )
        for above, each in enumerate(made)
    )
