"""Statements that several parts of the store share, inside a transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable

from healthcode.storage.sqlite import Session
from province_node.store.records import Revocation, RevocationReason

__all__ = ["HOLDER_OF_CODE", "find_killed_kids", "first_series", "number", "revoke_all"]

HOLDER_OF_CODE = (
    "coalesce((SELECT first.pseudonym FROM document JOIN document AS first ON first.id = document.holder"
    " WHERE document.pseudonym = code.holder), code.holder)"
)
"""The holder of a code: the first document of who has the code's document. A row of `level` has that one."""


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


def revoke_all(db: Session, codes: Iterable[Revocation], reason: RevocationReason, who: str, now: int) -> int:
    """How many of the codes were not revoked before."""
    # One statement: after each, the thread waits for the interpreter's lock, and other writers wait for this one.
    return db.execute(
        "INSERT OR IGNORE INTO revocation (day, idx, reason, revoked_by, revoked_at)"
        " SELECT value ->> 0, value ->> 1, ?, ?, ? FROM json_each(?)",
        (reason.value, who, now, json.dumps([(code.day, code.index) for code in codes])),
    )
