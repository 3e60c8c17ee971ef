"""The hour at which simulated realms begin, and a clock that a test sets."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NOW", "ManualClock"]

NOW = 1_795_248_000
"""2026-11-21T08:00:00Z."""


@dataclass
class ManualClock:
    """Shows `at` until a test changes it."""

    at: int = NOW

    def now(self) -> int:
        return self.at

    def right_now(self) -> int:
        return self.at
