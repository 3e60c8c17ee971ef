"""Whether a place must check codes."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from healthcode.policy.area import AreaRisk, RiskInterval
from healthcode.policy.checks import CheckRequired
from healthcode.policy.requirement import CheckRequirement, requirement
from healthcode.policy.words import PersonCategory, PlaceType, RiskLevel
from tests.unit.policy.policies import NOW, book
from tests.world.level_rules import format_2_book

POLICY = format_2_book().in_force(NOW)
HIGH, MEDIUM, LISTED_LOW, UNLISTED = "310115", "440106", "330106", "110101"
AREAS = AreaRisk(
    NOW - 60,
    intervals={
        HIGH: (RiskInterval(RiskLevel.HIGH, NOW - 60),),
        MEDIUM: (RiskInterval(RiskLevel.MEDIUM, NOW - 60),),
        LISTED_LOW: (RiskInterval(RiskLevel.LOW, NOW - 60),),
    },
)
ASKED: dict[str, Any] = {
    "policy": POLICY,
    "place": PlaceType.PARK,
    "area_code": LISTED_LOW,
    "category": PersonCategory.GENERAL,
    "areas": AREAS,
    "now": NOW,
    "areas_expire": NOW + 1,
}
WAIVED = CheckRequirement(CheckRequired.CHECK_NOT_REQUIRED, "C-LOW-1", "27.1", NOW - 60)
CHECK = CheckRequirement(CheckRequired.CHECK, "C-1", "27.1", NOW - 60)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, WAIVED),
        ({"area_code": UNLISTED}, WAIVED),
        ({"place": PlaceType.OTHER}, WAIVED),
        ({"place": PlaceType.HOSPITAL}, CHECK),
        ({"area_code": MEDIUM}, CHECK),
        ({"area_code": HIGH}, CHECK),
        ({"category": PersonCategory.SPECIAL}, CHECK),
        ({"place": None}, CHECK),
        ({"category": None}, CHECK),
        ({"area_code": ""}, CHECK),
        ({"area_code": "31011"}, CHECK),
        ({"area_code": "３３０１０６"}, CHECK),
        ({"areas_expire": NOW}, CHECK),
        ({"areas_expire": None}, CHECK),
    ],
)
def test_a_check_is_waived_only_where_all_is_stated_known_and_in_force(
    change: dict[str, Any], expected: CheckRequirement
) -> None:
    """A typo, a place left out or expired areas must not open a door."""
    assert requirement(**{**ASKED, **change}) == expected


def test_every_answer_waives_only_what_a_row_names() -> None:
    """Over all facts: CHECK_NOT_REQUIRED in low-risk parks, homes and other places, for people in general, alone."""
    waived = {PlaceType.PARK, PlaceType.RESIDENTIAL_QUARTER, PlaceType.OTHER}
    for place, area, category in itertools.product(
        (None, *PlaceType), (HIGH, MEDIUM, LISTED_LOW, UNLISTED, "", "x"), (None, *PersonCategory)
    ):
        found = requirement(**{**ASKED, "place": place, "area_code": area, "category": category})
        is_waived = place in waived and area in {LISTED_LOW, UNLISTED} and category is PersonCategory.GENERAL
        assert found == (WAIVED if is_waived else CHECK)


def test_a_policy_without_checks_checks_everywhere() -> None:
    """Format 1 waives nothing, and neither does a policy of which no row matches."""
    old = requirement(**{**ASKED, "policy": book().in_force(NOW)})
    assert (old.required, old.rule) == (CheckRequired.CHECK, "")
    only_low = format_2_book(checks=[{"id": "A", "when": {"area": ["LOW"]}, "requirement": "CHECK"}])
    found = requirement(**{**ASKED, "policy": only_low.in_force(NOW), "area_code": HIGH})
    assert (found.required, found.rule) == (CheckRequired.CHECK, "")
