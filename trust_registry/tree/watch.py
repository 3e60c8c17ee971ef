"""Tells watchers that a new version was published, by this process or by a command."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from trust_registry.tree.files import TreeVersions, TrustTree

__all__ = ["TreeWatch"]


class TreeWatch:
    """Polls the timestamp's file every `interval_seconds` for all watchers together.

    A slow watcher skips versions and gets the newest.
    """

    def __init__(self, tree: TrustTree, *, interval_seconds: float = 0.2) -> None:
        self._tree = tree
        self._interval_seconds = interval_seconds
        self._identity = tree.identity()
        self._versions = tree.versions()
        self._changed = asyncio.Event()
        self._looked = asyncio.Event()

    @property
    def versions(self) -> TreeVersions:
        """The current versions at the last poll."""
        return self._versions

    async def run(self) -> None:
        """Polls until it is cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._looked.wait(), self._interval_seconds)
            self._looked.clear()
            identity = self._tree.identity()
            if identity != self._identity:
                self._versions = await asyncio.to_thread(self._tree.versions)
                self._identity = identity
                self._changed.set()
                self._changed = asyncio.Event()

    def look_now(self) -> None:
        """Polls at once, because this process has just published."""
        self._looked.set()

    async def follow(self, known_timestamp_version: int) -> AsyncIterator[TreeVersions]:
        """Yields the current versions, first if they differ from the known one, then at every change."""
        while True:
            changed = self._changed
            if self._versions.timestamp != known_timestamp_version:
                known_timestamp_version = self._versions.timestamp
                yield self._versions
            await changed.wait()
