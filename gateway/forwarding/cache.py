"""Caches signed answers to CACHED questions for a few seconds.

The key contains the SHA-256 of the whole code, so only callers that have the code can read its answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from cachetools import TLRUCache

from healthcode.clock import Clock

__all__ = ["AnswerCache", "AnswerKey"]

# An answer that expires sooner may be too old for the asker when it arrives.
TRAVEL_SECONDS = 2


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """The home and the code that an answer is about."""

    home: str
    code_sha256: bytes


class _Entry(NamedTuple):
    answer: bytes
    expires_at: int


class AnswerCache:
    """Evicts the least recently used entry. `ttl_seconds` 0 caches nothing."""

    def __init__(self, *, clock: Clock, max_entries: int, ttl_seconds: int) -> None:
        def until(_key: AnswerKey, entry: _Entry, now: int) -> int:
            return min(entry.expires_at - TRAVEL_SECONDS, now + ttl_seconds)

        self._entries: TLRUCache[AnswerKey, _Entry, int] = TLRUCache(max_entries, until, clock.now)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: AnswerKey) -> bytes | None:
        """The cached answer, or None if there is none or it is too old."""
        entry = self._entries.get(key)
        return None if entry is None else entry.answer

    def put(self, key: AnswerKey, answer: bytes, *, expires_at: int) -> None:
        """Caches `answer` until shortly before it expires, and for at most `ttl_seconds`."""
        self._entries[key] = _Entry(answer, expires_at)
