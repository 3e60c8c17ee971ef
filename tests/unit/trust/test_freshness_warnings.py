"""Who is silent is told by name, with what is to come."""

from __future__ import annotations

from healthcode.trust.freshness_warnings import freshness_warnings
from tests.unit.verification.realm import NOW, issuer, view


def test_trust_that_is_heard_of_has_no_warning() -> None:
    """The registry a minute ago, each participant some minutes ago."""
    assert list(freshness_warnings(view(), NOW)) == []
    assert list(freshness_warnings(view(timestamp_signed_at=NOW - 300), NOW)) == []


def test_a_registry_out_of_reach_is_told_with_what_is_to_come() -> None:
    """From five minutes on: until when codes pass, and later that none does. Alone: whose fault it is is plain."""
    (said,) = freshness_warnings(view(timestamp_signed_at=NOW - 7200), NOW)
    assert "trust is AGING. Codes go on to pass until 2026-11-22T06:00:00Z" in said
    (stale,) = freshness_warnings(view(timestamp_signed_at=NOW - 86_401), NOW)
    assert "trust is STALE. Every such code is UNDECIDED now" in stale


def test_one_participant_that_is_silent_is_named() -> None:
    """The registry is heard, so it is that province's node."""
    quiet = view(issuer("31", live_signed_at=NOW - 3600), issuer("44"))
    (said,) = freshness_warnings(quiet, NOW)
    assert said.startswith("participant 31 signs nothing since ")
    assert "call its operators" in said
