"""derive: the level of a holder from the evidence about them, by the national rules. Pure (requirement R12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from healthcode.policy.area import AreaRisk
from healthcode.policy.levels.evidence import Evidence
from healthcode.policy.levels.rules import LevelRules
from healthcode.policy.words import LevelReason
from healthcode.wire.claims import Level

__all__ = ["DerivedLevel", "Ground", "derive"]


@dataclass(frozen=True, slots=True)
class Ground:
    """One item's ground under one rule, active in `starts` ≤ now < `ends` (epoch seconds)."""

    rule: str
    level: Level
    reason: LevelReason
    evidence: Evidence
    starts: int
    ends: int
    cleared: bool = False


@dataclass(frozen=True, slots=True)
class DerivedLevel:
    """The level at `now`; `ground` is the one that decides (None: none is active).

    Nothing changes before `next_change` (None: never, unless evidence, policy or areas change).
    `grounds` has every ground of the looked-at evidence, active or not, in a stable order.
    """

    level: Level
    ground: Ground | None
    next_change: int | None
    grounds: tuple[Ground, ...] = ()


def derive(
    rules: LevelRules, evidence: Sequence[Evidence], areas: AreaRisk, now: int, *, participant: str
) -> DerivedLevel:
    """The level of a holder whose evidence this is, at `now`, for a home `participant`.

    The order of `evidence` never matters.
    """
    raise NotImplementedError
