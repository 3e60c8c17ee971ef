"""Statements about audit entries, inside a transaction: an act and its entry are durable together."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from healthcode.audit.entry import (
    LOG_BYTES,
    SALT_BYTES,
    AuditEntry,
    LoggedEntry,
    encode_content,
    encode_entry,
    leaf_hash,
)
from healthcode.audit.events import AuditEvent
from healthcode.errors import InvalidInputError
from healthcode.storage.sqlite import Session
from province_node.store.records import Request
from province_node.store.sqlite.statements import number

__all__ = [
    "CurrentLog",
    "begin_log",
    "find_log",
    "indices_digest",
    "log_size",
    "record_entries",
    "request_entry",
    "row_id",
]

_SEQ_BITS = 40
_INDEX = struct.Struct(">II")


@dataclass(frozen=True, slots=True)
class CurrentLog:
    """The log that grows, and how many entries it has."""

    number: int
    id: bytes
    size: int


def record_entries(db: Session, now: int, entries: Sequence[AuditEntry]) -> None:
    """Appends entries to the log, in the transaction of what they record. The first one ever begins the log."""
    if not entries:
        return
    log = find_log(db) or begin_log(db, now)
    rows = []
    salts = os.urandom(SALT_BYTES * len(entries))
    for place, entry in enumerate(entries):
        salt = salts[place * SALT_BYTES : (place + 1) * SALT_BYTES]
        content = _encode(entry.content)
        seq = log.size + place
        leaf = leaf_hash(salt, encode_entry(LoggedEntry(log.id, seq, now, entry), content))
        rows.append(
            (
                row_id(log.number, seq),
                now,
                str(entry.event),
                entry.actor,
                entry.role,
                entry.subject or None,
                content,
                salt,
                leaf,
            )
        )
    # one statement for all: after each, the thread waits for the interpreter's lock
    db.execute_many("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


def _encode(content: Mapping[str, object]) -> bytes:
    """A content as it is kept: of one that is too long, its length and digest."""
    try:
        return encode_content(content)
    except InvalidInputError:
        # nothing that is recorded may fail because of its entry
        text = repr(sorted(content.items())).encode()
        return encode_content({"too_long": len(text), "sha256": hashlib.sha256(text).digest()})


def find_log(db: Session) -> CurrentLog | None:
    """The log that grows; None before the first entry."""
    row = db.one("SELECT number, id, (SELECT max(id) FROM audit) FROM audit_log ORDER BY number DESC LIMIT 1")
    if row is None:
        return None
    which, name, last = row
    size = 0 if last is None or last < row_id(which, 0) else last - row_id(which, 0) + 1
    return CurrentLog(which, name, size)


def row_id(log: int, seq: int) -> int:
    """The id of a log's entry."""
    return (log << _SEQ_BITS) + seq


def log_size(db: Session, log: int) -> int:
    """How many entries a log has."""
    first = row_id(log, 0)
    return number(
        db,
        "SELECT coalesce(max(id) - ?1 + 1, 0) FROM audit WHERE id >= ?1 AND id < ?2",
        first,
        row_id(log + 1, 0),
    )


def begin_log(db: Session, now: int, earlier: dict[str, object] | None = None) -> CurrentLog:
    """Begins a log whose first entry names the one before it, if there was one."""
    log = os.urandom(LOG_BYTES)
    db.execute("INSERT INTO audit_log (id, begun_at) VALUES (?, ?)", (log, now))
    record_entries(db, now, [AuditEntry(AuditEvent.LOG_BEGUN, "node", "", "log", earlier or {})])
    found = find_log(db)
    assert found is not None  # noqa: S101  it was inserted above
    return found


def request_entry(
    event: AuditEvent, request: Request, content: Mapping[str, object], subject: str = ""
) -> AuditEntry:
    """The entry of a request: who asked, under which id, and what came of it."""
    return AuditEntry(event, request.caller, "", subject, {"request": request.request_id, **content})


def indices_digest(codes: Iterable[tuple[int, int]]) -> bytes:
    """SHA-256 of days and indices in rising order: tells later whether just these codes were meant."""
    return hashlib.sha256(b"".join(_INDEX.pack(*pair) for pair in sorted(codes))).digest()
