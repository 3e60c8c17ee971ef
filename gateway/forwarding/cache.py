"""Signed CACHED answers, kept for a few seconds; bounded in number and in time.

The key is the home and the SHA-256 of the whole code, so nobody gets an answer
out who does not hold the code itself. An answer leaves the cache before it would
be too old for the asker, who checks its age himself. LIVE answers never come here.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

__all__ = ["AnswerCache", "AnswerKey"]

TRAVEL_SECONDS = 2  # an answer this close to its end may be too old when it arrives


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """What a CACHED answer is an answer to."""

    home: str
    code_sha256: bytes


class AnswerCache:
    """Least recently used goes first. `ttl_seconds` 0 keeps nothing."""

    def __init__(self, *, max_entries: int, ttl_seconds: int) -> None:
        self._max_entries = max_entries
        self._ttl_seconds = ttl_seconds
        self._entries: OrderedDict[AnswerKey, tuple[bytes, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: AnswerKey, now: int) -> bytes | None:
        """The answer, when one is kept that is still young enough at `now`."""
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
        """Keeps `answer` until shortly before it expires, and no longer than the time to live."""
        until = min(expires_at - TRAVEL_SECONDS, now + self._ttl_seconds)
        if until <= now:
            return
        self._entries[key] = (answer, until)
        self._entries.move_to_end(key)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)
