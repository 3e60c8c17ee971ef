"""Documents of holders on SQLite: numbers for pseudonyms, merge and split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from healthcode.audit.entry import AuditEntry, person_subject
from healthcode.audit.events import AuditEvent
from healthcode.errors import PreconditionError
from healthcode.storage.sqlite import Database, Session
from province_node.store.sqlite.audit.audit_rows import record_entries
from province_node.store.sqlite.people.evidence_rows import mark_due
from province_node.store.sqlite.people.level_time import raise_now
from province_node.store.sqlite.statements import find_among, insert_all, number

__all__ = [
    "SqliteDocuments",
    "document_number",
    "document_numbers",
    "documents_of",
    "first_document",
    "highest_sequence",
]


def document_number(db: Session, pseudonym: bytes) -> int:
    """The row of a document; a new one is a holder of its own."""
    row = db.one("SELECT id FROM document WHERE pseudonym = ?", (pseudonym,))
    if row is not None:
        return int(row[0])
    db.execute("INSERT INTO document (pseudonym) VALUES (?)", (pseudonym,))
    return number(db, "SELECT last_insert_rowid()")


def document_numbers(db: Session, pseudonyms: Iterable[bytes]) -> dict[bytes, int]:
    """The rows of documents; new ones are holders of their own."""
    each = list(dict.fromkeys(pseudonyms))
    find = "SELECT pseudonym, id FROM document WHERE pseudonym IN"
    found = {row[0]: row[1] for row in find_among(db, find, each)}
    new = [pseudonym for pseudonym in each if pseudonym not in found]
    insert_all(db, "INSERT INTO document (pseudonym)", [(pseudonym,) for pseudonym in new])
    return found | {row[0]: row[1] for row in find_among(db, find, new)}


def first_document(db: Session, document: int) -> int:
    """The row of the first document of the same holder."""
    return number(db, "SELECT coalesce(holder, id) FROM document WHERE id = ?", document)


def documents_of(db: Session, holder: int) -> list[int]:
    """The rows of a holder's documents, the first one first."""
    return [
        holder,
        *(row[0] for row in db.all("SELECT id FROM document WHERE holder = ? ORDER BY id", (holder,))),
    ]


def highest_sequence(db: Session, holder: int) -> int:
    """The highest sequence of a holder's levels, with those of documents that were merged or split."""
    stated = number(
        db,
        "SELECT coalesce(max(sequence), 0) FROM level"
        " WHERE holder = (SELECT pseudonym FROM document WHERE id = ?)",
        holder,
    )
    return max(stated, number(db, "SELECT sequence FROM moved_holder WHERE holder = ?", holder))


class SqliteDocuments:
    """A `DocumentStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def documents_of(self, document: bytes) -> Sequence[bytes]:
        with self._database.read() as db:
            row = db.one("SELECT coalesce(holder, id) FROM document WHERE pseudonym = ?", (document,))
            if row is None:
                return (document,)
            return [
                bytes(found[0])
                for each in documents_of(db, row[0])
                if (found := db.one("SELECT pseudonym FROM document WHERE id = ?", (each,))) is not None
            ]

    def merge_documents(self, first: bytes, second: bytes, now: int) -> None:
        with self._database.transaction() as db:
            kept = first_document(db, document_number(db, first))
            gone = first_document(db, document_number(db, second))
            if kept == gone:
                return
            highest = max(highest_sequence(db, kept), highest_sequence(db, gone))
            for document in documents_of(db, gone):
                db.execute("UPDATE document SET holder = ? WHERE id = ?", (kept, document))
            db.execute("DELETE FROM current_level WHERE holder = ?", (gone,))
            db.execute("DELETE FROM moved_holder WHERE holder = ?", (gone,))
            moved_at = raise_now(db, now)
            _move(db, kept, highest, moved_at)
            content = {"with": person_subject(second)}
            _record(db, AuditEvent.DOCUMENTS_MERGED, first, moved_at, content)

    def split_document(self, document: bytes, now: int) -> None:
        with self._database.transaction() as db:
            split = document_number(db, document)
            kept = first_document(db, split)
            if kept == split:
                raise PreconditionError("this is the first document of its holder: split the others from it")
            highest = max(highest_sequence(db, kept), highest_sequence(db, split))
            db.execute("UPDATE document SET holder = NULL WHERE id = ?", (split,))
            moved_at = raise_now(db, now)
            for holder in (kept, split):
                _move(db, holder, highest, moved_at)
            _record(db, AuditEvent.DOCUMENT_SPLIT, document, moved_at)


def _record(
    db: Session, event: AuditEvent, document: bytes, now: int, content: Mapping[str, bytes] | None = None
) -> None:
    record_entries(db, now, [AuditEntry(event, "command", "", person_subject(document), content or {})])


def _move(db: Session, holder: int, sequence: int, now: int) -> None:
    """The holder gets a new level above `sequence` when it is derived next."""
    db.execute("INSERT OR REPLACE INTO moved_holder VALUES (?, ?)", (holder, sequence))
    mark_due(db, [holder], now)
