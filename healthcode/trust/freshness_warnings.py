"""Warnings for operators: the registry, or a participant, has not signed anything for too long. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from healthcode.clock import rfc3339
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import PlaceType
from healthcode.trust.view import TrustView

__all__ = ["freshness_warnings"]

_SILENT_SECONDS = 300
"""The registry signs a timestamp each minute."""


# The registry's silence ages every participant, so those are not reported beside it.
def freshness_warnings(view: TrustView, now: int) -> Iterator[str]:
    """One warning if the registry was not heard for too long; else one for each participant that signs nothing."""
    thresholds = view.policy.in_force(now).freshness_at(PlaceType.OTHER)
    age = now - view.timestamp_signed_at
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


def _coming(stale_at: int, now: int) -> str:
    if now > stale_at:
        return "Such codes are UNDECIDED now at most places"
    return f"Valid codes pass until {rfc3339(stale_at)}; at some places they stop earlier"
