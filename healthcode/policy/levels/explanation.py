"""Why a level: every ground, and for each other rule what kept it from one. For people; `derive` decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from healthcode.clock import rfc3339
from healthcode.policy.area import AreaRisk
from healthcode.policy.levels.derive import DerivedLevel, Ground, derive
from healthcode.policy.levels.evidence import Evidence, EvidenceKind, EvidenceState
from healthcode.policy.levels.rules import LevelRule, LevelRules, Need
from healthcode.policy.levels.stays import stay_risk

__all__ = ["Explanation", "explain_level"]

_COUNTING = frozenset({EvidenceState.ACTIVE, EvidenceState.WITHDRAWN})
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Explanation:
    """The derived level, and by the id of each rule without an active ground, why it has none."""

    derived: DerivedLevel
    why_not: dict[str, tuple[str, ...]]


def explain_level(
    rules: LevelRules, evidence: Sequence[Evidence], areas: AreaRisk, now: int, *, participant: str
) -> Explanation:
    """`derive`, and why no other rule has a ground. Pure."""
    derived = derive(rules, evidence, areas, now, participant=participant)
    active = {ground.rule for ground in derived.grounds if ground.starts <= now < ground.ends}
    why_not = {}
    for rule in rules.rules:
        if rule.id not in active:
            found = [
                f"{_name(item)}: {_why_not(rules, rule, item, evidence, areas, derived.grounds, now)}"
                for item in evidence
                if item.kind is rule.kind
            ]
            why_not[rule.id] = tuple(found) or (f"there is no {rule.kind}",)
    return Explanation(derived, why_not)


def _name(item: Evidence) -> str:
    words = " ".join(str(word) for word in (item.kind, item.method, item.finding, item.area) if word)
    return f"{words} ({item.source}, record {item.record}, revision {item.revision})"


def _why_not(
    rules: LevelRules,
    rule: LevelRule,
    item: Evidence,
    evidence: Sequence[Evidence],
    areas: AreaRisk,
    grounds: Sequence[Ground],
    now: int,
) -> str:
    """Why this item gives the rule no active ground."""
    ground = next((each for each in grounds if each.evidence == item), None)
    if ground is not None:
        return _ended(ground, now) if ground.rule == rule.id else f"gives its one ground to {ground.rule}"
    reasons = (*_not_counting(item, evidence), *_too_old(rules, item, now), *_unmet(rule, item, areas))
    return reasons[0] if reasons else "it ends before it begins"


def _ended(ground: Ground, now: int) -> str:
    if now < ground.starts:
        return f"begins {rfc3339(ground.starts)}"
    return f"{'cleared by tests' if ground.cleared else 'ended'} {rfc3339(ground.ends)}"


def _not_counting(item: Evidence, evidence: Sequence[Evidence]) -> Iterator[str]:
    if item.state is not EvidenceState.ACTIVE:
        yield f"is {item.state}, so it counts for nothing"
    if any(
        (each.source, each.record) == (item.source, item.record)
        and each.revision > item.revision
        and each.state in _COUNTING
        for each in evidence
    ):
        yield "a higher revision replaces it"


def _too_old(rules: LevelRules, item: Evidence, now: int) -> Iterator[str]:
    moment = item.observed_at if item.stay_to is None else item.stay_to
    if moment < now - rules.lookback_seconds:
        yield f"is over {rules.lookback_seconds // _DAY} days ago"


def _unmet(rule: LevelRule, item: Evidence, areas: AreaRisk) -> Iterator[str]:
    if rule.findings is not None and item.finding not in rule.findings:
        yield f"its finding is none of {', '.join(sorted(rule.findings))}"
    if rule.methods is not None and item.method not in rule.methods:
        yield f"its method is none of {', '.join(sorted(rule.methods))}"
    if rule.kind is EvidenceKind.AREA_STAY and item.stay_from is not None and item.stay_to is not None:
        yield from _unmet_stay(rule, item, item.stay_from, item.stay_to, areas)
    given = {Need.UNTIL: item.until, Need.INSTRUMENT: item.instrument, Need.PORT_OF_ENTRY: item.port_of_entry}
    if lacking := sorted(need for need in rule.needs if given[need] in {None, ""}):
        yield f"lacks {', '.join(lacking)}"


def _unmet_stay(
    rule: LevelRule, item: Evidence, stay_from: int, stay_to: int, areas: AreaRisk
) -> Iterator[str]:
    found = stay_risk(areas.history(item.area), stay_from, stay_to, rule.stay_seconds)
    wanted = ", ".join(sorted(rule.risks or ()))
    minutes = f"{(stay_to - stay_from) // 60} minutes"
    if found is None:
        yield f"of its {minutes} fewer than {rule.stay_seconds // 60} were at a listed risk ({wanted} is asked for)"
    elif rule.risks is not None and found[0] not in rule.risks:
        yield f"the area's highest risk for {rule.stay_seconds // 60} of its {minutes} was {found[0]}, not {wanted}"
