"""The part of a policy that makes levels from evidence: level rules, clearing and look-back (format 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from healthcode.policy.levels.evidence import EvidenceKind, Finding, TestMethod
from healthcode.policy.words import LevelReason, RiskLevel
from healthcode.wire.claims import Level

__all__ = ["SEVERITY", "Clearing", "LevelRule", "LevelRules", "Need"]

SEVERITY: Mapping[Level, int] = MappingProxyType(
    {Level.NO_ABNORMALITY: 0, Level.GREEN: 0, Level.PENDING: 1, Level.YELLOW: 2, Level.RED: 3}
)
"""Which of two levels is worse: the greater number. GREEN and NO_ABNORMALITY are equal (R4)."""


class Need(StrEnum):
    """A field that an item must have for a rule to take it."""

    PORT_OF_ENTRY = "port_of_entry"
    INSTRUMENT = "instrument"
    UNTIL = "until"


@dataclass(frozen=True, slots=True)
class Clearing:
    """So many nucleic negatives end a ground, each `apart_seconds` after the last one counted.

    The ground ends `not_before_seconds` after its start at the earliest.
    """

    negative_tests: int
    apart_seconds: int
    not_before_seconds: int = 0


@dataclass(frozen=True, slots=True)
class LevelRule:
    """One row of `levels`: which evidence makes which level, for how long, and what clears it. Seconds.

    A condition of None always matches. `risks` and `stay_seconds` are for AREA_STAY alone.
    """

    id: str
    level: Level
    reason: LevelReason
    kind: EvidenceKind
    lasts_seconds: int
    findings: frozenset[Finding] | None = None
    methods: frozenset[TestMethod] | None = None
    risks: frozenset[RiskLevel] | None = None
    stay_seconds: int = 0
    needs: frozenset[Need] = frozenset()
    two_persons: bool = False
    cleared_by: Clearing | None = None
    text: str = ""
    text_zh: str = ""


@dataclass(frozen=True, slots=True)
class LevelRules:
    """What `derive` needs of a policy of format 2; a policy of format 1 has none.

    `no_evidence` is by participant code, and "*" for the others. `unknown` has the ids of the rules that were left
    out, because this version does not know one of their words.
    """

    rules: tuple[LevelRule, ...]
    lookback_seconds: int
    no_evidence: Mapping[str, Level] = field(default_factory=lambda: MappingProxyType({}))
    unknown: tuple[str, ...] = ()
    by_kind: Mapping[EvidenceKind, tuple[tuple[int, LevelRule], ...]] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Sorts the rules by kind, each with its place in the order of all."""
        numbered = tuple(enumerate(self.rules))
        by_kind = {kind: tuple(each for each in numbered if each[1].kind is kind) for kind in EvidenceKind}
        object.__setattr__(self, "by_kind", MappingProxyType(by_kind))

    def without_evidence(self, participant: str) -> Level:
        """The level of a holder about whom nothing counts; GREEN where the policy says nothing."""
        return self.no_evidence.get(participant) or self.no_evidence.get("*") or Level.GREEN
