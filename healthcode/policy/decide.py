"""The decision function: facts in, the first rule that holds out.

The same for every node and every integrator; the vectors of tests/vectors prove
it. Three things hold whatever a policy says: nothing but VALID ever passes, an
outage never becomes REFUSE, and a level that this version does not know leaves
the decision UNDECIDED.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

from healthcode.errors import InternalError
from healthcode.policy.book import Policy, Rule
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import OUTAGES, Decision, Outcome, PersonCategory, PlaceType, RiskLevel
from healthcode.wire.claims import Level

__all__ = ["Facts", "Ruling", "decide"]

_PASSING = frozenset({Decision.PASS, Decision.CHECK_NOT_REQUIRED})


class Facts(NamedTuple):
    """What a decision rests on. `area` is None when the area is not listed or was not given."""

    outcome: Outcome
    level: Level | None
    tier: TrustTier
    place: PlaceType
    area: RiskLevel | None
    category: PersonCategory


@dataclass(frozen=True, slots=True)
class Ruling:
    """A decision, the rule that made it, and what can be done now (None when one may pass)."""

    decision: Decision
    rule_id: str
    remedy: str | None
    warnings: tuple[str, ...] = ()


def decide(policy: Policy, facts: Facts) -> Ruling:
    """What `policy` says of `facts`. Pure: equal arguments, equal ruling."""
    known = policy.rulings.get(facts)
    if known is None:
        known = policy.rulings[facts] = _decide(policy, facts)
    return cast("Ruling", known)


def _decide(policy: Policy, facts: Facts) -> Ruling:
    area = facts.area or policy.area_default
    rule = next((rule for rule in policy.rules if _holds(rule, facts, area)), None)
    if rule is None:
        raise InternalError(f"no rule of policy {policy.version} holds")  # decode_policy demands a last rule
    decision, remedy, warnings = rule.decision, rule.remedy, rule.warnings
    if facts.outcome is Outcome.VALID and facts.level is Level.UNKNOWN:
        decision, warnings = Decision.UNDECIDED, (*warnings, "UNKNOWN_LEVEL")
    elif decision in _PASSING and facts.outcome is not Outcome.VALID:
        decision, warnings = Decision.UNDECIDED, (*warnings, "POLICY_PASSES_INVALID")
    elif decision is Decision.REFUSE and facts.outcome in OUTAGES:
        decision, warnings = Decision.UNDECIDED, (*warnings, "POLICY_REFUSES_OUTAGE")
    if decision in _PASSING:
        return Ruling(decision, rule.id, None, warnings)
    return Ruling(decision, rule.id, remedy or _REMEDY, warnings)


_REMEDY = "Check by another way, or ask the home province for the person's present status."


def _holds(rule: Rule, facts: Facts, area: RiskLevel) -> bool:
    return (
        (rule.outcomes is None or facts.outcome in rule.outcomes)
        and (rule.levels is None or facts.level in rule.levels)
        and (rule.tiers is None or facts.tier in rule.tiers)
        and (rule.places is None or facts.place in rule.places)
        and (rule.areas is None or area in rule.areas)
        and (rule.categories is None or facts.category in rule.categories)
    )
