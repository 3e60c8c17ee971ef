"""Caches signed answers to CACHED questions for a few seconds.

The key contains the SHA-256 of the whole code, so only callers that have the code can read its answer.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

__all__ = ["AnswerCache", "AnswerKey"]

# An answer that expires sooner may be too old for the asker when it arrives.
TRAVEL_SECONDS = 2


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """The home and the code that an answer is about."""

    home: str
    code_sha256: bytes


class AnswerCache:
    """Evicts the least recently used entry. `ttl_seconds` 0 caches nothing."""

    def __init__(self, *, max_entries: int, ttl_seconds: int) -> None:
        self._max_entries = max_entries
        self._ttl_seconds = ttl_seconds
        self._entries: OrderedDict[AnswerKey, tuple[bytes, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: AnswerKey, now: int) -> bytes | None:
        """The cached answer, or None if there is none or it is too old at `now`."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        answer, until = entry
        if now >= until:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return answer

    def put(self, key: AnswerKey, answer: bytes, *, expires_at: int, now: int) -> None:
        """Caches `answer` until shortly before it expires, and for at most `ttl_seconds`."""
        until = min(expires_at - TRAVEL_SECONDS, now + self._ttl_seconds)
        if until <= now:
            return
        self._entries[key] = (answer, until)
        self._entries.move_to_end(key)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)
