"""Time comes in from outside: pure code takes `now`, services are given a Clock.

All times inside the standard are whole seconds since the Unix epoch, UTC.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "SystemClock", "parse_rfc3339", "rfc3339"]


class Clock(Protocol):
    """Whatever can say what time it is."""

    def now(self) -> int:
        """Seconds since the Unix epoch, UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> int:
        return int(time.time())


def rfc3339(seconds: int) -> str:
    """`seconds` since the epoch as RFC 3339 in UTC, e.g. 2026-11-21T08:00:00Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_rfc3339(text: str) -> int:
    """Seconds since the epoch of an RFC 3339 time. Raises ValueError without a zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        message = f"{text!r} has no time zone; write 2026-11-21T08:00:00Z"
        raise ValueError(message)
    return int(moment.timestamp())
