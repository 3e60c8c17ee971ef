"""What a new file of area risk changes, for those who approve it."""

from __future__ import annotations

from healthcode.clock import parse_rfc3339
from healthcode.policy.area import AreaRisk, RiskInterval
from healthcode.policy.diff.area_diff import area_lines, describe_areas, find_area_changes
from healthcode.policy.words import RiskLevel

AS_OF = parse_rfc3339("2027-01-10T00:00:00Z")
DAY = 86_400
HIGH, MEDIUM, LOW = RiskLevel.HIGH, RiskLevel.MEDIUM, RiskLevel.LOW


def areas(as_of: int = AS_OF, **history: tuple[RiskInterval, ...]) -> AreaRisk:
    return AreaRisk(as_of, intervals={code.removeprefix("a"): each for code, each in history.items()})


def test_what_rises_and_falls_is_told_in_one_sentence() -> None:
    """An area that is not listed, and one whose risk ends."""
    old = areas(AS_OF - DAY, a310115=(RiskInterval(MEDIUM, AS_OF - 3 * DAY),))
    new = areas(
        a310115=(RiskInterval(MEDIUM, AS_OF - 3 * DAY, AS_OF),), a440106=(RiskInterval(HIGH, AS_OF - 60),)
    )
    changes = find_area_changes(old, new)
    assert area_lines(changes, new) == [
        "As of 2027-01-10T00:00:00Z: 1 areas rise (440106), 1 fall (310115).",
        "  310115 (Shanghai 上海): MEDIUM → not listed",
        "    ~ MEDIUM from 2027-01-07T00:00:00Z → MEDIUM from 2027-01-07T00:00:00Z until 2027-01-10T00:00:00Z",
        "  440106 (Guangdong 广东): not listed → HIGH",
        "    + HIGH from 2027-01-09T23:59:00Z",
    ]
    assert [each.past for each in changes] == [(), ()]


def test_what_changes_the_past_is_told_apart() -> None:
    """A new beginning, an end or a removal more than a day before as_of; with its instrument."""
    late = RiskInterval(HIGH, AS_OF - 5 * DAY, retroactive=True, instrument="No. 7")
    over = RiskInterval(HIGH, AS_OF - 9 * DAY, AS_OF - 8 * DAY)
    old = areas(AS_OF - DAY, a110101=(over,), a310115=(RiskInterval(MEDIUM, AS_OF - 20 * DAY),))
    new = areas(a310115=(RiskInterval(MEDIUM, AS_OF - 20 * DAY, AS_OF - 2 * DAY),), a440106=(late,))
    lines = area_lines(find_area_changes(old, new), new)
    assert "THE PAST CHANGES in 3 (110101, 310115, 440106)" in lines[0]
    assert "    + HIGH from 2027-01-05T00:00:00Z, RETROACTIVE under No. 7 (in the past)" in lines
    assert "    - HIGH from 2027-01-01T00:00:00Z until 2027-01-02T00:00:00Z (in the past)" in lines


def test_files_of_format_1_are_compared_by_their_risks() -> None:
    """They have no history."""
    old, new = AreaRisk(AS_OF - DAY, {"310115": HIGH}), AreaRisk(AS_OF, {"310115": LOW, "110101": MEDIUM})
    changes = find_area_changes(old, new)
    assert [str(each) for each in changes] == [
        "110101 (Beijing 北京): not listed → MEDIUM",
        "310115 (Shanghai 上海): HIGH → LOW",
    ]
    assert area_lines([], AreaRisk(AS_OF)) == ["As of 2027-01-10T00:00:00Z: no risk changes."]


def test_areas_are_described_the_highest_risk_first() -> None:
    """With the province's name, the risk at that moment, and the history."""
    found = describe_areas(
        areas(
            a110101=(RiskInterval(MEDIUM, 0),),
            a440106=(RiskInterval(HIGH, 0),),
            a310115=(RiskInterval(HIGH, AS_OF),),
        ),
        AS_OF - 1,
    )
    assert [(each["area"], each["risk"]) for each in found] == [
        ("440106", "HIGH"),
        ("110101", "MEDIUM"),
        ("310115", None),
    ]
    assert found[0]["province"] == "Guangdong 广东"
