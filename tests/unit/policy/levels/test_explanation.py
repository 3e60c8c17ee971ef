"""Why a level, and why no other rule has a ground."""

from __future__ import annotations

from typing import Any

from healthcode.clock import parse_rfc3339
from healthcode.policy.area import AreaRisk, RiskInterval
from healthcode.policy.book_file import decode_policy
from healthcode.policy.levels.derive import derive
from healthcode.policy.levels.evidence import Evidence, EvidenceKind, EvidenceState, Finding, TestMethod
from healthcode.policy.levels.explanation import Explanation, explain_level
from healthcode.policy.levels_policy import levels_policy_bytes
from healthcode.policy.words import RiskLevel
from healthcode.wire.claims import Level

RULES = decode_policy(levels_policy_bytes()).policies[0].levels
assert RULES is not None
NOW = parse_rfc3339("2027-01-10T00:00:00Z")
DAY, HOUR = 86_400, 3600


def item(kind: EvidenceKind, finding: Finding | None = None, *, days: float = 1, **changes: Any) -> Evidence:
    at = NOW - int(days * DAY)
    return Evidence("source", changes.pop("record", "1"), 1, kind, at, at, finding=finding, **changes)


def negative(days: float, record: str) -> Evidence:
    return item(EvidenceKind.TEST, Finding.NEGATIVE, days=days, record=record, method=TestMethod.NUCLEIC)


def explain(*evidence: Evidence, areas: AreaRisk | None = None) -> Explanation:
    assert RULES is not None
    found = explain_level(RULES, evidence, areas or AreaRisk(), NOW, participant="44")
    assert found.derived == derive(RULES, evidence, areas or AreaRisk(), NOW, participant="44")
    # every rule is either active or explained
    active = {each.rule for each in found.derived.grounds if each.starts <= NOW < each.ends}
    assert active | found.why_not.keys() == {rule.id for rule in RULES.rules}
    assert all(found.why_not.values())
    return found


def test_without_evidence_every_rule_says_so() -> None:
    """GREEN, and fifteen times no evidence."""
    found = explain()
    assert found.derived.level is Level.GREEN
    assert found.why_not["L-A1-1"] == ("there is no PUSH",)
    assert len(found.why_not) == 15


def test_an_item_gives_its_one_ground_to_one_rule() -> None:
    """The other rules of its kind name the one that took it."""
    found = explain(item(EvidenceKind.CONTACT, Finding.OVERLAP))
    assert "L-B3-1" not in found.why_not
    assert found.why_not["L-A4-1"][0].endswith("gives its one ground to L-B3-1")


def test_what_is_over_or_cleared_or_lacks_something_is_named() -> None:
    """Each with its record, and when."""
    over = explain(item(EvidenceKind.PUSH, Finding.RED, days=14))
    assert over.why_not["L-A1-1"][0].endswith("ended 2027-01-10T00:00:00Z")
    cleared = explain(item(EvidenceKind.CONTACT, Finding.OVERLAP, days=5), negative(3, "2"), negative(2, "3"))
    assert cleared.why_not["L-B3-1"][0].endswith("cleared by tests 2027-01-08T00:00:00Z")
    lacking = explain(item(EvidenceKind.ORDER, Finding.RED))
    assert lacking.why_not["L-A8-1"][0].endswith("lacks instrument, until")
    assert lacking.why_not["L-B6-1"][0].endswith("its finding is none of YELLOW")
    old = explain(item(EvidenceKind.PUSH, Finding.RED, days=31))
    assert old.why_not["L-A1-1"][0].endswith("is over 30 days ago")
    later = explain(item(EvidenceKind.PUSH, Finding.RED, days=-1))
    assert later.why_not["L-A1-1"][0].endswith("begins 2027-01-11T00:00:00Z")


def test_what_does_not_count_is_named() -> None:
    """A held item, and a revision that a higher one replaces."""
    push = item(EvidenceKind.PUSH, Finding.RED)
    held = explain(push._replace(state=EvidenceState.HELD))
    assert "is HELD" in held.why_not["L-A1-1"][0]
    replaced = explain(push, push._replace(revision=2, state=EvidenceState.WITHDRAWN))
    assert "a higher revision replaces it" in replaced.why_not["L-A1-1"][0]
    assert "is WITHDRAWN" in replaced.why_not["L-A1-1"][1]


def test_a_stay_says_what_its_area_was() -> None:
    """Too short, or at another risk than the rule asks for."""
    stay = item(EvidenceKind.AREA_STAY, area="310115", stay_from=NOW - DAY, stay_to=NOW - DAY + 59 * 60)
    high = AreaRisk(NOW, intervals={"310115": (RiskInterval(RiskLevel.HIGH, 0),)})
    short = explain(stay._replace(observed_at=NOW - DAY + 59 * 60), areas=high)
    assert "of its 59 minutes fewer than 60 were at a listed risk" in short.why_not["L-A7-1"][0]
    hour = stay._replace(stay_to=NOW - DAY + HOUR, observed_at=NOW - DAY + HOUR)
    medium = AreaRisk(NOW, intervals={"310115": (RiskInterval(RiskLevel.MEDIUM, 0),)})
    found = explain(hour, areas=medium)
    assert found.derived.level is Level.YELLOW
    low = AreaRisk(NOW, intervals={"310115": (RiskInterval(RiskLevel.LOW, 0),)})
    assert "was LOW, not HIGH" in explain(hour, areas=low).why_not["L-A7-1"][0]
