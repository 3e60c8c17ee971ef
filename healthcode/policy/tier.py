"""How fresh trust is. Age is seconds since its owner signed it; the policy sets the thresholds by place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Freshness", "TrustTier"]


class TrustTier(StrEnum):
    """FRESH up to `fresh_seconds` of age, AGING up to `aging_seconds`, then STALE."""

    FRESH = "FRESH"
    AGING = "AGING"
    STALE = "STALE"


@dataclass(frozen=True, slots=True)
class Freshness:
    """Thresholds in seconds, both inclusive; `fresh_seconds` ≤ `aging_seconds`."""

    fresh_seconds: int
    aging_seconds: int

    def tier(self, age_seconds: int) -> TrustTier:
        """The tier at an age. A negative age counts as 0."""
        if age_seconds <= self.fresh_seconds:
            return TrustTier.FRESH
        if age_seconds <= self.aging_seconds:
            return TrustTier.AGING
        return TrustTier.STALE
