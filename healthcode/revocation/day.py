"""The day of a code: the UTC day of its expiry, counted from the epoch. A list ends with its day."""

from __future__ import annotations

__all__ = ["DAY_SECONDS", "GRACE_SECONDS", "day_end", "day_of", "is_dead"]

DAY_SECONDS = 86_400
GRACE_SECONDS = 600
"""How long a list is kept after its day, for verifiers whose clocks are slow."""


def day_of(expires_at: int) -> int:
    """The day of a code that expires at `expires_at` (seconds since the epoch)."""
    return expires_at // DAY_SECONDS


def day_end(day: int) -> int:
    """The first second after `day`."""
    return (day + 1) * DAY_SECONDS


def is_dead(day: int, now: int) -> bool:
    """Whether no code of `day` can be valid any more, so that its list may be deleted."""
    return now >= day_end(day) + GRACE_SECONDS
