"""What the tests of people's records use: a source, items of evidence, updates of levels."""

from __future__ import annotations

import hashlib
from typing import Any

from healthcode.policy.levels.evidence import Evidence, EvidenceKind, EvidenceState, Finding, TestMethod
from healthcode.wire.claims import Level
from province_node.store.people_records import (
    AddResult,
    CurrentLevel,
    HolderState,
    LevelBasis,
    LevelRecord,
    LevelUpdate,
    NewEvidence,
    Source,
)
from province_node.store.protocols import NodeStore
from tests.contract.store.stores import HOLDER, NOW

__all__ = ["LAB", "add", "apply", "basis", "evidence", "levelled", "read", "record"]

LAB = Source("lab-1", "sha256:" + "a" * 64, frozenset({EvidenceKind.TEST}), "laboratories")


def record(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def evidence(name: str = "a", **changes: Any) -> Evidence:
    """A negative test of nucleic acid of an hour ago."""
    values: dict[str, Any] = {
        "source": LAB.name,
        "record": record(name),
        "revision": 1,
        "kind": EvidenceKind.TEST,
        "observed_at": NOW - 3600,
        "known_at": NOW,
        "finding": Finding.NEGATIVE,
        "method": TestMethod.NUCLEIC,
    }
    return Evidence(**{**values, **changes})


def add(store: NodeStore, *items: Evidence, document: bytes = HOLDER, now: int = NOW) -> list[AddResult]:
    if store.sources.find_source(LAB.name) is None:
        store.sources.add_source(LAB, NOW)
    added = store.evidence.add_evidence([NewEvidence(document, each) for each in items], now)
    return [each.result for each in added]


def withdrawn(item: Evidence) -> Evidence:
    return item._replace(revision=item.revision + 1, state=EvidenceState.WITHDRAWN)


def read(store: NodeStore, document: bytes = HOLDER) -> HolderState:
    (state,) = store.levels.read_holders([document])
    return state


def basis(store: NodeStore, name: str = "b") -> int:
    return store.levels.find_basis(LevelBasis(name, "27.1", 0)).number


def levelled(
    store: NodeStore,
    state: HolderState,
    level: Level,
    *,
    next_change: int | None = None,
    revokes: bool = True,
) -> LevelUpdate:
    """An update to `level` under the rule L-A7-1, with a new row of the history."""
    sequence = state.sequence + 1
    new = LevelRecord(sequence, level, NOW, "A7", "L-A7-1", policy_version="27.1", starts=NOW)
    current = CurrentLevel(sequence, level, "L-A7-1", next_change, basis(store), next_change)
    return LevelUpdate(state, current, new, revokes=revokes)


def apply(store: NodeStore, level: Level, document: bytes = HOLDER, **changes: Any) -> None:
    update = levelled(store, read(store, document), level, **changes)
    assert store.levels.apply_levels([update], NOW).done == [True]
