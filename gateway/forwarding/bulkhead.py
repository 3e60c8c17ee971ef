"""A bulkhead for one home province: how many questions may wait for it at the same time.

A home that is slow fills its own bulkhead and nobody else's. What does not fit is
turned away at once rather than queued: a queue in front of a slow home would only
turn its slowness into everybody's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from healthcode.errors import OverloadedError

__all__ = ["Bulkhead"]


class Bulkhead:
    """Counts who is inside; for one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.inside = 0

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Holds a place for as long as the block runs. Raises OverloadedError when there is none."""
        if self.inside >= self._limit:
            message = f"{self.inside} questions wait for this home already"
            raise OverloadedError(message, retry_after_seconds=1.0)
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1
