"""Statements about requests, inside a transaction: the id is claimed once, then facts are added part by part.

A request that needs several transactions keeps how far it has come, until its answer replaces that.
"""

from __future__ import annotations

from dataclasses import dataclass

from healthcode.errors import InvalidInputError, Reason
from healthcode.storage.sqlite import Session
from province_node.store.records import Request
from province_node.store.sqlite.statements import number

__all__ = [
    "Part",
    "add_part",
    "claim_request",
    "find_parts",
    "find_unfinished",
    "finish_request",
    "keep_unfinished",
]


@dataclass(frozen=True, slots=True)
class Part:
    """Packed facts (`province_node.store.facts`) and when what they are about was signed."""

    signed_at: int
    facts: bytes


def find_parts(db: Session, request: Request, now: int) -> list[Part]:
    """What the request has recorded; empty for a new one. Raises InvalidInputError (REQUEST_ID_REUSED)."""
    known = _find(db, request, now)
    if known is None:
        return []
    rows = db.all("SELECT signed_at, facts FROM request_part WHERE request = ? ORDER BY part", (known,))
    return [Part(row[0], bytes(row[1])) for row in rows]


def claim_request(db: Session, request: Request, now: int) -> int:
    """The row of the request, which from now on no other content can use. Raises as `find_parts`."""
    known = _find(db, request, now)
    if known is not None:
        return known
    # an expired request with this id may still be there; its parts are deleted with it
    db.execute(
        "DELETE FROM request WHERE caller = ? AND request_id = ?", (request.caller, request.request_id)
    )
    db.execute(
        "INSERT INTO request (caller, request_id, method, digest, expires_at) VALUES (?, ?, ?, ?, ?)",
        (request.caller, request.request_id, request.method, request.digest, request.expires_at),
    )
    return number(db, "SELECT last_insert_rowid()")


def add_part(db: Session, request_row: int, part: Part) -> None:
    """Adds facts to a claimed request."""
    db.execute(
        "INSERT INTO request_part SELECT ?, count(*), ?, ? FROM request_part WHERE request = ?",
        (request_row, part.signed_at, part.facts, request_row),
    )


def find_unfinished(db: Session, request_row: int) -> Part | None:
    """How far a claimed request has come, and when it began; None if nothing is kept."""
    row = db.one("SELECT began_at, facts FROM unfinished_request WHERE request = ?", (request_row,))
    return None if row is None else Part(row[0], bytes(row[1]))


def keep_unfinished(db: Session, request_row: int, part: Part) -> None:
    """Keeps how far a claimed request has come."""
    db.execute(
        "INSERT OR REPLACE INTO unfinished_request VALUES (?, ?, ?)",
        (request_row, part.signed_at, part.facts),
    )


def finish_request(db: Session, request_row: int, answer: Part) -> None:
    """Records the answer of a claimed request, which removes the record of its progress."""
    db.execute("DELETE FROM unfinished_request WHERE request = ?", (request_row,))
    add_part(db, request_row, answer)


def _find(db: Session, request: Request, now: int) -> int | None:
    row = db.one(
        "SELECT id, digest FROM request WHERE caller = ? AND request_id = ? AND expires_at > ?",
        (request.caller, request.request_id, now),
    )
    if row is None:
        return None
    if row[1] != request.digest:
        raise InvalidInputError(
            "this request_id was used for another content; draw a new one for each new request",
            reason=Reason.REQUEST_ID_REUSED,
            fields={"request_id": "used before with another content"},
        )
    return int(row[0])
