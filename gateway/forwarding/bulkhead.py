"""A bulkhead limits how many questions wait for one home, so a slow home cannot slow down the others.

It rejects at once and never queues: a queue would only add to the delay.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from healthcode.errors import OverloadedError

__all__ = ["Bulkhead"]


class Bulkhead:
    """Counts places taken; for one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.inside = 0

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Takes a place for the duration of the block. Raises OverloadedError if none is free."""
        if self.inside >= self._limit:
            message = f"{self.inside} questions are already waiting for this home"
            raise OverloadedError(message, retry_after_seconds=1.0)
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1
