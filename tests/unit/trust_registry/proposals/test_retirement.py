"""Times of a retirement that may be a slip of the pen are told before anybody signs them."""

from __future__ import annotations

from healthcode.policy.book_file import decode_policy, default_policy_bytes
from healthcode.trust.format.json_files import Retirement
from trust_registry.proposals.retirement import retirement_warnings

DAY = 86_400
NOW = 1_795_000_000
POLICY = decode_policy(default_policy_bytes()).in_force(NOW)


def warned(signs: int, codes: int) -> list[str]:
    return retirement_warnings(POLICY, Retirement(signs_until=NOW + signs, codes_until=NOW + codes), NOW)


def test_a_retirement_that_leaves_time_has_no_warning() -> None:
    """48 hours of notice, and the life of the longest code between the two."""
    assert warned(2 * DAY, 16 * DAY) == []


def test_a_retirement_in_a_minute_is_told() -> None:
    """Minutes instead of months: the notice, and each presentation whose codes end early."""
    notice, *early = warned(60, 120)
    assert "60 seconds" in notice
    assert "48 hours" in notice
    assert [each.split()[0] for each in early] == ["LIVE", "PAPER"]
    assert "14 days" in early[1]
    (paper,) = warned(30 * DAY, 37 * DAY)
    assert "7 days after the last signature" in paper
