"""A clock that is off by the seconds in a file, for services that run as processes."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ShiftedClock"]


@dataclass(frozen=True)
class ShiftedClock:
    """The machine's clock, which a person sets by writing `file`."""

    file: Path

    def now(self) -> int:
        shift = 0
        with contextlib.suppress(OSError, ValueError):
            shift = int(self.file.read_text())
        return int(time.time()) + shift
