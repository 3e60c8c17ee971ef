"""Waits that follow progress: a busy machine makes the demo slower, not wrong."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

IDLE_SECONDS = 60.0
TOTAL_SECONDS = 900.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Patience:
    """Ends when `progress` does not change for `idle_seconds`, or after `total_seconds`."""

    def __init__(
        self,
        progress: Callable[[], object],
        *,
        idle_seconds: float = IDLE_SECONDS,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        self._progress = progress
        self._idle_seconds = idle_seconds
        self._total_seconds = total_seconds
        self._began = self._moved = time.monotonic()
        self._last = progress()

    @property
    def is_over(self) -> bool:
        """Reads the progress. True means: give up."""
        now, found = time.monotonic(), self._progress()
        if found != self._last:
            self._last, self._moved = found, now
        return now - self._moved > self._idle_seconds or now - self._began > self._total_seconds


class Attempts:
    """Attempts with pauses between them, for something that must happen within some seconds.

    Ends when the seconds have passed, and not before the number of attempts that a quiet machine makes in them.
    """

    def __init__(self, within_seconds: float, *, pause_seconds: float) -> None:
        self._least = within_seconds / pause_seconds
        self._pause_seconds = pause_seconds
        self._within_seconds = within_seconds
        self._began = time.monotonic()
        self._made = 0

    @property
    def seconds(self) -> float:
        """The seconds since the first attempt."""
        return time.monotonic() - self._began

    def another(self) -> bool:
        """Pauses before the next attempt. False when there is none."""
        self._made += 1
        if self.seconds > TOTAL_SECONDS or (self.seconds > self._within_seconds and self._made > self._least):
            return False
        time.sleep(self._pause_seconds)
        return True


def cpu_seconds(pid: int) -> float:
    """The processor time of a process and its ended children; the time of day where the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return time.monotonic()
    fields = text.rpartition(")")[2].split()  # the name before it may hold spaces
    return sum(map(int, fields[11:15])) / _TICKS
