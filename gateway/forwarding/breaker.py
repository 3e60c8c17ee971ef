"""A circuit breaker for one home: after several failures in a row, questions fail at once for a while.

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
    """Opens after `failure_threshold` failures in a row.

    After the pause one question goes through as a probe. A success closes the breaker, a failure
    doubles the pause, up to the limit. The caller reports the end of each admitted question by
    `succeeded`, `failed` or `abandoned`.
    """

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
        self._probe_at: float | None = None
        self._probing = False

    def state(self, now: float) -> BreakerState:
        if self._probe_at is None:
            return BreakerState.CLOSED
        if self._probing or now >= self._probe_at:
            return BreakerState.PROBING
        return BreakerState.OPEN

    def admit(self, now: float) -> bool:
        """Whether a question may go to the home now."""
        if self._probe_at is None:
            return True
        if self._probing or now < self._probe_at:
            return False
        self._probing = True
        return True

    def retry_after_seconds(self, now: float) -> float:
        """How long a rejected caller should wait; at least the shortest pause."""
        if self._probe_at is None:
            return self._min_pause_seconds
        return max(self._probe_at - now, self._min_pause_seconds)

    def succeeded(self) -> None:
        """The home replied. A rejected question counts too: it shows that the home is up."""
        self._failures = 0
        self._pause_seconds = self._min_pause_seconds
        self._probe_at = None
        self._probing = False

    def failed(self, now: float) -> None:
        """The home was out of reach, too late, or sent garbage."""
        self._failures += 1
        if self._probing:
            self._probing = False
            self._pause_seconds = min(self._pause_seconds * 2, self._max_pause_seconds)
        elif self._probe_at is not None or self._failures < self._failure_threshold:
            return  # a call from before the breaker opened, or too few failures
        self._probe_at = now + self._pause_seconds

    def abandoned(self) -> None:
        """The question ended, but says nothing about the home."""
        self._probing = False
