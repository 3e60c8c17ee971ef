"""Freshness of trust: how old is how bad.

Age is seconds since the owner signed. Up to `fresh_seconds` trust is FRESH, up
to `aging_seconds` AGING, beyond it STALE. Which thresholds apply is policy, by
place (docs/wire-format.md §6); an issuer's age is the worse of the registry's
timestamp and of the issuer's own live signature.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Freshness", "TrustTier"]


class TrustTier(StrEnum):
    """How fresh the trust was that a verdict rests on."""

    FRESH = "FRESH"
    AGING = "AGING"
    STALE = "STALE"


@dataclass(frozen=True, slots=True)
class Freshness:
    """Thresholds in seconds, both inclusive; `fresh_seconds` ≤ `aging_seconds`."""

    fresh_seconds: int
    aging_seconds: int

    def tier(self, age_seconds: int) -> TrustTier:
        """The tier of trust that is `age_seconds` old; a negative age counts as none."""
        if age_seconds <= self.fresh_seconds:
            return TrustTier.FRESH
        if age_seconds <= self.aging_seconds:
            return TrustTier.AGING
        return TrustTier.STALE
