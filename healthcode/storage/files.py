"""Durable files: each is replaced as a whole or not at all, and is on disk when the call returns.

Every durable file is written here, except the files of a trust generation (trust/disk/write.py).
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

from healthcode.errors import ConfigurationError, HealthcodeError, Reason, UnavailableError

__all__ = [
    "make_folder",
    "move_batch",
    "move_files",
    "open_atomic",
    "open_new",
    "save_file",
    "save_files",
    "storage_error",
    "sync",
    "sync_all",
    "write_atomic",
    "write_batch",
    "write_new",
    "write_output",
]

_OPEN_AT_ONCE = 32


# Durability: what raises OSError


def sync(path: Path) -> None:
    """Makes the bytes of a file, or the names in a folder, durable. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _fsync(handle)
    finally:
        os.close(handle)


def _fsync(handle: int) -> None:
    try:
        os.fsync(handle)
    except OSError as error:
        # a file system without fsync of folders (CIFS, some FUSE): its names are as durable as it makes them
        if error.errno != errno.EINVAL or not stat.S_ISDIR(os.fstat(handle).st_mode):
            raise


def sync_all(paths: Sequence[Path]) -> None:
    """Makes files and folders durable; list the folders last. Raises OSError."""
    for start in range(0, len(paths), _OPEN_AT_ONCE):
        _sync_together(paths[start : start + _OPEN_AT_ONCE])


def _sync_together(paths: Sequence[Path]) -> None:
    # all writes start before the first fsync waits: the file system then commits them in one journal
    # transaction, several times faster than a sync after each file
    handles: list[int] = []
    try:
        for path in paths:
            handles.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            _start_writing(handles[-1])
        # folders first: the first one commits all names
        for handle in reversed(handles):
            _fsync(handle)
    finally:
        for handle in handles:
            os.close(handle)


def _start_writing(handle: int) -> None:
    """Starts writing dirty pages; on Linux DONTNEED does that. A Mac lacks it, and only takes longer."""
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def open_new(path: Path, *, mode: int = 0o600, durable: bool = True) -> Iterator[BinaryIO]:
    """Opens a new file for writing, and syncs its bytes at the end; a failure removes it.

    Its name is not durable before its folder is synced. Raises FileExistsError, OSError.
    """
    file = _create(path, mode)
    try:
        with file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _create(path: Path, mode: int) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb")


def write_new(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Writes a file that must not exist, as keys are. Raises FileExistsError, OSError."""
    with open_new(path, mode=mode) as file:
        os.fchmod(file.fileno(), mode)  # also under a umask that takes rights from the owner
        file.write(data)
    try:
        sync(path.parent)
    except OSError:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def open_atomic(
    path: Path,
    *,
    mode: int = 0o644,
    durable: bool = True,
    rights: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Iterator[BinaryIO]:
    """Opens a file beside `path`, which replaces it at the end. Raises OSError, and `path` is unchanged.

    Without `durable`, the file is still whole or not there, but a power failure may take it back. Inside `rights`
    files are made and renamed, but the block runs outside.
    """
    partial = _partial(path)
    try:
        with rights():
            file = _create(partial, mode)
            os.fchmod(file.fileno(), mode)  # whatever the umask: the folder above says who may come here
        with file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        with rights():
            rename(partial, path)
            if durable:
                sync(path.parent)
    finally:
        with rights():
            partial.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644, durable: bool = True) -> None:
    """Replaces the file at `path`. Raises OSError; `path` is unchanged if the new bytes were not written."""
    with open_atomic(path, mode=mode, durable=durable) as file:
        file.write(data)


def write_batch(files: Mapping[Path, bytes], *, mode: int = 0o644) -> None:
    """Replaces several files in their order, synced together. Raises OSError; those before may be replaced."""
    partials: dict[Path, Path] = {}
    try:
        for path, data in files.items():
            partial = _partial(path)
            with _create(partial, mode) as file:
                partials[partial] = path
                file.write(data)
        move_batch(partials)
    finally:
        for partial in partials:
            partial.unlink(missing_ok=True)


def move_batch(files: Mapping[Path, Path]) -> None:
    """Moves written files to places on the same disk, in their order, durably. Raises OSError."""
    sync_all(list(files))
    for source, path in files.items():
        rename(source, path)
    sync_all(sorted({path.parent for path in files.values()}))


def rename(source: Path, path: Path) -> None:
    """The step that makes a file visible; tests cut the power before it."""
    source.replace(path)


def make_folder(folder: Path) -> None:
    """Makes a folder and its parents, each name durable in the folder above. Raises OSError."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync(folder.parent)


def _partial(path: Path) -> Path:
    # a random name: in a folder that others can write to, a fixed one might be their link
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")


# A service's own files: a failure is STORAGE_FULL, and the caller may retry


def save_file(path: Path, data: bytes, *, mode: int = 0o644, durable: bool = True) -> None:
    """`write_atomic` that makes the folder too. Raises UnavailableError (STORAGE_FULL)."""
    with _saving([path]):
        write_atomic(path, data, mode=mode, durable=durable)


def save_files(files: Mapping[Path, bytes], *, mode: int = 0o644) -> None:
    """`write_batch` that makes the folders too. Raises UnavailableError (STORAGE_FULL)."""
    with _saving(list(files)):
        write_batch(files, mode=mode)


def move_files(files: Mapping[Path, Path]) -> None:
    """`move_batch` that makes the folders too. Raises UnavailableError (STORAGE_FULL)."""
    with _saving(list(files.values())):
        move_batch(files)


@contextmanager
def _saving(paths: Sequence[Path]) -> Iterator[None]:
    try:
        for folder in dict.fromkeys(path.parent for path in paths):
            make_folder(folder)
        yield
    except OSError as error:
        raise storage_error(paths[-1], error) from error


def storage_error(path: Path, error: OSError) -> HealthcodeError:
    """Why a write failed, and what to do: ConfigurationError for a missing permission, else STORAGE_FULL."""
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return ConfigurationError(
            f"{path.name} could not be written: {error.strerror}. Nothing is changed; run this as the owner of "
            f"{path.parent}, which must be writable"
        )
    is_full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    cause = "the disk is full" if is_full else (error.strerror or "the disk failed")
    what = f"make room in {path.parent}" if is_full else f"check the disk of {path.parent}"
    return UnavailableError(
        f"{path.name} could not be written: {cause}. Nothing that was published before is lost; {what} and try again",
        reason=Reason.STORAGE_FULL,
        retry_after_seconds=10,
    )


# Files that a person names: a failure is a wrong setting or argument


def write_output(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """`write_atomic` into a folder that exists. Raises ConfigurationError."""
    try:
        write_atomic(path, data, mode=mode)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
