"""Who is silent is told by name, with what is to come."""

from __future__ import annotations

from healthcode.trust.clock_evidence import ClockEvidence
from healthcode.trust.freshness_warnings import freshness_warnings
from tests.unit.verification.realm import NOW, issuer, view


def test_fresh_trust_has_no_warning() -> None:
    """No warning if the registry signed a minute ago and each participant some minutes ago."""
    assert list(freshness_warnings(view(), NOW)) == []
    assert list(freshness_warnings(view(timestamp_signed_at=NOW - 300), NOW)) == []


def test_a_silent_registry_is_reported_with_its_consequence() -> None:
    """After five minutes it says until when codes pass; later that they no longer do. No participant is blamed."""
    (said,) = freshness_warnings(view(timestamp_signed_at=NOW - 7200), NOW)
    assert "trust is AGING. Valid codes pass until 2026-11-22T06:00:00Z" in said
    (stale,) = freshness_warnings(view(timestamp_signed_at=NOW - 86_401), NOW)
    assert "trust is STALE. Such codes are UNDECIDED now" in stale


def test_by_a_wrong_clock_nobody_is_silent() -> None:
    """Where signed times show that the clock is ahead, the one warning is to set it."""
    trust = view(issuer("31", live_signed_at=NOW), clock_evidence=ClockEvidence(NOW + 7200, NOW))
    (said,) = freshness_warnings(trust, NOW + 7200)
    assert "7200 s ahead" in said
    assert "set the clock" in said
    (said,) = freshness_warnings(view(), NOW - 3600)
    assert "behind" in said


def test_one_participant_that_is_silent_is_named() -> None:
    """If the registry is heard, the fault is that province's node."""
    quiet = view(issuer("31", live_signed_at=NOW - 3600), issuer("44"))
    (said,) = freshness_warnings(quiet, NOW)
    assert said.startswith("participant 31 has signed nothing since ")
    assert "call its operators" in said
