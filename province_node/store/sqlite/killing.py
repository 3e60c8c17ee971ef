"""Killing code keys on SQLite, and listing whose codes a key has signed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from healthcode.audit.events import AuditEvent
from healthcode.storage.sqlite import Database, Session
from healthcode.wire.claims import Presentation
from province_node.store.facts import pack_killed, unpack_killed
from province_node.store.records import HeldCode, Killed, Request, RevocationReason
from province_node.store.sqlite.audit.audit_rows import record_entries, request_entry
from province_node.store.sqlite.request_facts import (
    Part,
    claim_request,
    find_parts,
    find_unfinished,
    finish_request,
    keep_unfinished,
)
from province_node.store.sqlite.statements import find_killed_kids, number

__all__ = ["SqliteKilling"]


class SqliteKilling:
    """A `KillStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find_killed(self, request: Request, now: int) -> Killed | None:
        with self._database.read() as db:
            return _find(db, request, now)

    def killed_kids(self) -> frozenset[bytes]:
        with self._database.read() as db:
            return find_killed_kids(db)

    def kill_key(
        self, kid: bytes, reason: RevocationReason, request: Request, next_kid: bytes | None, now: int
    ) -> Killed:
        # this write kills the key; the codes are counted behind it, since no writer may wait for that
        with self._database.transaction() as db:
            earlier = _find(db, request, now)
            if earlier is not None:
                return earlier
            row = claim_request(db, request, now)
            kept = find_unfinished(db, row)
            if kept is None:
                inserted = db.execute(
                    "INSERT OR IGNORE INTO killed_key VALUES (?, ?, ?, ?)",
                    (kid, reason.value, request.caller, now),
                )
                killed = Killed(0, already_killed=inserted == 0, next_kid=next_kid)
                keep_unfinished(db, row, Part(now, pack_killed(killed)))
                content = {"reason": reason.value, "already": inserted == 0}
                record_entries(db, now, [request_entry(AuditEvent.KEY_KILLED, request, content, kid.hex())])
            else:
                killed = unpack_killed(kept.facts)
        with self._database.scan() as db:
            codes_out = number(db, "SELECT count(*) FROM code WHERE kid = ? AND expires_at > ?", kid, now)
        killed = replace(killed, codes_out=codes_out, repeated=False)
        with self._database.transaction() as db:
            earlier = _find(db, request, now)
            if earlier is not None:
                return earlier
            finish_request(db, claim_request(db, request, now), Part(now, pack_killed(killed)))
        return killed

    def codes_under(self, kid: bytes | None, after: bytes, limit: int, now: int) -> Sequence[HeldCode]:
        with self._database.scan() as db:
            rows = db.all(
                "SELECT holder, presentation, max(expires_at) FROM code"
                " WHERE (:kid IS NULL OR kid = :kid) AND expires_at > :now"
                " AND holder IN (SELECT DISTINCT holder FROM code"
                "  WHERE (:kid IS NULL OR kid = :kid) AND expires_at > :now"
                "  AND holder > :after ORDER BY holder LIMIT :limit)"
                " GROUP BY holder, presentation ORDER BY holder, presentation",
                {"kid": kid, "after": after, "limit": limit, "now": now},
            )
            return [HeldCode(bytes(row[0]), Presentation(row[1]), row[2]) for row in rows]


def _find(db: Session, request: Request, now: int) -> Killed | None:
    parts = find_parts(db, request, now)
    return unpack_killed(parts[0].facts) if parts else None
