"""Remembers for 24 hours which content each request id came with, to refuse an id that is used again for another.

The answer to a repeated call comes from the tree, which recognises the same bytes also after a restart.
"""

from __future__ import annotations

import hashlib

from cachetools import TTLCache

from healthcode.clock import Clock
from healthcode.errors import ConflictError, InvalidInputError, Reason

__all__ = ["RequestIds"]

_KEEP_SECONDS = 86_400
_MAX_IDS = 65_536
_MAX_ID_CHARACTERS = 64


class RequestIds:
    """The request ids of one service, by caller; bounded in number."""

    def __init__(self, clock: Clock) -> None:
        self._digests: TTLCache[tuple[str, str], bytes, int] = TTLCache(_MAX_IDS, _KEEP_SECONDS, clock.now)

    def check(self, caller: str, request_id: str, content: bytes) -> None:
        """Raises InvalidInputError for an unusable id, ConflictError (REQUEST_ID_REUSED) if it came with other content."""
        if not 0 < len(request_id) <= _MAX_ID_CHARACTERS:
            raise InvalidInputError(
                f"a publication needs a request_id of 1 to {_MAX_ID_CHARACTERS} characters, like a UUID",
                fields={"request_id": "missing or too long"},
            )
        digest = hashlib.sha256(content).digest()
        if self._digests.setdefault((caller, request_id), digest) != digest:
            raise ConflictError(
                "this request_id was already used for different content: take a new id for each publication",
                reason=Reason.REQUEST_ID_REUSED,
            )
