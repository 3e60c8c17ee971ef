"""Lint of `places`: few facts stand for all."""

from __future__ import annotations

from pathlib import Path

import pytest

import healthcode.policy
from healthcode.policy.book_file import decode_policy
from healthcode.policy.decide import Facts
from healthcode.policy.lint.table_lint import distinct_facts, every_fact
from healthcode.policy.words import PlaceType

FOLDER = Path(healthcode.policy.__file__).parent


@pytest.mark.parametrize("name", ["national.json", "national.2.json"])
def test_few_facts_show_all_that_a_policy_decides(name: str) -> None:
    """Whatever some fact shows of a rule, also at hospitals and by level, a distinct fact shows."""
    policy = decode_policy((FOLDER / name).read_bytes()).policies[0]

    def shown(facts: Facts) -> tuple[object, ...]:
        ruling = policy.decide(facts)
        place = facts.place is PlaceType.HOSPITAL
        return (
            ruling.rule_id,
            ruling.decision,
            ruling.remedy,
            ruling.warnings,
            facts.outcome,
            facts.level,
            place,
        )

    few = list(distinct_facts(policy))
    assert {shown(facts) for facts in few} == {shown(facts) for facts in every_fact()}
    assert len(few) < sum(1 for _ in every_fact()) / 4
