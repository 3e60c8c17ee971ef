"""Draws indices for codes, each once: counters come in blocks that the store reserves durably before use."""

from __future__ import annotations

import threading
from dataclasses import replace

from healthcode.revocation.index import IndexScheme
from province_node.store.protocols import IssueStore
from province_node.store.records import IndexBlock

__all__ = ["IndexSource"]

_BLOCK = 4096
_MOST_DAYS = 32  # no code lives longer


class IndexSource:
    """The indices of one process. A kill wastes the rest of its blocks."""

    def __init__(self, store: IssueStore, secret: bytes) -> None:
        self._store = store
        self._secret = secret
        self._lock = threading.Lock()
        self._blocks: dict[int, IndexBlock] = {}
        self._schemes: dict[tuple[int, int], IndexScheme] = {}

    def take(self, day: int) -> int:
        """A new index for a code that expires on `day`.

        Raises PreconditionError: INDEX_EXHAUSTED, or NOT_COVERED while issuing is stopped.
        """
        with self._lock:
            block = self._blocks.get(day)
            if block is None or block.first == block.end:
                block = self._store.reserve_block(day, _BLOCK)
            self._blocks[day] = replace(block, first=block.first + 1)
            return self._scheme(day, block.series).index(block.first)

    def forget(self) -> None:
        """Drops what was reserved: the series may be closed, or issuing stopped. The next index comes from the store."""
        with self._lock:
            self._blocks = {}

    def _scheme(self, day: int, series: int) -> IndexScheme:
        scheme = self._schemes.get((day, series))
        if scheme is None:
            self._forget_past(day)
            scheme = self._schemes[day, series] = IndexScheme(self._secret, series, day)
        return scheme

    def _forget_past(self, day: int) -> None:
        past = day - _MOST_DAYS
        self._blocks = {key: block for key, block in self._blocks.items() if key > past}
        self._schemes = {key: scheme for key, scheme in self._schemes.items() if key[0] > past}
