"""Killing code keys on SQLite, and listing whose codes a key has signed."""

from __future__ import annotations

from collections.abc import Sequence

from healthcode.storage.sqlite import Database, Session
from healthcode.wire.claims import Presentation
from province_node.store.facts import pack_killed, unpack_killed
from province_node.store.records import HeldCode, Killed, Request, RevocationReason
from province_node.store.sqlite.request_facts import Part, add_part, claim_request, find_parts
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
        with self._database.transaction() as db:
            earlier = _find(db, request, now)
            if earlier is not None:
                return earlier
            inserted = db.execute(
                "INSERT OR IGNORE INTO killed_key VALUES (?, ?, ?, ?)",
                (kid, reason.value, request.caller, now),
            )
            codes_out = number(db, "SELECT count(*) FROM code WHERE kid = ? AND expires_at > ?", kid, now)
            killed = Killed(codes_out, already_killed=inserted == 0, next_kid=next_kid)
            add_part(db, claim_request(db, request, now), Part(now, pack_killed(killed)))
            return killed

    def codes_under(self, kid: bytes | None, after: bytes, limit: int, now: int) -> Sequence[HeldCode]:
        with self._database.read() as db:
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
