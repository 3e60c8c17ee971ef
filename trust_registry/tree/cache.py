"""The small files of the tree that everybody fetches in the same second, kept in memory.

A publication is fetched by every node at once: read from the disk, each fetch would pass
through a thread several times, which costs more than the file. A file's name carries its
version or its hash, so what was read once stays right; the timestamp, which is replaced,
is read again when the file is another one. That there is no such file (as each node hears
of the next root, each time) costs one look. The least asked for goes first.
"""

from __future__ import annotations

from collections import OrderedDict

from healthcode.errors import NotFoundError
from trust_registry.tree.files import TIMESTAMP_FILE, TrustTree

__all__ = ["FileCache"]

MAX_FILE_BYTES = 256 * 1024
MAX_BYTES = 32 * 1024 * 1024


class FileCache:
    """`find` and `keep` in the event loop, `read` in a thread."""

    def __init__(self, tree: TrustTree, *, max_bytes: int = MAX_BYTES) -> None:
        self._tree = tree
        self._max_bytes = max_bytes
        self._files: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._timestamp: tuple[tuple[int, int] | None, bytes | None] = (None, None)

    def find(self, path: str) -> bytes | None:
        """The file, when it is in memory; at most one look at the disk. Raises NotFoundError (FILE_UNKNOWN)."""
        if path == TIMESTAMP_FILE:
            identity, timestamp = self._timestamp
            return timestamp if identity == self._tree.identity() else None
        data = self._files.get(path)
        if data is not None:
            self._files.move_to_end(path)
        elif not self._tree.has(path):
            raise NotFoundError(f"there is no file {path} in the trust tree")
        return data

    def read(self, path: str) -> bytes | None:
        """The file from the disk; None when it is too large to be kept. Raises NotFoundError (FILE_UNKNOWN)."""
        identity = self._tree.identity() if path == TIMESTAMP_FILE else None
        with self._tree.open(path) as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if identity is not None:
            # what was read is of that identity or newer; if newer, the next look finds another one
            self._timestamp = (identity, data)
        return data if len(data) <= MAX_FILE_BYTES else None

    def keep(self, path: str, data: bytes) -> None:
        """Keeps what was read, for those who ask next."""
        if path == TIMESTAMP_FILE or path in self._files:
            return
        self._files[path] = data
        self._bytes += len(data)
        while self._bytes > self._max_bytes:
            _, dropped = self._files.popitem(last=False)
            self._bytes -= len(dropped)
