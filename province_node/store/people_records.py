"""Records about people: sources, evidence under pseudonyms, levels and their history. Plain data, the same for every store.

The record of an item of evidence is the node's reference of it: 32 hex digits (`PseudonymKey.record_reference`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from healthcode.policy.levels.evidence import Evidence, EvidenceKind, EvidenceState
from healthcode.wire.claims import Level

__all__ = [
    "MAX_ITEMS",
    "MAX_REVISIONS",
    "AddResult",
    "Added",
    "Applied",
    "CurrentLevel",
    "HolderState",
    "LevelBasis",
    "LevelRecord",
    "LevelUpdate",
    "NewEvidence",
    "ReceivedBetween",
    "Source",
    "SourceState",
    "WithdrawProgress",
    "Withdrawn",
]


class SourceState(StrEnum):
    """Whether a source may send evidence. What a suspended one sent goes on to count."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"


@dataclass(frozen=True, slots=True)
class Source:
    """Who reports evidence. `public_key`: `sha256:` and the digest of its certificate's public key."""

    name: str
    public_key: str
    kinds: frozenset[EvidenceKind]
    unit: str
    state: SourceState = SourceState.ACTIVE
    since: int = 0


# -- evidence ------------------------------------------------------------------

MAX_REVISIONS = 100
"""Of one record. Each item reads them, and each derivation: without a limit one source slows a holder without end."""

MAX_ITEMS = 1000
"""Of one source about one document. A withdrawal of what counts is taken beyond both limits."""


@dataclass(frozen=True, slots=True)
class NewEvidence:
    """An item to be recorded about the holder of a document, by its pseudonym. The store sets `known_at`."""

    document: bytes
    evidence: Evidence


class AddResult(StrEnum):
    """What became of an item."""

    ADDED = "ADDED"
    DUPLICATE = "DUPLICATE"  # the same revision with the same content was there
    CONFLICT = "CONFLICT"  # the same revision with other content was there
    TOO_MANY_REVISIONS = "TOO_MANY_REVISIONS"  # of this record
    TOO_MANY_ITEMS = "TOO_MANY_ITEMS"  # of this source about this document


@dataclass(frozen=True, slots=True)
class Added:
    """`state` is of the recorded item; `highest`: the highest revision of its record that is known now."""

    result: AddResult
    state: EvidenceState
    highest: int


@dataclass(frozen=True, slots=True)
class ReceivedBetween:
    """Selects the evidence of a source that the node received in received_from ≤ t < received_until."""

    received_from: int
    received_until: int
    kind: EvidenceKind | None = None


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """How many records got a withdrawn revision, had one already, or are not of this source."""

    newly: int
    already: int
    unknown: int = 0
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class WithdrawProgress:
    """How far a withdrawal by time of receipt has come; `behind`: the last item that it has looked at."""

    began: int
    behind: int
    through: int
    newly: int = 0
    already: int = 0


# -- levels --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LevelRecord:
    """One row of a holder's level history. `stated_by` is set for levels that back ends stated under format 1.

    `rule` is the level rule; `source` and `record` name the item of evidence that is the ground.
    """

    sequence: int
    level: Level
    stated_at: int
    reason: str | None = None
    rule: str = ""
    legal_instrument: str = ""
    until: int | None = None
    policy_version: str = ""
    source: str = ""
    record: str = ""
    starts: int | None = None
    stated_by: str = ""


@dataclass(frozen=True, slots=True)
class CurrentLevel:
    """The level that was derived last. `until`: when its ground ends; `basis`: the `LevelBasis` it was derived by."""

    sequence: int
    level: Level
    rule: str
    until: int | None
    basis: int
    next_change: int | None


@dataclass(frozen=True, slots=True)
class HolderState:
    """All that a derivation needs of a holder, and what tells later whether it is still so.

    `sequence`: the highest ever of this holder (0: none). `last`: the newest row of the history.
    `documents`: (row, newest change of its evidence) of each. `moved`: documents came or went since the last level.
    """

    holder: bytes
    evidence: Sequence[Evidence]
    current: CurrentLevel | None
    last: LevelRecord | None
    sequence: int
    is_due: bool
    is_moved: bool
    documents: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class LevelUpdate:
    """What a derivation changes. `record` None: level, rule and ground are as they were.

    `current` None: no row is kept for a holder who never had a ground.
    """

    seen: HolderState
    current: CurrentLevel | None
    record: LevelRecord | None = None
    revokes: bool = False


@dataclass(frozen=True, slots=True)
class Applied:
    """`done[i]`: whether update i was applied; False: its holder changed meanwhile. `revoked`: codes, in all."""

    done: Sequence[bool]
    revoked: int


@dataclass(frozen=True, slots=True)
class LevelBasis:
    """A policy and an areas file by which levels are derived. `fingerprint` is of their content."""

    fingerprint: str
    policy_version: str
    areas_as_of: int
    number: int = 0
    is_finished: bool = field(default=False, compare=False)
