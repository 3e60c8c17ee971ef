"""The decision function: facts in, the ruling of the first rule that matches out. Every node decides the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from healthcode.errors import InternalError
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import OUTAGES, Decision, Outcome, PersonCategory, PlaceType, RiskLevel
from healthcode.wire.claims import Level

__all__ = ["Facts", "Rule", "RuleTable", "Ruling"]

_PASSING = frozenset({Decision.PASS, Decision.CHECK_NOT_REQUIRED})
_REMEDY = "Check by another way, or ask the home province for the person's present status."


class Facts(NamedTuple):
    """The input of a decision. `area` is None if the area is not listed, or not given."""

    outcome: Outcome
    level: Level | None
    tier: TrustTier
    place: PlaceType
    area: RiskLevel | None
    category: PersonCategory


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a policy. A condition of None always matches."""

    id: str
    decision: Decision
    remedy: str | None
    outcomes: frozenset[Outcome] | None
    levels: frozenset[Level] | None
    tiers: frozenset[TrustTier] | None
    places: frozenset[PlaceType] | None
    areas: frozenset[RiskLevel] | None
    categories: frozenset[PersonCategory] | None
    warnings: tuple[str, ...] = ()

    @property
    def is_conditional(self) -> bool:
        """Whether some facts do not match."""
        conditions = (self.outcomes, self.levels, self.tiers, self.places, self.areas, self.categories)
        return any(condition is not None for condition in conditions)


@dataclass(frozen=True, slots=True)
class Ruling:
    """A decision, the rule that made it, and a remedy (None with PASS and CHECK_NOT_REQUIRED)."""

    decision: Decision
    rule_id: str
    remedy: str | None
    warnings: tuple[str, ...] = ()


class _Row(NamedTuple):
    tiers: frozenset[TrustTier] | None
    places: frozenset[PlaceType] | None
    areas: frozenset[RiskLevel] | None
    categories: frozenset[PersonCategory] | None
    ruling: Ruling


class RuleTable:
    """The rules of one policy, sorted by outcome and level when the policy is loaded. Immutable."""

    __slots__ = ("_area_default", "_rows")

    def __init__(self, rules: Sequence[Rule], area_default: RiskLevel) -> None:
        self._area_default = area_default
        self._rows: Mapping[tuple[Outcome, Level | None], tuple[_Row, ...]] = MappingProxyType(
            {
                (outcome, level): tuple(_rows(rules, outcome, level))
                for outcome in Outcome
                for level in (None, *Level)
            }
        )

    def decide(self, facts: Facts) -> Ruling:
        """The ruling of the first rule that matches. Pure."""
        outcome, level, tier, place, area, category = facts
        for tiers, places, areas, categories, ruling in self._rows[outcome, level]:
            if (
                (tiers is None or tier in tiers)
                and (places is None or place in places)
                and (areas is None or (area or self._area_default) in areas)
                and (categories is None or category in categories)
            ):
                return ruling
        raise InternalError(
            "no rule of the policy matches"
        )  # decode_policy demands an unconditional last rule


def _rows(rules: Sequence[Rule], outcome: Outcome, level: Level | None) -> list[_Row]:
    rows = []
    for rule in rules:
        if rule.outcomes is not None and outcome not in rule.outcomes:
            continue
        if rule.levels is not None and level not in rule.levels:
            continue
        conditions = (rule.tiers, rule.places, rule.areas, rule.categories)
        rows.append(_Row(*conditions, _ruling(rule, outcome, level)))
        if conditions == (None, None, None, None):
            break  # always matches, so no later rule is reached
    return rows


def _ruling(rule: Rule, outcome: Outcome, level: Level | None) -> Ruling:
    """The rule's decision, within what no policy may change.

    Only VALID passes, an outage is never REFUSE, and an unknown level is UNDECIDED.
    """
    decision, warnings = rule.decision, rule.warnings
    if outcome is Outcome.VALID and level is Level.UNKNOWN:
        decision, warnings = Decision.UNDECIDED, (*warnings, "UNKNOWN_LEVEL")
    elif decision in _PASSING and outcome is not Outcome.VALID:
        decision, warnings = Decision.UNDECIDED, (*warnings, "POLICY_PASSES_INVALID")
    elif decision is Decision.REFUSE and outcome in OUTAGES:
        decision, warnings = Decision.UNDECIDED, (*warnings, "POLICY_REFUSES_OUTAGE")
    remedy = None if decision in _PASSING else rule.remedy or _REMEDY
    return Ruling(decision, rule.id, remedy, warnings)
