"""`policy/national.json` of format 2: what it adds, what a reader passes over, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from healthcode.errors import DecodeError
from healthcode.policy.accountability import Appeals, HoldLimits, Holds, LookUpLimits, Unanswered
from healthcode.policy.book import Policy
from healthcode.policy.book_file import decode_policy
from healthcode.policy.checks import CheckRequired
from healthcode.policy.levels.evidence import EvidenceKind, Finding
from healthcode.policy.levels.rules import Clearing, LevelRules, Need
from healthcode.policy.words import LevelReason, PersonCategory, PlaceType, RiskLevel
from healthcode.wire.claims import Level
from tests.unit.policy.policies import NOW, document, facts
from tests.world.level_rules import format_2, format_2_book

DAY = 86_400


def policy(**changes: Any) -> Policy:
    return format_2_book(**changes).in_force(NOW)


def levels(**changes: Any) -> LevelRules:
    found = policy(**changes).levels
    assert found is not None
    return found


def stay_rule(**changes: Any) -> dict[str, Any]:
    """The level rule L-A7-1 with some fields changed."""
    rule: dict[str, Any] = next(
        each for each in format_2()["policies"][0]["levels"] if each["id"] == "L-A7-1"
    )
    return {**rule, **changes}


def test_each_part_of_format_2_is_read() -> None:
    """Days, hours and minutes become seconds, and words become what the code works with."""
    found = policy()
    assert found.format == 2
    assert found.levels is not None
    assert len(found.levels.rules) == 15
    assert found.levels.lookback_seconds == 30 * DAY
    assert [found.levels.without_evidence(code) for code in ("00", "31")] == [Level.PENDING, Level.GREEN]
    rules = {rule.id: rule for rule in found.levels.rules}
    stay = rules["L-A7-1"]
    assert (stay.level, stay.reason, stay.kind) == (Level.RED, LevelReason.A7, EvidenceKind.AREA_STAY)
    assert (stay.risks, stay.stay_seconds, stay.lasts_seconds) == (
        frozenset({RiskLevel.HIGH}),
        3600,
        14 * DAY,
    )
    assert stay.cleared_by == Clearing(3, DAY, 7 * DAY)
    assert (stay.text, stay.text_zh) == ("Reason A7.", "原因 A7。")
    assert rules["L-A2-1"].findings == {Finding.CONFIRMED, Finding.ASYMPTOMATIC}
    assert rules["L-A5-1"].needs == {Need.PORT_OF_ENTRY, Need.INSTRUMENT}
    assert rules["L-B6-1"].two_persons
    assert found.holds == Holds(HoldLimits(20, 50, 2000), HoldLimits(100, 200, 10_000))
    assert isinstance(found.appeal, Appeals)
    assert (found.appeal.review_seconds, found.appeal.decide_seconds) == (DAY, 2 * DAY)
    assert [found.appeal.unanswered_for(reason) for reason in ("A8", "A2")] == [
        Unanswered.SUSPEND,
        Unanswered.KEEP,
    ]
    assert found.lookups == LookUpLimits(2000, 30, 5)
    assert found.retention_seconds["AUDIT"] == 1095 * DAY
    low, last = found.checks
    assert (low.id, low.requirement) == ("C-LOW-1", CheckRequired.CHECK_NOT_REQUIRED)
    assert low.places == {PlaceType.PARK, PlaceType.RESIDENTIAL_QUARTER, PlaceType.OTHER}
    assert (low.areas, low.categories) == ({RiskLevel.LOW}, {PersonCategory.GENERAL})
    assert (last.requirement, last.places, last.areas) == (CheckRequired.CHECK, None, None)


def test_a_policy_without_levels_in_a_book_of_format_2_is_one_of_format_1() -> None:
    """The policy in force can stay in the new book unchanged, until the first one with levels begins."""
    old = decode_policy(json.dumps(document()).encode()).policies[0]
    both = {**document(), "format": "healthcode/policy/2"}
    both["policies"].append(format_2(effective_from="2027-01-01T00:00:00Z")["policies"][0])
    first, second = decode_policy(json.dumps(both).encode()).policies
    assert first == old
    assert (first.format, second.format) == (1, 2)


def test_format_1_passes_over_what_format_2_adds() -> None:
    """Unknown fields of format 1 stay unknown, whatever they are."""
    written = {**format_2(levels="nonsense", checks=7), "format": "healthcode/policy/1"}
    found = decode_policy(json.dumps(written).encode()).policies[0]
    assert (found.levels, found.checks, found.format) == (None, (), 1)


@pytest.mark.parametrize(
    "change",
    [
        {"level": "ORANGE"},
        {"level": "GREEN"},
        {"level": "UNKNOWN"},
        {"reason": "C1"},
        {"when": {"kind": "RUMOUR"}},
        {"when": {"kind": "AREA_STAY", "risk": ["PURPLE"]}},
        {"when": {"kind": "CONTACT", "finding": ["THIRD"]}},
        {"when": {"kind": "TEST", "method": ["SALIVA"]}},
        {"when": {"kind": "AREA_STAY", "season": ["WINTER"]}},
        {"needs": ["instrument", "photograph"]},
        {"cleared_by": {"negative_tests": 1, "apart_hours": 1, "doses": 2}},
    ],
)
def test_a_level_rule_with_an_unknown_word_matches_nothing(change: dict[str, Any]) -> None:
    """It is left out and named; the rest of the policy is used."""
    found = levels(levels=[stay_rule(**change), stay_rule(id="L-A7-2")])
    assert [rule.id for rule in found.rules] == ["L-A7-2"]
    assert found.unknown == ("L-A7-1",)


def test_an_unknown_word_beside_known_ones_never_matches() -> None:
    """A list of words is a list of alternatives."""
    found = levels(levels=[stay_rule(when={"kind": "AREA_STAY", "risk": ["HIGH", "PURPLE"]}, glow=True)])
    assert found.rules[0].risks == {RiskLevel.HIGH}


def test_other_unknown_words_loosen_nothing() -> None:
    """No evidence: not yet determined. An appeal without an answer: kept. A check: required. A place: no match."""
    unknown = {"moon": ["FULL"]}
    found = policy(
        no_evidence={"*": "AMBER", "31": "RED"},
        appeal={"review_hours": 1, "decide_hours": 2, "unanswered": {"*": "FORGIVE"}},
        checks=[
            {"id": "A", "when": unknown, "requirement": "CHECK_NOT_REQUIRED"},
            {"id": "B", "requirement": "SOMETIMES"},
        ],
        places=[
            {"id": "A", "when": unknown, "decision": "PASS"},
            {"id": "B", "decision": "UNDECIDED", "remedy": "Ask."},
        ],
        horoscope={},
    )
    assert found.levels is not None
    assert {found.levels.without_evidence(code) for code in ("31", "44")} == {Level.PENDING}
    assert found.appeal is not None
    assert found.appeal.unanswered_for("B6") is Unanswered.KEEP
    assert found.checks[0].places == frozenset()
    assert found.checks[1].requirement is CheckRequired.CHECK
    assert found.decide(facts()).rule_id == "B"


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"levels": []}, "document.field"),
        ({"levels": [stay_rule(id="A7-1")]}, "document.field"),
        ({"levels": [stay_rule(id="L-a7-1")]}, "document.field"),
        ({"levels": [stay_rule(lasts_days=0)]}, "document.field"),
        ({"levels": [stay_rule(lasts_days="14")]}, "document.field"),
        ({"levels": [stay_rule(), stay_rule()]}, "policy.level"),
        ({"levels": [stay_rule(cleared_by={"negative_tests": 0, "apart_hours": 1})]}, "document.field"),
        ({"levels": [stay_rule(when={"kind": "AREA_STAY", "stay_minutes_at_least": -1})]}, "document.field"),
        ({"levels": [stay_rule(text="x" * 2001)]}, "document.field"),
        ({"lookback_days": None}, "policy.level"),
        ({"lookback_days": 0}, "document.field"),
        ({"no_evidence": []}, "document.field"),
        ({"holds": {"per_hour": {"source": 1}}}, "document.field"),
        ({"lookups": {"asker_per_hour": -1}}, "document.field"),
        ({"retention_days": {"TEST": "long"}}, "document.field"),
        ({"checks": [{"id": "A", "requirement": "CHECK"}] * 2}, "policy.rule"),
        (
            {"places": [{"id": "A", "when": {"moon": ["FULL"]}, "decision": "UNDECIDED", "remedy": "Ask."}]},
            "policy.rule",
        ),
    ],
)
def test_a_broken_policy_of_format_2_is_refused_by_name(change: dict[str, Any], detail: str) -> None:
    """What is out of bounds or in doubt is no policy, and the message names the policy."""
    with pytest.raises(DecodeError) as caught:
        format_2_book(**change)
    assert caught.value.detail == detail
    assert "27.1" in caught.value.message
