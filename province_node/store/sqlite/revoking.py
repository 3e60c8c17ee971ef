"""Revoking on SQLite: by code, by holder, and by how codes were issued."""

from __future__ import annotations

from collections.abc import Sequence

from healthcode.storage.sqlite import Database, Session
from province_node.store.facts import pack_revoked, unpack_revoked
from province_node.store.records import IssuedUnder, Request, Revocation, RevocationReason, Revoked
from province_node.store.sqlite.request_facts import Part, add_part, claim_request, find_parts
from province_node.store.sqlite.statements import revoke_one

__all__ = ["SqliteRevoking"]

_IS_REVOKED = (
    "EXISTS (SELECT 1 FROM revocation WHERE revocation.day = code.day AND revocation.idx = code.idx)"
)
_SELECTED = (
    " FROM code JOIN level ON level.holder = code.holder AND level.sequence = code.sequence"
    " WHERE code.issued_at >= :issued_from AND code.issued_at < :issued_until AND code.expires_at > :now"
    " AND (:rule = '' OR level.rule = :rule) AND (:level_reason = '' OR level.reason = :level_reason)"
    " AND (:issued_by = '' OR code.issued_by = :issued_by)"
)


class SqliteRevoking:
    """A `RevokeStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find_revoked(self, request: Request, now: int) -> Revoked | None:
        with self._database.read() as db:
            return _find(db, request, now)

    def record_revocations(
        self, revocations: Sequence[Revocation], reason: RevocationReason, request: Request, now: int
    ) -> Revoked:
        with self._database.transaction() as db:
            earlier = _find(db, request, now)
            if earlier is not None:
                return earlier
            newly = sum(revoke_one(db, each, reason, request.caller, now) for each in revocations)
            return _keep(db, request, Revoked(newly, len(revocations) - newly), now)

    def revoke_issued_under(
        self, selection: IssuedUnder, reason: RevocationReason, request: Request, now: int
    ) -> Revoked:
        with self._database.transaction() as db:
            earlier = _find(db, request, now)
            if earlier is not None:
                return earlier
            revoked = _count_selected(db, selection, now)
            db.execute(
                "INSERT OR IGNORE INTO revocation (day, idx, reason, revoked_by, revoked_at)"
                f" SELECT code.day, code.idx, :reason, :caller, :now {_SELECTED}",
                {**_parameters(selection, now), "reason": reason.value, "caller": request.caller},
            )
            return _keep(db, request, revoked, now)

    def codes_of_holders(self, holders: Sequence[bytes], now: int) -> Sequence[Revocation]:
        found: list[Revocation] = []
        with self._database.read() as db:
            for holder in holders:
                rows = db.all("SELECT day, idx FROM code WHERE holder = ? AND expires_at > ?", (holder, now))
                found += [Revocation(day=row[0], index=row[1]) for row in rows]
        return found

    def count_codes(self, revocations: Sequence[Revocation]) -> Revoked:
        with self._database.read() as db:
            already = sum(
                db.one("SELECT 1 FROM revocation WHERE day = ? AND idx = ?", (each.day, each.index))
                is not None
                for each in revocations
            )
        return Revoked(len(revocations) - already, already)

    def count_issued_under(self, selection: IssuedUnder, now: int) -> Revoked:
        with self._database.read() as db:
            return _count_selected(db, selection, now)


def _find(db: Session, request: Request, now: int) -> Revoked | None:
    parts = find_parts(db, request, now)
    return unpack_revoked(parts[0].facts) if parts else None


def _keep(db: Session, request: Request, revoked: Revoked, now: int) -> Revoked:
    add_part(db, claim_request(db, request, now), Part(now, pack_revoked(revoked)))
    return revoked


def _count_selected(db: Session, selection: IssuedUnder, now: int) -> Revoked:
    row = db.one(f"SELECT count(*), coalesce(sum({_IS_REVOKED}), 0) {_SELECTED}", _parameters(selection, now))
    matched, already = (0, 0) if row is None else (int(row[0]), int(row[1]))
    return Revoked(matched - already, already)


def _parameters(selection: IssuedUnder, now: int) -> dict[str, object]:
    return {
        "issued_from": selection.issued_from,
        "issued_until": selection.issued_until,
        "rule": selection.rule,
        "level_reason": selection.level_reason,
        "issued_by": selection.issued_by,
        "now": now,
    }
