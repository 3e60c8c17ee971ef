"""The policy book: which policy is in force, and how it may change."""

from __future__ import annotations

import pytest

from healthcode.clock import parse_rfc3339
from healthcode.errors import InvalidInputError
from healthcode.policy.book import MIN_AGING_SECONDS, NOTICE_SECONDS, check_freshness, check_notice
from healthcode.policy.tier import Freshness, TrustTier
from healthcode.policy.words import PlaceType
from tests.unit.policy.policies import NOW, book, two_policies


def test_thresholds_are_by_place() -> None:
    """A place without thresholds of its own takes the default."""
    policy = book().in_force(NOW)
    assert policy.freshness_at(PlaceType.OTHER) == Freshness(900, 86_400)
    assert policy.freshness_at(PlaceType.HOSPITAL) == Freshness(900, 43_200)
    tiers = [Freshness(900, 86_400).tier(age) for age in (-5, 900, 901, 86_400, 86_401)]
    assert tiers == [TrustTier.FRESH, TrustTier.FRESH, TrustTier.AGING, TrustTier.AGING, TrustTier.STALE]


def test_the_latest_policy_that_has_begun_rules() -> None:
    """The switch is at the second of effective_from, and before the first begins it rules already."""
    both = book(two_policies("2026-12-01T00:00:00Z"))
    switch = parse_rfc3339("2026-12-01T00:00:00Z")
    assert both.in_force(switch - 1).version == "2026.1"
    assert both.in_force(switch).version == "2026.2"
    assert [policy.version for policy in both.upcoming(NOW)] == ["2026.2"]
    assert both.in_force(0).version == "2026.1"


def test_a_new_policy_needs_notice_or_an_emergency() -> None:
    """Less than 48 hours ahead is refused, unless it is flagged."""
    now = parse_rfc3339("2026-12-01T00:00:00Z") - NOTICE_SECONDS
    check_notice(book(), book(two_policies("2026-12-01T00:00:00Z")), now)
    with pytest.raises(InvalidInputError, match="48 hours"):
        check_notice(book(), book(two_policies("2026-12-01T00:00:00Z")), now + 1)
    check_notice(book(), book(two_policies("2026-12-01T00:00:00Z", emergency=True)), now + 1)


def test_a_policy_that_makes_every_node_stale_between_two_signatures_is_refused() -> None:
    """A zero that is missing in an emergency: refused by name, place and all; what stands already is let be."""
    for freshness in (
        {"default": {"fresh_seconds": 60, "aging_seconds": 90}},
        {
            "default": {"fresh_seconds": 900, "aging_seconds": 90000},
            "places": {"HOSPITAL": {"fresh_seconds": 60, "aging_seconds": MIN_AGING_SECONDS - 1}},
        },
    ):
        new = book(two_policies("2026-12-01T00:00:00Z", emergency=True, freshness=freshness))
        with pytest.raises(InvalidInputError, match=r"policy 2026\.2: aging_seconds"):
            check_freshness(book(), new)
        check_freshness(new, new)
    check_freshness(book(), book(two_policies("2026-12-01T00:00:00Z", emergency=True)))
