"""The audit log on SQLite, as its readers see it: checkpoints, proofs, queries, purge."""

from __future__ import annotations

import time
from collections.abc import Sequence

from healthcode.audit.checkpoint import Checkpoint, padded_size
from healthcode.audit.entry import AuditEntry, LoggedEntry, decode_content, encode_entry
from healthcode.audit.events import AuditEvent
from healthcode.audit.proof_file import EntryProof
from healthcode.audit.tree import consistency_proof, inclusion_proof
from healthcode.errors import InvalidInputError, NotFoundError
from healthcode.storage.sqlite import Database, Row, Session
from province_node.store.audit_records import AuditFault, AuditProofs, AuditQuery, AuditState
from province_node.store.sqlite.audit.audit_check import check_logs
from province_node.store.sqlite.audit.audit_rows import (
    CurrentLog,
    begin_log,
    find_log,
    log_size,
    record_entries,
    row_id,
)
from province_node.store.sqlite.audit.audit_tree import RowTree, build_tree, root_of
from province_node.store.sqlite.statements import number

__all__ = ["SqliteAudit"]

_COLUMNS = "log, seq, at, event, actor, role, subject, content, salt, (SELECT audit_log.id FROM audit_log WHERE number = log) AS name"
_PROVED = 1000  # entries of one proof file
_ROWS = 500  # of one transaction
_PAUSE_SECONDS = 0.005


class SqliteAudit:
    """An `AuditStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, entries: Sequence[AuditEntry], now: int) -> None:
        with self._database.transaction() as db:
            record_entries(db, now, entries)

    def newest(self, event: str, subject: str) -> LoggedEntry | None:
        with self._database.scan() as db:
            row = db.one(
                f"SELECT {_COLUMNS} FROM audit WHERE subject = ? AND event = ? ORDER BY audit.id DESC LIMIT 1",
                (subject, event),
            )
        return None if row is None else _logged(row)

    def build(self) -> None:
        with self._database.read() as db:
            log = find_log(db)
        if log is not None:
            build_tree(self._database, log.number)

    def checkpoint(self, now: int) -> Checkpoint | None:
        with self._database.read() as db:
            log, kept = find_log(db), _checkpoint_size(db)
        if log is None:
            return None
        if log.size != kept:
            with self._database.transaction() as db:
                log = find_log(db) or log  # another process may have padded it
                missing = padded_size(log.size) - log.size
                record_entries(db, now, [AuditEntry(AuditEvent.PADDING, "node")] * missing)
                kept = log.size + missing
                db.execute("UPDATE audit_log SET checkpoint = ? WHERE number = ?", (kept, log.number))
        return self._checkpoint_at(log, kept)

    def _checkpoint_at(self, log: CurrentLog, size: int) -> Checkpoint:
        build_tree(self._database, log.number)
        with self._database.read() as db:
            return Checkpoint(log.id, size, root_of(db, log.number, size))

    def consistency(self, log: bytes, first: int, second: int) -> Sequence[bytes]:
        if not 0 < first <= second:
            raise InvalidInputError(f"there is no proof from {first} to {second} entries")
        which = self._number_of(log, second)
        build_tree(self._database, which)
        with self._database.read() as db:
            return consistency_proof(RowTree(db, which), first, second)

    def begin_log(self, now: int) -> bytes:
        with self._database.read() as db:
            earlier = find_log(db)
        if earlier is not None:
            build_tree(self._database, earlier.number)
        with self._database.transaction() as db:
            named: dict[str, object] = {}
            if earlier is not None:
                # not padded: behind the last entry of the backup, what its province published goes on otherwise
                root = root_of(db, earlier.number, earlier.size)
                named = {"log": earlier.id, "size": earlier.size, "root": root}
            return begin_log(db, now, named).id

    def prove(self, subjects: Sequence[bytes]) -> AuditProofs | None:
        with self._database.read() as db:
            log, size = find_log(db), _checkpoint_size(db)
        if log is None or not size:
            return None
        checkpoint, which = self._checkpoint_at(log, size), log.number
        with self._database.scan() as db:
            rows = sorted(
                (row for subject in subjects for row in _about(db, which, subject, checkpoint.size)),
                key=lambda row: int(row["seq"]),
            )[-_PROVED:]
            tree, entries, proofs = RowTree(db, which), [], []
            for row in rows:
                logged = _logged(row)
                path = inclusion_proof(tree, logged.seq, checkpoint.size)
                entries.append(logged)
                proofs.append(
                    EntryProof(encode_entry(logged, row["content"]), bytes(row["salt"]), tuple(path))
                )
        return AuditProofs(checkpoint, tuple(entries), tuple(proofs))

    def query(
        self, query: AuditQuery, before: tuple[int, int] | None, limit: int
    ) -> tuple[Sequence[LoggedEntry], tuple[int, int] | None]:
        with self._database.scan() as db:
            rows = db.all(
                f"SELECT {_COLUMNS} FROM audit WHERE id < :before AND salt IS NOT NULL"
                f" AND event <> '{AuditEvent.PADDING}' AND at >= :from_at AND at < :until_at"
                " AND (:event = '' OR event = :event) AND (:actor = '' OR actor = :actor)"
                + (" AND subject = :subject" if query.subject else "")
                + " ORDER BY id DESC LIMIT :limit",
                {
                    "before": (1 << 63) - 1 if before is None else row_id(*before),
                    "from_at": query.from_at,
                    "until_at": query.until_at,
                    "event": query.event,
                    "actor": query.actor,
                    "limit": limit,
                }
                | ({"subject": query.subject} if query.subject else {}),
            )
        behind = (rows[-1]["log"], rows[-1]["seq"]) if len(rows) == limit else None
        return [_logged(row) for row in rows], behind

    def verify(self) -> AuditState | AuditFault | None:
        with self._database.scan() as db:
            return check_logs(db)

    def purge(self, before: int, now: int) -> int:
        with self._database.read() as db:
            logs = db.all("SELECT number, id, purged FROM audit_log ORDER BY number")
        return sum(self._purge_log(row[0], bytes(row[1]), row[2], before, now) for row in logs)

    def _purge_log(self, log: int, name: bytes, purged: int, before: int, now: int) -> int:
        with self._database.scan() as db:
            newer = db.one(
                "SELECT seq FROM audit WHERE id >= ? AND id < ? AND at >= ? ORDER BY id LIMIT 1",
                (row_id(log, purged), row_id(log + 1, 0), before),
            )
            end = log_size(db, log) if newer is None else newer[0]
        if end <= purged:
            return 0
        with self._database.transaction() as db:
            # first, so that a kill in between leaves no entry empty without a record of it
            record_entries(
                db, now, [AuditEntry(AuditEvent.PURGED, "node", "", "log", {"log": name, "through": end - 1})]
            )
        for first in range(purged, end, _ROWS):
            last = min(first + _ROWS, end)
            with self._database.transaction() as db:
                db.execute(
                    "UPDATE audit SET at = NULL, event = NULL, actor = NULL, role = NULL, subject = NULL,"
                    " content = NULL, salt = NULL WHERE id >= ? AND id < ?",
                    (row_id(log, first), row_id(log, last)),
                )
                db.execute("UPDATE audit_log SET purged = ? WHERE number = ?", (last, log))
            time.sleep(_PAUSE_SECONDS)
        return end - purged

    def _number_of(self, log: bytes, size: int) -> int:
        """The number of a log that has at least `size` entries. Raises NotFoundError."""
        with self._database.read() as db:
            row = db.one("SELECT number FROM audit_log WHERE id = ?", (log,))
            if row is not None and size <= log_size(db, row[0]):
                return int(row[0])
        raise NotFoundError(
            f"this node has no audit log {log.hex()} of {size} entries: it began another one, or it was restored"
        )


def _checkpoint_size(db: Session) -> int:
    """The size of the newest checkpoint of the log that grows."""
    return number(db, "SELECT checkpoint FROM audit_log ORDER BY number DESC LIMIT 1")


def _about(db: Session, log: int, subject: bytes, size: int) -> list[Row]:
    return db.all(
        f"SELECT {_COLUMNS} FROM audit WHERE subject = ? AND audit.id >= ? AND audit.id < ? ORDER BY audit.id DESC LIMIT ?",
        (subject, row_id(log, 0), row_id(log, size), _PROVED),
    )


def _logged(row: Row) -> LoggedEntry:
    entry = AuditEntry(
        row["event"], row["actor"], row["role"], row["subject"] or "", decode_content(row["content"])
    )
    return LoggedEntry(bytes(row["name"]), row["seq"], row["at"], entry)
