"""Warnings for operators: this clock is wrong, or the registry or a participant signs nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from healthcode.clock import rfc3339
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import PlaceType
from healthcode.trust.clock_evidence import TOLERANCE_SECONDS
from healthcode.trust.view import TrustView

__all__ = ["clock_warning", "freshness_warnings"]

_SILENT_SECONDS = 300
"""The registry signs a timestamp each minute."""


# A wrong clock, or the registry's silence, ages every participant, so those are not reported beside it.
def freshness_warnings(view: TrustView, now: int) -> Iterator[str]:
    """One warning if the registry was not heard for too long; else one for each participant that signs nothing."""
    thresholds = view.policy.in_force(now).freshness_at(PlaceType.OTHER)
    age = now - view.timestamp_signed_at
    if (clock := clock_warning(view, now)) is not None:
        yield clock  # every age is by this clock, and says nothing of the others
        return
    if age > _SILENT_SECONDS:
        yield (
            f"the registry has signed nothing new since {rfc3339(view.timestamp_signed_at)}, {age} s ago: trust is "
            f"{thresholds.tier(age)}. {_coming(view.timestamp_signed_at + thresholds.aging_seconds, now)}. Check the "
            "network and the log (trust_refresh_failed), and call the registry's operators"
        )
        return
    for code, issuer in sorted(view.issuers.items()):
        signed = issuer.live_signed_at
        if signed is None or thresholds.tier(now - signed) is TrustTier.FRESH:
            continue
        yield (
            f"participant {code} has signed nothing since {rfc3339(signed)}: trust in it is {thresholds.tier(now - signed)}. "
            f"{_coming(signed + thresholds.aging_seconds, now)}. Its node is down, cut off or unable to publish: call "
            "its operators"
        )


def clock_warning(view: TrustView, now: int) -> str | None:
    """What signed times say against this machine's clock; None if nothing."""
    ahead, behind = view.clock_ahead_seconds(now), view.timestamp_signed_at - now
    if ahead > TOLERANCE_SECONDS:
        return f"this machine's clock is {ahead} s ahead of signed times, or all sources are outdated: set the clock"
    if behind > TOLERANCE_SECONDS:
        return f"this machine's clock is {behind} s or more behind signed times: set the clock"
    return None


def _coming(stale_at: int, now: int) -> str:
    if now > stale_at:
        return "Such codes are UNDECIDED now at most places"
    return f"Valid codes pass until {rfc3339(stale_at)}; at some places they stop earlier"
