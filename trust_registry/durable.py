"""Files that are there after kill -9 and after power loss, or not there at all.

A file is written beside its place, fsynced, renamed over it, and its folder is
fsynced: who reads it sees the old bytes or the new ones, never half of them.
A full or failing disk becomes STORAGE_FULL, and what was there before stays.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from healthcode.errors import ConfigurationError, Reason, UnavailableError

__all__ = ["exclusive", "make_folder", "move_file", "read_file", "storage_error", "sync_folder", "write_file"]


def write_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Puts `data` at `path`, atomically and durably; its folder is made when missing.

    Raises UnavailableError (STORAGE_FULL) when the disk does not take it.
    """
    partial = path.parent / f".{path.name}.{secrets.token_hex(4)}.partial"
    try:
        make_folder(path.parent)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error


def move_file(source: Path, path: Path) -> None:
    """Moves a written file to `path` on the same disk, durably. Raises UnavailableError (STORAGE_FULL)."""
    try:
        make_folder(path.parent)
        descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        source.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error


def read_file(path: Path) -> bytes | None:
    """The bytes at `path`, or None when there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(path: Path, *, busy: str | None = None) -> Iterator[None]:
    """Holds the lock file `path` alone, among threads and processes; waits for it, or says `busy`.

    Raises UnavailableError: with the sentence `busy` when another holds it, and
    STORAGE_FULL when it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise storage_error(path, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if busy is None else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnavailableError(busy or "another holds the lock") from None
        yield
    finally:
        os.close(descriptor)  # closing lets go of the lock


def make_folder(folder: Path) -> None:
    """Makes `folder` and its parents, each name durable in the folder above it."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def storage_error(path: Path, error: OSError) -> UnavailableError:
    """What a write that failed is to the caller: STORAGE_FULL, with the cause in words."""
    what = (
        "the disk is full"
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        else (error.strerror or "the disk failed")
    )
    return UnavailableError(
        f"{path.name} could not be written: {what}. Nothing that was published before is lost; "
        f"make room in {path.parent} and try again",
        reason=Reason.STORAGE_FULL,
        retry_after_seconds=10,
    )
