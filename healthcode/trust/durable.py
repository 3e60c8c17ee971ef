"""Files of a trust folder that are there after a power failure.

What belongs together is written first and synced then: all of it is sent to the disk
before the first of it is waited for, so that the file system makes many syncs durable in
one turn of its journal. A sync after each file takes several times as long.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

__all__ = ["read_regular", "replace_file", "sync", "sync_all"]

_OPEN_AT_ONCE = 32


def sync(path: Path) -> None:
    """Makes the bytes of a file, or the names in a folder, durable. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_all(paths: Sequence[Path]) -> None:
    """Makes all of them durable, files and folders, in no order. Raises OSError."""
    for start in range(0, len(paths), _OPEN_AT_ONCE):
        _sync_together(paths[start : start + _OPEN_AT_ONCE])


def _sync_together(paths: Sequence[Path]) -> None:
    handles: list[int] = []
    try:
        for path in paths:
            handles.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            _begin_writing(handles[-1])
        # the folders come last in `paths`: with the first of them the journal takes in all the names
        for handle in reversed(handles):
            os.fsync(handle)
    finally:
        for handle in handles:
            os.close(handle)


def _begin_writing(handle: int) -> None:
    """Has the system begin to write what is dirty, as Linux does when it is told that it is not needed soon."""
    if hasattr(os, "posix_fadvise"):  # not on a Mac, where it merely takes longer
        with contextlib.suppress(OSError):
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)


def read_regular(path: Path, max_bytes: int | None = None) -> bytes:
    """The bytes of a file, at most one more than `max_bytes`.

    Raises OSError, also for what is no file: a pipe would be waited for without an end.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb") as file:  # noqa: PTH123  of a handle, not of a path
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        return file.read() if max_bytes is None else file.read(max_bytes + 1)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: fsync, then rename, which makes it durable. Raises OSError."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)  # what lies there may be a pipe, which would be waited for
    fresh.write_bytes(data)
    sync(fresh)
    fresh.replace(path)
    sync(path.parent)
