"""Statements about evidence, inside a transaction: an item as a row of numbers, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from healthcode.errors import NotFoundError, Reason
from healthcode.policy.levels.evidence import Evidence, EvidenceKind, EvidenceState, Finding, TestMethod
from healthcode.storage.sqlite import Row, Session
from province_node.store.sqlite.statements import insert_all

__all__ = [
    "COLUMNS",
    "KIND_NUMBERS",
    "evidence_of",
    "insert_evidence",
    "mark_due",
    "row_of",
    "source_names",
    "source_number",
    "state_of",
]

# numbers that are on disk: a list only ever grows at its end, 0 is "none"
KIND_NUMBERS: Mapping[EvidenceKind, int] = {
    kind: number
    for number, kind in enumerate(
        (
            EvidenceKind.TEST,
            EvidenceKind.VACCINATION,
            EvidenceKind.AREA_STAY,
            EvidenceKind.CONTACT,
            EvidenceKind.CASE_REPORT,
            EvidenceKind.QUARANTINE_ORDER,
            EvidenceKind.PUSH,
            EvidenceKind.ORDER,
        ),
        start=1,
    )
}
_FINDINGS = (
    None,
    Finding.NEGATIVE,
    Finding.POSITIVE,
    Finding.CLOSE,
    Finding.SECOND,
    Finding.OVERLAP,
    Finding.CONVEYANCE,
    Finding.CONFIRMED,
    Finding.ASYMPTOMATIC,
    Finding.SUSPECTED,
    Finding.DISCHARGED,
    Finding.ENTRANT,
    Finding.RETURNEE,
    Finding.RED,
    Finding.YELLOW,
)
_METHODS = (None, TestMethod.NUCLEIC, TestMethod.ANTIBODY)
_STATES = (
    EvidenceState.ACTIVE,
    EvidenceState.WITHDRAWN,
    EvidenceState.HELD,
    EvidenceState.REJECTED,
    EvidenceState.EXPIRED,
    EvidenceState.SUSPENDED,
)
_KINDS = {number: kind for kind, number in KIND_NUMBERS.items()}
_FINDING_NUMBERS = {finding: number for number, finding in enumerate(_FINDINGS)}
_METHOD_NUMBERS = {method: number for number, method in enumerate(_METHODS)}
_STATE_NUMBERS = {state: number for number, state in enumerate(_STATES)}
_EXTRA = ("instrument", "port_of_entry", "laboratory", "product", "dose", "reason")

COLUMNS = (
    "source, record, revision, document, kind, finding, method, observed_at, from_at, area, until, extra,"
    " known_at, state"
)
_INSERT = f"INSERT INTO evidence ({COLUMNS})"


def row_of(evidence: Evidence, source: int, document: int) -> tuple[Any, ...]:
    """The columns of an item but the last two: what makes it the same item again."""
    extra = {name: value for name in _EXTRA if (value := getattr(evidence, name))}
    return (
        source,
        bytes.fromhex(evidence.record),
        evidence.revision,
        document,
        KIND_NUMBERS[evidence.kind],
        _FINDING_NUMBERS[evidence.finding],
        _METHOD_NUMBERS[evidence.method],
        evidence.observed_at,
        evidence.stay_from,
        int(evidence.area) if evidence.area else None,
        evidence.until,
        json.dumps(extra, ensure_ascii=False, separators=(",", ":")) if extra else None,
    )


def evidence_of(row: Row, names: Mapping[int, str]) -> Evidence:
    """The item in a row that begins with `COLUMNS`; `names` are of the sources."""
    source, record, revision, _, kind, finding, method, observed_at, from_at, area, until = row[:11]
    extra = {} if row[11] is None else json.loads(row[11])
    # by position: a derivation of everybody makes millions of them
    return Evidence(
        names[source],
        record.hex(),
        revision,
        _KINDS[kind],
        observed_at,
        row[12],
        _FINDINGS[finding],
        _METHODS[method],
        "" if area is None else f"{area:06}",
        from_at,
        None if from_at is None else observed_at,
        until,
        state=_STATES[row[13]],
        **extra,
    )


def insert_evidence(db: Session, items: Sequence[tuple[Sequence[Any], EvidenceState]], known_at: int) -> None:
    """Items as the columns of `row_of`, and their states."""
    insert_all(db, _INSERT, [(*columns, known_at, _STATE_NUMBERS[state]) for columns, state in items])


def mark_due(db: Session, documents: Iterable[int], now: int) -> None:
    """The levels of the documents' holders are to be derived. An older mark stays."""
    insert_all(db, "INSERT OR IGNORE INTO to_derive", [(each, now) for each in documents])


def state_of(row: Row) -> EvidenceState:
    """The state in a row that begins with `COLUMNS`."""
    return _STATES[row[13]]


def source_names(db: Session) -> dict[int, str]:
    return {row[0]: row[1] for row in db.all("SELECT id, name FROM source")}


def source_number(db: Session, name: str) -> int:
    """Raises NotFoundError (SOURCE_UNKNOWN)."""
    row = db.one("SELECT id FROM source WHERE name = ?", (name,))
    if row is None:
        raise NotFoundError(f"there is no source {name!r}", reason=Reason.SOURCE_UNKNOWN)
    return int(row[0])
