"""A circuit breaker for one home province: after failures in a row, fail fast for a while.

Closed: every question goes to the home. After `failure_threshold` failures in a
row it opens, and questions are turned away at once with advice when to come
back. When the pause is over one question goes through as a probe: an answer
closes the breaker, a failure opens it again for twice as long, up to a limit.

Pure: `now` is monotonic seconds, given by the caller.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["BreakerState", "CircuitBreaker"]


class BreakerState(StrEnum):
    CLOSED = "CLOSED"
    OPEN = "OPEN"
    PROBING = "PROBING"


class CircuitBreaker:
    """One home's breaker. Every admitted question ends in one of `succeeded`, `failed`, `abandoned`."""

    def __init__(
        self,
        *,
        failure_threshold: int = 5,
        min_pause_seconds: float = 1.0,
        max_pause_seconds: float = 5.0,
    ) -> None:
        self._failure_threshold = failure_threshold
        self._min_pause_seconds = min_pause_seconds
        self._max_pause_seconds = max_pause_seconds
        self._failures = 0
        self._pause_seconds = min_pause_seconds
        self._closed_again_at: float | None = None
        self._probing = False

    def state(self, now: float) -> BreakerState:
        if self._closed_again_at is None:
            return BreakerState.CLOSED
        if self._probing or now >= self._closed_again_at:
            return BreakerState.PROBING
        return BreakerState.OPEN

    def admit(self, now: float) -> bool:
        """Whether a question may go to the home now. While open, one at a time after the pause."""
        if self._closed_again_at is None:
            return True
        if self._probing or now < self._closed_again_at:
            return False
        self._probing = True
        return True

    def retry_after_seconds(self, now: float) -> float:
        """How long a caller who was turned away should wait; never less than the shortest pause."""
        if self._closed_again_at is None:
            return self._min_pause_seconds
        return max(self._closed_again_at - now, self._min_pause_seconds)

    def succeeded(self) -> None:
        """The home answered: even a refusal of the question shows that it is there."""
        self._failures = 0
        self._pause_seconds = self._min_pause_seconds
        self._closed_again_at = None
        self._probing = False

    def failed(self, now: float) -> None:
        """The home was not reached, gave no answer in fair time, or answered with garbage."""
        self._failures += 1
        if self._probing:
            self._probing = False
            self._pause_seconds = min(self._pause_seconds * 2, self._max_pause_seconds)
        elif self._closed_again_at is not None or self._failures < self._failure_threshold:
            return  # a straggler from before it opened, or too few yet
        self._closed_again_at = now + self._pause_seconds

    def abandoned(self) -> None:
        """The question ended without telling anything about the home."""
        self._probing = False
