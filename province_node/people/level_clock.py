"""The time by which levels are derived. It never goes back, and it stands still while this machine's clock is wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable

from healthcode.clock import Clock
from healthcode.errors import Reason, UnavailableError
from province_node.store.people_protocols import LevelStore

__all__ = ["LevelClock"]


class LevelClock:
    """A `Clock`. The store keeps its latest time, so that a restart with an earlier clock changes nothing.

    `is_wrong`: whether the machine's clock is known to differ from signed time by more than the policy's skew.
    """

    def __init__(self, clock: Clock, store: LevelStore, is_wrong: Callable[[], bool]) -> None:
        self._clock = clock
        self._store = store
        self._is_wrong = is_wrong
        self._lock = threading.Lock()
        self._latest: int | None = None

    def now(self) -> int:
        """While the clock is wrong, nothing starts and nothing lapses: the latest time of before. Reads the store once."""
        is_wrong, now = self._is_wrong(), self._clock.now()
        with self._lock:
            if self._latest is None:
                self._latest = self._store.latest_now()
            if not is_wrong or not self._latest:
                self._latest = max(self._latest, now)
            return self._latest

    def check(self) -> None:
        """Raises UnavailableError while the clock is wrong: nothing that comes now could be dated."""
        if self._is_wrong():
            raise UnavailableError(
                "this node's clock differs from the signed time, so it takes no evidence: its operator sets the "
                "clock; send again later",
                reason=Reason.SERVICE_UNAVAILABLE,
                retry_after_seconds=30,
            )
