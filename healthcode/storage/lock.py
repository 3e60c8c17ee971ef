"""Lock files, of which one thread of one process has the lock at a time; and folders that are being read."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from healthcode.errors import HealthcodeError
from healthcode.storage.files import storage_error

__all__ = ["in_use", "is_locked", "lock", "lock_folder", "read_folder"]

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
    OSError (UnavailableError, STORAGE_FULL) if the lock file cannot be made or locked.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise failure(path, error) from error
    try:
        try:
            _take_lock(handle, busy, wait_seconds)
        except OSError as error:  # a file system without locks
            raise failure(path, error) from error
        yield
    finally:
        os.close(handle)  # releases the lock


def is_locked(path: Path) -> bool:
    """Whether somebody has the lock file `path`. Raises `storage_error`."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise storage_error(path, error) from error
    try:
        return _is_held(handle, fcntl.LOCK_SH)
    except OSError as error:
        raise storage_error(path, error) from error


def _is_held(handle: int, wanted: int) -> bool:
    """Whether another one's lock keeps us from the `wanted` kind; closes the handle. Raises OSError."""
    try:
        fcntl.flock(handle, wanted | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Holds a folder alone, among threads and processes, without a lock file. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # releases the lock


@contextmanager
def read_folder(folder: Path) -> Iterator[None]:
    """Keeps `in_use(folder)` true inside the block, as far as the file system has locks.

    Raises OSError if the folder cannot be opened.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)  # releases the lock


def in_use(folder: Path) -> bool:
    """Whether somebody is inside `read_folder`; a reader that comes later must find the folder changed."""
    try:
        return _is_held(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), fcntl.LOCK_EX)
    except OSError:  # it is gone, or a file system without locks
        return False


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
