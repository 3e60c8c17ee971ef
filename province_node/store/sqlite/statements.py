"""Statements that several parts of the store share, inside a transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from healthcode.storage.sqlite import Row, Session
from province_node.store.records import Revocation, RevocationReason

__all__ = [
    "HOLDER_OF_CODE",
    "find_among",
    "find_killed_kids",
    "first_series",
    "insert_all",
    "number",
    "revoke_all",
]

_PIECE = 250
"""Rows or keys of one statement, which has at most 32,766 values."""

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


def insert_all(db: Session, sql: str, rows: Sequence[Sequence[Any]]) -> None:
    """Inserts rows of one width; `sql` is all before VALUES. Blobs cannot go through JSON as in `revoke_all`."""
    for begin in range(0, len(rows), _PIECE):
        piece = rows[begin : begin + _PIECE]
        places = ", ".join([f"({_places(len(piece[0]))})"] * len(piece))
        db.execute(f"{sql} VALUES {places}", [value for row in piece for value in row])


def find_among(db: Session, sql: str, keys: Sequence[Any], *before: Any) -> list[Row]:
    """The rows of a query that ends with `IN` and gets `keys`; `before` are its values before them."""
    found: list[Row] = []
    for begin in range(0, len(keys), _PIECE):
        piece = keys[begin : begin + _PIECE]
        found += db.all(f"{sql} ({_places(len(piece))})", (*before, *piece))
    return found


def _places(count: int) -> str:
    return ", ".join("?" * count)
