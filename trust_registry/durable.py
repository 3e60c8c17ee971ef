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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from healthcode.errors import ConfigurationError, Reason, UnavailableError
from healthcode.trust.durable import sync_all

__all__ = [
    "exclusive",
    "make_folder",
    "move_files",
    "read_file",
    "storage_error",
    "sync_folder",
    "write_file",
    "write_files",
]


def write_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Puts `data` at `path`, atomically and durably; its folder is made when missing.

    Raises UnavailableError (STORAGE_FULL) when the disk does not take it.
    """
    write_files({path: data}, mode=mode)


def write_files(files: Mapping[Path, bytes], *, mode: int = 0o644) -> None:
    """As write_file, of several: each is there whole or not at all, and all are durable on return.

    They come to their places in their order, after the bytes of all were synced: that many
    syncs at once cost little more than one.
    """
    partials: dict[Path, Path] = {}
    try:
        for path, data in files.items():
            make_folder(path.parent)
            partial = partials[path] = path.parent / f".{path.name}.{secrets.token_hex(4)}.partial"
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
        _into_place({partial: path for path, partial in partials.items()})
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)


def move_files(files: Mapping[Path, Path]) -> None:
    """Moves written files to places on the same disk, durably. Raises UnavailableError (STORAGE_FULL)."""
    if not files:
        return
    try:
        for path in files.values():
            make_folder(path.parent)
        _into_place(files)
    except OSError as error:
        raise storage_error(path, error) from error


def _into_place(files: Mapping[Path, Path]) -> None:
    sync_all(list(files))
    for source, path in files.items():
        rename(source, path)
    sync_all(sorted({path.parent for path in files.values()}))


def rename(source: Path, path: Path) -> None:
    """The step at which a file is there; tests cut the power before it."""
    source.replace(path)


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
