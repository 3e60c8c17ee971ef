"""A lock file: one thread of one process has the lock at a time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from healthcode.errors import HealthcodeError
from healthcode.storage.files import storage_error

__all__ = ["lock"]

_PAUSE_SECONDS = 0.05


@contextmanager
def lock(
    path: Path,
    *,
    busy: HealthcodeError | None = None,
    wait_seconds: float = 0,
    failure: Callable[[Path, OSError], HealthcodeError] = storage_error,
) -> Iterator[None]:
    """Holds the lock file `path` alone, among threads and processes.

    Waits without limit, or with `busy` for `wait_seconds` and then raises it. Raises `failure` of the
    OSError (UnavailableError, STORAGE_FULL) if the lock file cannot be made in its folder.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise failure(path, error) from error
    try:
        _take_lock(handle, busy, wait_seconds)
        yield
    finally:
        os.close(handle)  # releases the lock


def _take_lock(handle: int, busy: HealthcodeError | None, wait_seconds: float) -> None:
    if busy is None:
        return fcntl.flock(handle, fcntl.LOCK_EX)
    until = time.monotonic() + wait_seconds
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise busy from None
        time.sleep(_PAUSE_SECONDS)
