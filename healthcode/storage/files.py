"""Files of a trust folder that are there after a power failure.

What belongs together is written first and synced then: all of it is sent to the disk
before the first of it is waited for, so that the file system makes many syncs durable in
one turn of its journal. A sync after each file takes several times as long.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from healthcode.errors import ConfigurationError, InvalidInputError, Reason, UnavailableError

__all__ = [
    "exclusive",
    "make_folder",
    "move_files",
    "read_bounded",
    "read_file",
    "read_regular",
    "replace_file",
    "storage_error",
    "sync",
    "sync_all",
    "sync_folder",
    "write_durable",
    "write_file",
    "write_files",
]


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


# --- was province_node/file.py: Small files, read with a bound and written so that they are whole on disk or not there.


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """The file at `path`. Raises InvalidInputError when it is missing, unreadable, or over `max_bytes`."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > max_bytes:
        raise InvalidInputError(f"{path} is longer than {max_bytes} bytes", reason=Reason.TOO_LARGE)
    return data


def write_durable(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Writes beside `path`, fsyncs, renames into place, fsyncs the folder. Raises ConfigurationError."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error


# --- was trust_registry/durable.py: Files that are there after kill -9 and after power loss, or not there at all.


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
