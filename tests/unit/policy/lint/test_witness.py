"""Each level rule takes its own evidence."""

from __future__ import annotations

from dataclasses import replace

from healthcode.policy.book_file import decode_policy
from healthcode.policy.levels.rules import LevelRules
from healthcode.policy.levels_policy import levels_policy_bytes
from healthcode.policy.lint.witness import lint_witnesses, witnesses
from healthcode.policy.words import RiskLevel


def national() -> LevelRules:
    found = decode_policy(levels_policy_bytes()).policies[0].levels
    assert found is not None
    return found


def test_every_national_rule_takes_its_evidence() -> None:
    """One witness for each finding, method and risk; none lands elsewhere."""
    rules = national()
    assert list(lint_witnesses(rules)) == []
    assert sum(len(list(witnesses(rule))) for rule in rules.rules) == 16


def test_a_rule_whose_evidence_lands_in_another_is_named() -> None:
    """The first rule that takes an item gives its ground, so a later one with the same conditions is never used."""
    rules = national()
    twin = replace(rules.rules[0], id="L-A1-2")
    (problem,) = lint_witnesses(replace(rules, rules=(*rules.rules, twin)))
    assert str(problem) == "levels[L-A1-2]: its evidence, PUSH RED, lands in L-A1-1"


def test_a_rule_whose_evidence_lands_nowhere_is_named() -> None:
    """An evidence that is not looked at when its ground begins gives none."""
    rules = national()
    stay = next(rule for rule in rules.rules if rule.risks == {RiskLevel.HIGH})
    (problem,) = lint_witnesses(replace(rules, rules=(replace(stay, lasts_seconds=0),)))
    assert "AREA_STAY HIGH, lands in no rule" in str(problem)
