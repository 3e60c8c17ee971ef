"""Reads all that a derivation needs of a holder, inside one transaction of SQLite."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from healthcode.policy.levels.evidence import Evidence
from healthcode.storage.sqlite import Row, Session
from healthcode.wire.claims import LEVEL_BY_NUMBER, Level
from province_node.store.people_records import CurrentLevel, HolderState, LevelRecord
from province_node.store.sqlite.people.evidence_rows import COLUMNS, evidence_of, state_of
from province_node.store.sqlite.statements import number

__all__ = ["LEVEL_COLUMNS", "are_unchanged", "level_record", "read_holders", "read_unknown"]

LEVEL_COLUMNS = (
    "sequence, level, stated_at, reason, rule, legal_instrument, until, policy_version, source, record, starts,"
    " stated_by"
)
_EACH = ", ".join(f"each.{name.strip()}" for name in COLUMNS.split(","))
_COUNTS = frozenset({"ACTIVE", "WITHDRAWN"})

# the last item that changed the document: its own newest, or a correction that took a record away
_NEWEST = "max(own.is_shared, coalesce((SELECT id FROM evidence WHERE document = own.id ORDER BY id DESC LIMIT 1), 0))"
_IS_DUE = "EXISTS (SELECT 1 FROM to_derive WHERE document = own.id)"
_NOW = "now.sequence, now.level, now.rule, now.until, now.basis, now.next_change"
_LAST = ", ".join(f"last.{name.strip()}" for name in LEVEL_COLUMNS.split(","))
# one statement for many: a re-derivation reads millions of holders
_AMONG = "IN (SELECT value FROM json_each(?))"
_HEADS = (
    f"SELECT own.id, own.pseudonym, own.is_shared, {_NEWEST}, {_IS_DUE},"
    " EXISTS (SELECT 1 FROM document WHERE holder = own.id),"
    f" moved_holder.sequence, {_NOW}, {_LAST}"
    " FROM document AS own LEFT JOIN current_level AS now ON now.holder = own.id"
    " LEFT JOIN moved_holder ON moved_holder.holder = own.id"
    " LEFT JOIN level AS last ON last.holder = own.pseudonym"
    " AND last.sequence = (SELECT max(sequence) FROM level WHERE holder = own.pseudonym)"
    f" WHERE own.id {_AMONG}"
)
_MARKS = (
    "SELECT own.id, 1 + (SELECT count(*) FROM document WHERE holder = own.id),"
    f" max({_NEWEST}, coalesce((SELECT max({_NEWEST.replace('own.', 'other.')}) FROM document AS other"
    "  WHERE other.holder = own.id), 0)),"
    " max(coalesce((SELECT max(sequence) FROM level WHERE holder = own.pseudonym), 0),"
    "  coalesce(moved_holder.sequence, 0)),"
    " moved_holder.sequence IS NOT NULL, now.sequence, now.basis, now.next_change"
    " FROM document AS own LEFT JOIN current_level AS now ON now.holder = own.id"
    f" LEFT JOIN moved_holder ON moved_holder.holder = own.id WHERE own.id {_AMONG}"
)
_OTHERS = (
    f"SELECT own.id, own.is_shared, {_NEWEST}, {_IS_DUE} FROM document AS own"
    " WHERE own.holder = ? ORDER BY own.id"
)


@dataclass(frozen=True, slots=True)
class _Head:
    """What is known of a holder without its evidence."""

    pseudonym: bytes
    current: CurrentLevel | None
    last: LevelRecord | None
    sequence: int
    is_moved: bool
    is_due: bool
    is_shared: bool
    documents: tuple[tuple[int, int], ...]


def read_holders(
    db: Session, holders: Sequence[int], names: Mapping[int, str], *, with_evidence: bool = True
) -> list[HolderState]:
    """The holders whose first documents these are, in the same order."""
    heads = _read_heads(db, holders, names)
    evidence = _evidence(db, heads.values(), names) if with_evidence else {}
    return [_state(heads[holder], evidence.get(holder, ())) for holder in holders]


def _state(head: _Head, evidence: Sequence[Evidence]) -> HolderState:
    return HolderState(
        holder=head.pseudonym,
        evidence=evidence,
        current=head.current,
        last=head.last,
        sequence=head.sequence,
        is_due=head.is_due,
        is_moved=head.is_moved,
        documents=head.documents,
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


def are_unchanged(db: Session, seen: Sequence[HolderState]) -> list[bool]:
    """For each holder: whether it has the same evidence, documents and level as when it was read."""
    known = json.dumps([state.documents[0][0] for state in seen if state.documents])
    marks = {row[0]: tuple(row[1:]) for row in db.all(_MARKS, (known,))}
    return [
        marks[state.documents[0][0]] == _mark(state) if state.documents else _is_still_unknown(db, state)
        for state in seen
    ]


def _mark(state: HolderState) -> tuple[int | None, ...]:
    """The columns of `_MARKS`, as they were: a change of the holder changes one of them."""
    newest = max(newest for _, newest in state.documents)
    current = state.current
    now = (None, None, None) if current is None else (current.sequence, current.basis, current.next_change)
    return (len(state.documents), newest, state.sequence, state.is_moved, *now)


def _is_still_unknown(db: Session, seen: HolderState) -> bool:
    is_unknown = db.one("SELECT 1 FROM document WHERE pseudonym = ?", (seen.holder,)) is None
    newest = number(db, "SELECT coalesce(max(sequence), 0) FROM level WHERE holder = ?", seen.holder)
    return is_unknown and newest == seen.sequence


def _read_heads(db: Session, holders: Sequence[int], names: Mapping[int, str]) -> dict[int, _Head]:
    rows = db.all(_HEADS, (json.dumps(holders),))
    heads = {row[0]: _head(db, row, names) for row in rows}
    assert len(heads) == len(set(holders)), "a document is never deleted"  # noqa: S101  an invariant
    return heads


def _head(db: Session, row: Row, names: Mapping[int, str]) -> _Head:
    holder, pseudonym, is_shared, newest, is_due, has_others, moved = row[:7]
    current, last = row[7:13], row[13:]
    documents: tuple[tuple[int, int], ...] = ((holder, newest),)
    if has_others:
        others = db.all(_OTHERS, (holder,))
        documents += tuple((each[0], each[2]) for each in others)
        is_shared = is_shared or any(each[1] for each in others)
        is_due = is_due or any(each[3] for each in others)
    return _Head(
        pseudonym=bytes(pseudonym),
        current=None if current[0] is None else _current(current),
        last=None if last[0] is None else level_record(last, names),
        sequence=max(last[0] or 0, moved or 0),
        is_moved=moved is not None,
        is_due=bool(is_due),
        is_shared=bool(is_shared),
        documents=documents,
    )


def _last_level(db: Session, pseudonym: bytes, names: Mapping[int, str]) -> LevelRecord | None:
    row = db.one(
        f"SELECT {LEVEL_COLUMNS} FROM level WHERE holder = ? ORDER BY sequence DESC LIMIT 1", (pseudonym,)
    )
    return None if row is None else level_record(row, names)


def level_record(row: Sequence[Any], names: Mapping[int, str]) -> LevelRecord:
    """The record in the values of `LEVEL_COLUMNS`; a source that is not among `names` is left out."""
    return LevelRecord(
        sequence=row[0],
        level=Level(row[1]),
        stated_at=row[2],
        reason=row[3],
        rule=row[4],
        legal_instrument=row[5],
        until=row[6],
        policy_version=row[7],
        source=names.get(row[8], ""),
        record="" if row[9] is None else row[9].hex(),
        starts=row[10],
        stated_by=row[11],
    )


def _current(values: Sequence[Any]) -> CurrentLevel:
    sequence, level, rule, until, basis, next_change = values
    return CurrentLevel(sequence, LEVEL_BY_NUMBER[level], rule, until, basis, next_change)


def _evidence(
    db: Session, heads: Iterable[_Head], names: Mapping[int, str]
) -> Mapping[int, Sequence[Evidence]]:
    """By holder: every revision of the records that are about it now."""
    found: dict[int, Sequence[Evidence]] = {}
    holder_of: dict[int, int] = {}
    for head in heads:
        holder = head.documents[0][0]
        own = [document for document, newest in head.documents if newest]
        if head.is_shared:
            found[holder] = _shared_evidence(db, own, names)
        else:
            holder_of |= dict.fromkeys(own, holder)
    items: dict[int, list[Evidence]] = defaultdict(list)
    rows = db.all(f"SELECT {COLUMNS} FROM evidence WHERE document {_AMONG}", (json.dumps(list(holder_of)),))
    for row in rows:
        items[holder_of[row[3]]].append(evidence_of(row, names))
    return found | {holder: tuple(each) for holder, each in items.items()}


def _shared_evidence(db: Session, own: Sequence[int], names: Mapping[int, str]) -> tuple[Evidence, ...]:
    """The same where a revision corrected the document: what counts now may be about another holder."""
    rows: dict[int, Row] = {}
    for document in own:
        found = db.all(
            f"SELECT {_EACH}, each.id FROM evidence AS own JOIN evidence AS each"
            " ON each.source = own.source AND each.record = own.record WHERE own.document = ?",
            (document,),
        )
        rows |= {row[14]: row for row in found}
    owner: dict[tuple[int, bytes], tuple[int, int]] = {}
    for row in rows.values():
        if state_of(row) in _COUNTS:
            record = (row[0], row[1])
            owner[record] = max(owner.get(record, (0, 0)), (row[2], row[3]))
    return tuple(
        evidence_of(row, names)
        for row in rows.values()
        if row[3] in own and owner.get((row[0], row[1]), (0, row[3]))[1] in own
    )
