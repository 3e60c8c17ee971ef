"""Request ids, so that a call that is repeated is told from one that reuses an id.

The result of a repeated publication does not come from here: the same bytes are
recognised in the tree, also after a restart. What is remembered is only which
content an id stood for, for 24 hours, in a bounded place.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from healthcode.errors import ConflictError, InvalidInputError, Reason

__all__ = ["RequestIds"]

_KEEP_SECONDS = 86_400
_MAX_IDS = 65_536
_MAX_ID_CHARACTERS = 64


class RequestIds:
    """The ids of one service; a caller's ids are its own."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], tuple[int, bytes]] = OrderedDict()

    def check(self, caller: str, request_id: str, content: bytes, now: int) -> None:
        """Raises InvalidInputError without a usable id, ConflictError (REQUEST_ID_REUSED) for other content."""
        if not 0 < len(request_id) <= _MAX_ID_CHARACTERS:
            raise InvalidInputError(
                f"a publication needs a request_id of 1 to {_MAX_ID_CHARACTERS} characters, like a UUID",
                fields={"request_id": "missing or too long"},
            )
        self._forget(now)
        digest = hashlib.sha256(content).digest()
        known = self._seen.setdefault((caller, request_id), (now, digest))
        if known[1] != digest:
            raise ConflictError(
                "this request_id came with another content before: take a new id for each publication",
                reason=Reason.REQUEST_ID_REUSED,
            )

    def _forget(self, now: int) -> None:
        while self._seen:
            key, (seen_at, _) = next(iter(self._seen.items()))
            if len(self._seen) < _MAX_IDS and now - seen_at < _KEEP_SECONDS:
                return
            del self._seen[key]
