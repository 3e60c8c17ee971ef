"""Isolates the homes from each other: a circuit breaker and three bulkheads for each home."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gateway.forwarding.breaker import BreakerState, CircuitBreaker
from gateway.forwarding.bulkhead import Bulkhead
from gateway.forwarding.outcome import HomeDown
from gateway.settings import HomeSettings
from healthcode.errors import Reason

__all__ = ["HomeGuard", "HomeGuards", "HomeState"]

MAX_RETRY_AFTER_SECONDS = 60.0
MAX_PROOFS = 8
"""Proofs of its audit log that are asked of one home at a time; each province asks once in minutes."""


@dataclass(frozen=True, slots=True)
class HomeGuard:
    """The limits of one home.

    `questions` counts callers that wait, including those that share a call.
    `calls` counts calls in progress, including those whose caller has gone. `proofs` counts proofs of its audit log.
    """

    breaker: CircuitBreaker
    questions: Bulkhead
    calls: Bulkhead
    proofs: Bulkhead


@dataclass(frozen=True, slots=True)
class HomeState:
    """The state of one home, for metrics."""

    participant: str
    breaker: BreakerState
    waiting: int


class HomeGuards:
    """The guards of all homes, made at the first question; for one event loop."""

    def __init__(self, settings: HomeSettings, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._guards: dict[str, HomeGuard] = {}
        self.monotonic = monotonic

    def of(self, home: str) -> HomeGuard:
        guard = self._guards.get(home)
        if guard is None:
            guard = HomeGuard(
                CircuitBreaker(
                    failure_threshold=self._settings.failures_before_pause,
                    min_pause_seconds=self._settings.min_pause_seconds,
                    max_pause_seconds=self._settings.max_pause_seconds,
                ),
                Bulkhead(self._settings.max_waiting),
                Bulkhead(self._settings.max_waiting),
                Bulkhead(MAX_PROOFS),
            )
            self._guards[home] = guard
        return guard

    def down(self, home: str, reason: Reason, retry_after_seconds: float | None = None) -> HomeDown:
        """Advises the longer of the given wait and the breaker's pause, up to a limit."""
        pause = self.of(home).breaker.retry_after_seconds(self.monotonic())
        return HomeDown(reason, min(max(retry_after_seconds or 0.0, pause), MAX_RETRY_AFTER_SECONDS))

    def states(self) -> Iterator[HomeState]:
        """The state of each home that was asked since the start."""
        now = self.monotonic()
        for participant, guard in sorted(self._guards.items()):
            yield HomeState(participant, guard.breaker.state(now), guard.questions.inside)
