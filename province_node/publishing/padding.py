"""Padding: entries without a code in a list, so that its size does not tell how many codes were revoked."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from healthcode.revocation.index import PADDING as PADDING_LIMIT
from healthcode.revocation.index import IndexScheme
from province_node.store.protocols import PaddingStore
from province_node.store.publication import PaddingState

__all__ = ["Padding"]

_FEWEST_A_DAY = 256
_SHARE = 16  # one entry of padding for so many revocations
_DRAW = 16
_ATTEMPTS = 5


class Padding:
    """Pads the lists of one issuer. What it draws is durable before it is published."""

    # A sixteenth of each series is never issued (healthcode.revocation.index), and only the issuer can tell it from other
    # indices. Each publication draws at most 15 and an eighth of what was revoked with it, until a day has 256 and a
    # sixteenth of its revocations. So neither a size nor a step from one version to the next tells the count. Two things
    # stay visible: that a day has any revocation, and when something was revoked.

    def __init__(
        self,
        store: PaddingStore,
        secret: bytes,
        *,
        draw: Callable[[int], int] = secrets.randbelow,
    ) -> None:
        """`secret` is the issuer's INDEX key; `draw(n)` returns a random number below n."""
        self._store = store
        self._secret = secret
        self._draw = draw

    def pad(self, now: int) -> int:
        """Pads each day that has unpublished revocations; returns how many entries were added."""
        last = self._store.publication()
        days = self._store.unpadded_days(0 if last is None else last.through)
        return sum(self._pad_day(day, added, now) for day, added in days.items())

    def _pad_day(self, day: int, added: int, now: int) -> int:
        for _ in range(_ATTEMPTS):
            seen = self._store.padding_state(day)
            indices = self._choose(day, seen, added)
            if self._store.add_padding(day, seen, indices, now):
                return len(indices)
        # another process pads the day all the time: it does our work
        return 0

    def _choose(self, day: int, seen: PaddingState, added: int) -> list[int]:
        room = min(_FEWEST_A_DAY + seen.revoked // _SHARE - seen.padded, PADDING_LIMIT - seen.used)
        # at most half of the rest, so that later steps hide their count as well
        count = min(self._draw(_DRAW + added // 8), (max(room, 0) + 1) // 2)
        if not count:
            return []
        scheme = IndexScheme(self._secret, seen.series, day)
        return [scheme.padding_index(seen.used + number) for number in range(count)]
