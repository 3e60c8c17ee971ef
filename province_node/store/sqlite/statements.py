"""Statements that several parts of the store share, inside a transaction."""

from __future__ import annotations

from healthcode.storage.sqlite import Session
from province_node.store.records import Revocation, RevocationReason

__all__ = ["find_killed_kids", "first_series", "number", "revoke_one"]


def number(db: Session, sql: str, *values: object) -> int:
    """The integer that a statement selects; 0 if it selects no row."""
    row = db.one(sql, values)
    return 0 if row is None else int(row[0])


def first_series(db: Session, day: int) -> int:
    """No index of `day` is drawn from a series below this."""
    # no day after `until_day` had any index when the series was opened
    return number(db, "SELECT coalesce(max(series), 0) FROM first_series WHERE until_day >= ?", day)


def find_killed_kids(db: Session) -> frozenset[bytes]:
    """The keys that were killed here."""
    return frozenset(row[0] for row in db.all("SELECT kid FROM killed_key"))


def revoke_one(db: Session, code: Revocation, reason: RevocationReason, who: str, now: int) -> bool:
    """Whether the code was not revoked before."""
    inserted = db.execute(
        "INSERT OR IGNORE INTO revocation (day, idx, reason, revoked_by, revoked_at) VALUES (?, ?, ?, ?, ?)",
        (code.day, code.index, reason.value, who, now),
    )
    return inserted == 1
