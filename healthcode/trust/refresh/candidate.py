"""One source within one refresh, bounded in time and bytes."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from healthcode.errors import NotFoundError, Reason, UnavailableError
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.sources.trust_source import TrustSource, too_large

__all__ = ["Candidate", "SourceLimits"]

_TIMESTAMP = metadata_file("timestamp")


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """What one source may cost a refresh.

    `answer_seconds`: for its timestamp, if there are several sources. `refresh_seconds` and
    `refresh_bytes`: for everything that a refresh fetches from it. After a failure it rests
    `first_rest_seconds`, doubled up to `longest_rest_seconds`. A source whose timestamp is
    more than `lag_seconds` older than the newest is reported as frozen.
    """

    answer_seconds: float = 3.0
    refresh_seconds: float = 300.0
    refresh_bytes: int = 1_073_741_824
    first_rest_seconds: float = 5.0
    longest_rest_seconds: float = 300.0
    lag_seconds: int = 300


class Candidate:
    """A TrustSource that refuses to fetch once its time or its bytes are used up.

    Safe to fetch from by several threads. `timestamp` is the file that it served in this refresh.
    """

    def __init__(self, source: TrustSource, limits: SourceLimits, timestamp: bytes | None = None) -> None:
        self.source = source
        self.timestamp = timestamp
        # answers that the next fetch of a path gives again; None: there is no such file
        self._answered: dict[str, bytes | None] = {} if timestamp is None else {_TIMESTAMP: timestamp}
        self._limits = limits
        self._deadline = time.monotonic() + limits.refresh_seconds
        self._left = limits.refresh_bytes
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self.source.name

    def fetch(self, path: str, max_bytes: int) -> bytes:
        """As TrustSource.fetch; UnavailableError(SOURCE_SLOW) or TrustError(TOO_LARGE) when used up."""
        if path in self._answered:
            # The source was chosen for this very timestamp, so it must not be replaced by another one.
            answered = self._answered.pop(path)
            if answered is None:
                raise NotFoundError(f"{self.name} has no file {path}")
            return answered
        if time.monotonic() > self._deadline:
            raise UnavailableError(
                f"{self.name} did not give all in {self._limits.refresh_seconds:.0f} s",
                reason=Reason.SOURCE_SLOW,
            )
        granted = self._grant(max_bytes)
        data = b""
        try:
            data = self.source.fetch(path, granted)
        finally:
            with self._lock:
                self._left += granted - len(data)
        if path == _TIMESTAMP:
            self.timestamp = data
        return data

    def _grant(self, max_bytes: int) -> int:
        """Reserve bytes for one fetch. The fetch returns those that it did not use."""
        with self._lock:
            if self._left <= 0:
                raise too_large("all of it", self._limits.refresh_bytes, self.name)
            granted = min(max_bytes, self._left)
            self._left -= granted
            return granted

    def peek(self, path: str, max_bytes: int) -> bytes | None:
        """As fetch, but None if there is no such file. The next fetch returns the same without asking."""
        try:
            self._answered[path] = self.fetch(path, max_bytes)
        except NotFoundError:
            self._answered[path] = None
        return self._answered[path]
