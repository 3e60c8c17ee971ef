"""Keeps small files of the tree in memory, because all nodes fetch a new version in the same second."""

from __future__ import annotations

from cachetools import LRUCache

from healthcode.errors import NotFoundError
from trust_registry.tree.files import TIMESTAMP_FILE, TrustTree

__all__ = ["FileCache"]

MAX_FILE_BYTES = 256 * 1024
MAX_BYTES = 32 * 1024 * 1024


class FileCache:
    """The files fetched most recently, up to `max_bytes`. Call `find` and `keep` in the event loop, `read` in a thread."""

    def __init__(self, tree: TrustTree, *, max_bytes: int = MAX_BYTES) -> None:
        self._tree = tree
        self._files: LRUCache[str, bytes] = LRUCache(max_bytes, getsizeof=len)
        self._timestamp: tuple[tuple[int, int] | None, bytes | None] = (None, None)

    def find(self, path: str) -> bytes | None:
        """The file if it is in memory, else None; costs at most one stat. Raises NotFoundError (FILE_UNKNOWN)."""
        # every other name has a version or a hash in it, so its content never changes
        if path == TIMESTAMP_FILE:
            identity, timestamp = self._timestamp
            return timestamp if identity == self._tree.identity() else None
        data = self._files.get(path)
        if data is None and not self._tree.has(path):
            raise NotFoundError(f"there is no file {path} in the trust tree")
        return data

    def read(self, path: str) -> bytes | None:
        """The file from disk; None if it is too large to cache. Raises NotFoundError (FILE_UNKNOWN)."""
        identity = self._tree.identity() if path == TIMESTAMP_FILE else None
        with self._tree.open(path) as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if identity is not None:
            # the data has this identity or is newer; if newer, the next `find` sees another identity and reads again
            self._timestamp = (identity, data)
        return data if len(data) <= MAX_FILE_BYTES else None

    def keep(self, path: str, data: bytes) -> None:
        """Caches data that `read` returned."""
        if path != TIMESTAMP_FILE and path not in self._files:
            self._files[path] = data
