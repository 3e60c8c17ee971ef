"""Reads all that a derivation needs of a holder, inside one transaction of SQLite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from healthcode.policy.levels.evidence import Evidence
from healthcode.storage.sqlite import Row, Session
from healthcode.wire.claims import LEVEL_BY_NUMBER, Level
from province_node.store.people_records import CurrentLevel, HolderState, LevelRecord
from province_node.store.sqlite.people.document_rows import documents_of, highest_sequence
from province_node.store.sqlite.people.evidence_rows import COLUMNS, evidence_of, state_of
from province_node.store.sqlite.statements import number

__all__ = ["LEVEL_COLUMNS", "is_unchanged", "level_record", "read_holder", "read_unknown"]

LEVEL_COLUMNS = (
    "sequence, level, stated_at, reason, rule, legal_instrument, until, policy_version, source, record, starts,"
    " stated_by"
)
_EVIDENCE = ", ".join(f"each.{name.strip()}" for name in COLUMNS.split(","))
_COUNTS = frozenset({"ACTIVE", "WITHDRAWN"})


def read_holder(
    db: Session, holder: int, names: Mapping[int, str], *, with_evidence: bool = True
) -> HolderState:
    """The holder whose first document this is; `names` are of the sources."""
    documents = documents_of(db, holder)
    pseudonym = db.one("SELECT pseudonym FROM document WHERE id = ?", (holder,))
    assert pseudonym is not None, "a document is never deleted"  # noqa: S101  an invariant
    return HolderState(
        holder=bytes(pseudonym[0]),
        evidence=_evidence(db, documents, names) if with_evidence else (),
        current=_read_current(db, holder),
        last=_last_level(db, bytes(pseudonym[0]), names),
        sequence=highest_sequence(db, holder),
        is_due=any(
            db.one("SELECT 1 FROM to_derive WHERE document = ?", (each,)) is not None for each in documents
        ),
        is_moved=_is_moved(db, holder),
        documents=_newest_changes(db, documents),
    )


def read_unknown(db: Session, pseudonym: bytes, names: Mapping[int, str]) -> HolderState:
    """A holder about whom there was never any evidence; a back end may have stated levels."""
    last = _last_level(db, pseudonym, names)
    return HolderState(
        holder=pseudonym,
        evidence=(),
        current=None,
        last=last,
        sequence=0 if last is None else last.sequence,
        is_due=False,
        is_moved=False,
        documents=(),
    )


def is_unchanged(db: Session, seen: HolderState) -> bool:
    """Whether a holder has the same evidence, documents and level as when it was read."""
    if not seen.documents:
        is_unknown = db.one("SELECT 1 FROM document WHERE pseudonym = ?", (seen.holder,)) is None
        newest = number(db, "SELECT max(sequence) FROM level WHERE holder = ? HAVING count(*)", seen.holder)
        return is_unknown and newest == seen.sequence
    holder = seen.documents[0][0]
    return (
        _newest_changes(db, documents_of(db, holder)) == seen.documents
        and _read_current(db, holder) == seen.current
        and highest_sequence(db, holder) == seen.sequence
        and _is_moved(db, holder) == seen.is_moved
    )


def _newest_changes(db: Session, documents: Sequence[int]) -> tuple[tuple[int, int], ...]:
    newest = "SELECT id FROM evidence WHERE document = ? ORDER BY id DESC LIMIT 1"
    return tuple((each, number(db, newest, each)) for each in documents)


def _is_moved(db: Session, holder: int) -> bool:
    return db.one("SELECT 1 FROM moved_holder WHERE holder = ?", (holder,)) is not None


def _read_current(db: Session, holder: int) -> CurrentLevel | None:
    row = db.one(
        "SELECT sequence, level, rule, until, basis, next_change FROM current_level WHERE holder = ?",
        (holder,),
    )
    return None if row is None else _current(row)


def _last_level(db: Session, pseudonym: bytes, names: Mapping[int, str]) -> LevelRecord | None:
    row = db.one(
        f"SELECT {LEVEL_COLUMNS} FROM level WHERE holder = ? ORDER BY sequence DESC LIMIT 1", (pseudonym,)
    )
    return None if row is None else level_record(row, names)


def level_record(row: Row, names: Mapping[int, str]) -> LevelRecord:
    """The record in a row of `LEVEL_COLUMNS`."""
    return LevelRecord(
        sequence=row[0],
        level=Level(row[1]),
        stated_at=row[2],
        reason=row[3],
        rule=row[4],
        legal_instrument=row[5],
        until=row[6],
        policy_version=row[7],
        source="" if row[8] is None else names[row[8]],
        record="" if row[9] is None else row[9].hex(),
        starts=row[10],
        stated_by=row[11],
    )


def _current(row: Row) -> CurrentLevel:
    return CurrentLevel(
        sequence=row[0],
        level=LEVEL_BY_NUMBER[row[1]],
        rule=row[2],
        until=row[3],
        basis=row[4],
        next_change=row[5],
    )


def _evidence(db: Session, documents: Sequence[int], names: Mapping[int, str]) -> tuple[Evidence, ...]:
    """Every revision of the records that are about these documents now.

    A revision may correct the document: then what counts is about another holder, and this one has nothing of it.
    """
    rows: dict[int, Row] = {}
    for document in documents:
        found = db.all(
            f"SELECT {_EVIDENCE}, each.id FROM evidence AS own JOIN evidence AS each"
            " ON each.source = own.source AND each.record = own.record WHERE own.document = ?",
            (document,),
        )
        rows |= {row[14]: row for row in found}
    owner: dict[tuple[int, bytes], tuple[int, int]] = {}
    for row in rows.values():
        if state_of(row) in _COUNTS:
            record = (row[0], row[1])
            owner[record] = max(owner.get(record, (0, 0)), (row[2], row[3]))
    own = frozenset(documents)
    return tuple(
        evidence_of(row, names)
        for row in rows.values()
        if row[3] in own and owner.get((row[0], row[1]), (0, row[3]))[1] in own
    )
