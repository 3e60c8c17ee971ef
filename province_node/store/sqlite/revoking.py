"""Revoking on SQLite: by code, by holder, and by how codes were issued.

A large selection is revoked in pieces with pauses, so that issuing and other revocations never wait for it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace

from healthcode.audit.events import AuditEvent
from healthcode.storage.sqlite import Database, Row, Session
from province_node.store.facts import pack_progress, pack_revoked, unpack_progress, unpack_revoked
from province_node.store.records import (
    IssuedUnder,
    Request,
    Revocation,
    RevocationReason,
    Revoked,
    RevokeProgress,
)
from province_node.store.sqlite.audit.audit_rows import indices_digest, record_entries, request_entry
from province_node.store.sqlite.request_facts import (
    Part,
    claim_request,
    find_parts,
    find_unfinished,
    finish_request,
    keep_unfinished,
)
from province_node.store.sqlite.statements import HOLDER_OF_CODE, revoke_all

__all__ = ["SqliteRevoking"]

_ROWS = 500  # of one transaction
_PAUSE_SECONDS = 0.005
_IS_REVOKED = (
    "EXISTS (SELECT 1 FROM revocation WHERE revocation.day = code.day AND revocation.idx = code.idx)"
)
_SELECTED = (
    # a code of a holder who never had a ground has no row
    f" FROM code LEFT JOIN level ON level.holder = {HOLDER_OF_CODE} AND level.sequence = code.sequence"
    " WHERE code.issued_at < :issued_until AND code.expires_at > :now"
    " AND (:rule = '' OR level.rule = :rule) AND (:level_reason = '' OR level.reason = :level_reason)"
    " AND (:issued_by = '' OR code.issued_by = :issued_by)"
)
_ALL = " AND code.issued_at >= :issued_from"
# without another lower bound, by which SQLite would read the codes of earlier pieces again
_NEXT = (
    " AND (code.issued_at, code.day, code.idx) > (:issued_at, :day, :idx)"
    " ORDER BY code.issued_at, code.day, code.idx LIMIT :rows"
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
            newly = revoke_all(db, revocations, reason, request.caller, now)
            revoked = Revoked(newly, len(revocations) - newly)
            counts = _counts(revoked, revocations, reason)
            record_entries(db, now, [request_entry(AuditEvent.REVOKED, request, counts)])
            finish_request(db, claim_request(db, request, now), Part(now, pack_revoked(revoked)))
            return revoked

    def revoke_issued_under(
        self, selection: IssuedUnder, reason: RevocationReason, request: Request, now: int
    ) -> Revoked:
        progress = self._begin(selection, request, now)
        while not isinstance(progress, Revoked):
            piece = self._find_piece(selection, progress)
            progress = self._record_piece(piece, progress, selection, reason, request, now)
            if not isinstance(progress, Revoked):
                time.sleep(_PAUSE_SECONDS)
        return progress

    def _begin(self, selection: IssuedUnder, request: Request, now: int) -> RevokeProgress | Revoked:
        """Claims the request, or finds how far it had come when it was cut."""
        with self._database.transaction() as db:
            earlier = _find(db, request, now)
            if earlier is not None:
                return earlier
            row = claim_request(db, request, now)
            progress = _find_progress(db, row)
            if progress is None:
                progress = RevokeProgress(began=now, behind=(selection.issued_from, -1, -1))
                keep_unfinished(db, row, Part(now, pack_progress(progress)))
            return progress

    def _find_piece(self, selection: IssuedUnder, progress: RevokeProgress) -> Sequence[Row]:
        """The next codes of the selection, in order of issue, day and index."""
        issued_at, day, index = progress.behind
        behind = {"issued_at": issued_at, "day": day, "idx": index, "rows": _ROWS}
        with self._database.scan() as db:
            return db.all(
                f"SELECT code.issued_at, code.day, code.idx {_SELECTED} {_NEXT}",
                _parameters(selection, progress.began) | behind,
            )

    def _record_piece(
        self,
        piece: Sequence[Row],
        seen: RevokeProgress,
        selection: IssuedUnder,
        reason: RevocationReason,
        request: Request,
        now: int,
    ) -> RevokeProgress | Revoked:
        """Revokes the codes that come behind `seen`, and records how far it came: this write makes both durable."""
        with self._database.transaction() as db:
            earlier = _find(db, request, now)
            if earlier is not None:
                return earlier
            row = claim_request(db, request, now)
            progress = _find_progress(db, row)
            if progress is not None and progress != seen:
                return progress  # another call with this id has taken the piece
            codes = [Revocation(day, index) for _, day, index in piece]
            newly = revoke_all(db, codes, reason, request.caller, now)
            revoked = Revoked(seen.newly + newly, seen.already + len(piece) - newly)
            counts = _counts(Revoked(newly, len(piece) - newly), codes, reason)
            selected = {name: value for name, value in asdict(selection).items() if value != ""}
            entry = request_entry(AuditEvent.REVOKED_MATCHING, request, counts | selected)
            record_entries(db, now, [entry])
            if len(piece) < _ROWS:
                finish_request(db, row, Part(now, pack_revoked(revoked)))
                return revoked
            issued_at, day, index = piece[-1]
            progress = replace(
                seen, behind=(issued_at, day, index), newly=revoked.newly, already=revoked.already
            )
            keep_unfinished(db, row, Part(seen.began, pack_progress(progress)))
            return progress

    def codes_of_holders(self, holders: Sequence[bytes], now: int) -> Sequence[Revocation]:
        found: list[Revocation] = []
        with self._database.scan() as db:
            for holder in holders:
                rows = db.all("SELECT day, idx FROM code WHERE holder = ? AND expires_at > ?", (holder, now))
                found += [Revocation(day=row[0], index=row[1]) for row in rows]
        return found

    def count_codes(self, revocations: Sequence[Revocation]) -> Revoked:
        with self._database.scan() as db:
            already = sum(
                db.one("SELECT 1 FROM revocation WHERE day = ? AND idx = ?", (each.day, each.index))
                is not None
                for each in revocations
            )
        return Revoked(len(revocations) - already, already)

    def count_issued_under(self, selection: IssuedUnder, now: int) -> Revoked:
        with self._database.scan() as db:
            row = db.one(
                f"SELECT count(*), coalesce(sum({_IS_REVOKED}), 0) {_SELECTED} {_ALL}",
                _parameters(selection, now),
            )
        matched, already = (0, 0) if row is None else (int(row[0]), int(row[1]))
        return Revoked(matched - already, already)


def _counts(revoked: Revoked, codes: Sequence[Revocation], reason: RevocationReason) -> dict[str, object]:
    digest = indices_digest((code.day, code.index) for code in codes)
    return {"newly": revoked.newly, "already": revoked.already, "reason": reason.value, "indices": digest}


def _find(db: Session, request: Request, now: int) -> Revoked | None:
    parts = find_parts(db, request, now)
    return unpack_revoked(parts[0].facts) if parts else None


def _find_progress(db: Session, request_row: int) -> RevokeProgress | None:
    kept = find_unfinished(db, request_row)
    return None if kept is None else unpack_progress(kept.facts, kept.signed_at)


def _parameters(selection: IssuedUnder, now: int) -> dict[str, object]:
    return {
        "issued_from": selection.issued_from,
        "issued_until": selection.issued_until,
        "rule": selection.rule,
        "level_reason": selection.level_reason,
        "issued_by": selection.issued_by,
        "now": now,
    }
