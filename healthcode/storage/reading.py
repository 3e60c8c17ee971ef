"""Small files, read with a bound."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from healthcode.errors import (
    ConfigurationError,
    HealthcodeError,
    InvalidInputError,
    Reason,
    UnavailableError,
)
from healthcode.storage.owner import as_caller

__all__ = ["is_named_file", "read_bounded", "read_error", "read_file", "read_named", "read_regular"]

# these say something about the machine at this moment, and nothing about the file
_PASSING = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EAGAIN,
        errno.EINTR,
        errno.EIO,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """The bytes of a file. Raises InvalidInputError if it cannot be read, or is longer than `max_bytes`."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > max_bytes:
        raise InvalidInputError(f"{path} is longer than {max_bytes} bytes", reason=Reason.TOO_LARGE)
    return data


def read_named(path: Path, max_bytes: int) -> bytes:
    """`read_bounded` for a file that the user of a command named."""
    with as_caller():
        return read_bounded(path, max_bytes)


@as_caller()
def is_named_file(path: Path) -> bool:
    """Whether there is a file that the user of a command named."""
    return path.is_file()


def read_regular(path: Path, max_bytes: int | None = None) -> bytes:
    """The bytes of a regular file, at most one more than `max_bytes`. Raises OSError, also for a pipe."""
    # O_NONBLOCK: opening a pipe would wait for a writer without end
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb") as file:  # noqa: PTH123  of a handle, not of a path
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        return file.read() if max_bytes is None else file.read(max_bytes + 1)


def read_file(path: Path) -> bytes | None:
    """The bytes of a service's own file; None if there is none. Raises as `read_error` says."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise read_error(str(path), error) from error


def read_error(what: str, error: OSError) -> HealthcodeError:
    """UnavailableError if the machine cannot read now (no free file descriptor, a failing disk).

    Else ConfigurationError: a person must change something. `what` names the file.
    """
    if error.errno in _PASSING:
        return UnavailableError(f"{what} cannot be read now: {error.strerror}", retry_after_seconds=5)
    return ConfigurationError(f"{what} cannot be read: {error.strerror}")
