"""Witnesses: the least evidence that a level rule must take. Lint derives each, and it must land in its rule."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from healthcode.policy.area import AreaRisk, RiskInterval
from healthcode.policy.levels.derive import derive
from healthcode.policy.levels.evidence import FINDINGS, Evidence, EvidenceKind, Finding, TestMethod
from healthcode.policy.levels.rules import LevelRule, LevelRules, Need
from healthcode.policy.lint.problem import Problem
from healthcode.policy.words import RiskLevel

__all__ = ["lint_witnesses", "witnesses"]

_START = 1_800_000_000
_AREA = "110101"
_NO_STAY = 60


def lint_witnesses(rules: LevelRules, participant: str = "44") -> Iterator[Problem]:
    """The problems of rules that do not take their own evidence."""
    for rule in rules.rules:
        for item, areas in witnesses(rule):
            found = derive(rules, [item], areas, item.observed_at, participant=participant)
            landed = "no rule" if found.ground is None else found.ground.rule
            if landed != rule.id:
                words = (
                    item.kind,
                    item.finding,
                    item.method,
                    *(each[0].risk for each in areas.intervals.values()),
                )
                text = f"its evidence, {' '.join(str(word) for word in words if word)}, lands in {landed}"
                yield Problem(f"levels[{rule.id}]", text)


def witnesses(rule: LevelRule) -> Iterator[tuple[Evidence, AreaRisk]]:
    """(evidence, areas) for each finding, method and risk of the rule; the ground begins at `observed_at`."""
    is_stay = rule.kind is EvidenceKind.AREA_STAY
    given = FINDINGS[rule.kind] if rule.findings is None else rule.findings
    findings: list[Finding | None] = [*sorted(given)] or [None]
    methods: list[TestMethod | None] = (
        [*sorted(rule.methods or TestMethod)] if rule.kind is EvidenceKind.TEST else [None]
    )
    risks: list[RiskLevel | None] = [*sorted(rule.risks or RiskLevel)] if is_stay else [None]
    for finding, method, risk in product(findings, methods, risks):
        ends = _START + max(rule.stay_seconds, _NO_STAY)
        item = Evidence(
            source="witness",
            record="1",
            revision=1,
            kind=rule.kind,
            observed_at=ends if is_stay else _START,
            known_at=ends,
            finding=finding,
            method=method,
            area=_AREA if is_stay else "",
            stay_from=_START if is_stay else None,
            stay_to=ends if is_stay else None,
            until=ends + rule.lasts_seconds if Need.UNTIL in rule.needs else None,
            instrument="No. 1" if Need.INSTRUMENT in rule.needs else "",
            port_of_entry="a port" if Need.PORT_OF_ENTRY in rule.needs else "",
        )
        intervals = {} if risk is None else {_AREA: (RiskInterval(risk, _START),)}
        yield item, AreaRisk(ends, intervals=intervals)
