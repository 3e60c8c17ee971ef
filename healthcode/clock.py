"""Time: pure code takes `now`, services take a Clock. All times are whole seconds since the Unix epoch, UTC."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["LAST_SECOND", "Clock", "SystemClock", "parse_rfc3339", "rfc3339", "utc"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)

LAST_SECOND = 253_402_300_799
"""9999-12-31T23:59:59Z: the last second that RFC 3339 and a protobuf Timestamp can express."""

# datetime.fromisoformat accepts more than RFC 3339, and differs between Python versions
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


class Clock(Protocol):
    """A source of the current time."""

    def now(self) -> int:
        """Seconds since the Unix epoch, UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        return int(time.time())  # the kernel's, which knows no zone and no leap second


def utc(seconds: float) -> datetime:
    """`seconds` since the epoch as a datetime in UTC. The only place where one becomes the other."""
    # by arithmetic alone: datetime.fromtimestamp and datetime.now ask the C library, which takes leap seconds off
    # where TZ names a zone of `right/` (27 s since 2017), also in UTC
    return _EPOCH + timedelta(seconds=seconds)


def rfc3339(seconds: int) -> str:
    """`seconds` since the epoch as RFC 3339 in UTC, e.g. 2026-11-21T08:00:00Z; limited to 1970…9999."""
    moment = utc(min(max(seconds, 0), LAST_SECOND))
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_rfc3339(text: str) -> int:
    """Epoch seconds of an RFC 3339 time from 1970 to 9999. Raises ValueError."""
    if _RFC3339.fullmatch(text) is None:
        message = "not an RFC 3339 time: write one with its zone, like 2026-11-21T08:00:00Z"
        raise ValueError(message)
    seconds = (datetime.fromisoformat(text.upper()) - _EPOCH) // _SECOND
    if not 0 <= seconds <= LAST_SECOND:
        message = "a time must be between 1970 and 9999"
        raise ValueError(message)
    return seconds
