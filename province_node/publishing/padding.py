"""Padding: entries without a code in a list, so that its size does not tell how many codes were revoked."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from healthcode.revocation.index import PADDING as PADDING_LIMIT
from healthcode.revocation.index import IndexScheme
from province_node.store.records import PaddingStore, PublishStore

__all__ = ["Padding"]

_FEWEST_A_DAY = 256
_SHARE = 16  # one entry of padding for so many revocations
_DRAW = 16


class Padding:
    """Pads the lists of one issuer. What it draws is durable before it is published."""

    # A sixteenth of each series is never issued (healthcode.revocation.index), and only the issuer can tell it from other
    # indices. Each publication draws at most 15 and an eighth of what was revoked with it, until a day has 256 and a
    # sixteenth of its revocations. So neither a size nor a step from one version to the next tells the count. Two things
    # stay visible: that a day has any revocation, and when something was revoked.

    def __init__(
        self,
        store: PaddingStore,
        publications: PublishStore,
        secret: bytes,
        *,
        draw: Callable[[int], int] = secrets.randbelow,
    ) -> None:
        """`secret` is the issuer's INDEX key; `draw(n)` gives a number below n that nobody can guess."""
        self._store = store
        self._publications = publications
        self._secret = secret
        self._draw = draw

    def pad(self, now: int) -> int:
        """Pads each day that has revocations which were not published; how many entries were added."""
        last = self._publications.publication()
        days = self._store.unpadded_days(0 if last is None else last.through)
        return sum(self._pad_day(day, added, now) for day, added in days.items())

    def _pad_day(self, day: int, added: int, now: int) -> int:
        def choose(series: int, revoked: int, padded: int, used: int) -> list[int]:
            room = min(_FEWEST_A_DAY + revoked // _SHARE - padded, PADDING_LIMIT - used)
            # never all that is left, so that the next steps are blurred, too
            count = min(self._draw(_DRAW + added // 8), (max(room, 0) + 1) // 2)
            if not count:
                return []
            scheme = IndexScheme(self._secret, series, day)
            return [scheme.padding_index(used + number) for number in range(count)]

        return self._store.pad(day, choose, now)
