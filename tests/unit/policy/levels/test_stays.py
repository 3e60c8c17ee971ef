"""How risky a stay was."""

from __future__ import annotations

import pytest

from healthcode.policy.area import RiskInterval
from healthcode.policy.levels.stays import stay_risk
from healthcode.policy.words import RiskLevel

LOW, MEDIUM, HIGH = RiskLevel.LOW, RiskLevel.MEDIUM, RiskLevel.HIGH
HISTORY = (RiskInterval(HIGH, 100, 200), RiskInterval(HIGH, 300), RiskInterval(MEDIUM, 0, 100))


@pytest.mark.parametrize(
    ("begin", "end", "seconds", "expected"),
    [
        (120, 180, 60, (HIGH, 180)),
        (120, 180, 61, None),
        (120, 190, 60, (HIGH, 180)),
        (40, 101, 60, (MEDIUM, 100)),
        (
            41,
            101,
            60,
            (MEDIUM, 101),
        ),  # HIGH in the last second: time at a higher risk counts for the lower one
        (0, 160, 60, (HIGH, 160)),
        (0, 159, 60, (MEDIUM, 60)),
        (150, 310, 60, (HIGH, 310)),  # 50 seconds, a gap, and ten more
        (150, 309, 60, None),
        (200, 300, 1, None),
        (50, 120, 0, (HIGH, 100)),
        (10_000, 10_060, 60, (HIGH, 10_060)),
    ],
)
def test_the_highest_risk_that_lasted_long_enough(
    begin: int, end: int, seconds: int, expected: tuple[RiskLevel, int] | None
) -> None:
    """The risk is the highest whose time in the stay comes to the minutes, and the moment is when it does."""
    assert stay_risk(HISTORY, begin, end, seconds) == expected


def test_time_is_counted_once() -> None:
    """Two intervals that say the same of one hour are one hour."""
    twice = (RiskInterval(HIGH, 0, 60), RiskInterval(HIGH, 10, 50), RiskInterval(LOW, 0))
    assert stay_risk(twice, 0, 100, 60) == (HIGH, 60)
    assert stay_risk(twice, 0, 100, 61) == (LOW, 61)


def test_an_area_without_history_has_no_risk() -> None:
    """An unlisted area colours nobody."""
    assert stay_risk((), 0, 100, 0) is None
    assert stay_risk((RiskInterval(HIGH, 50, 50),), 0, 100, 0) is None
