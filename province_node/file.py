"""Small files, read with a bound and written so that they are whole on disk or not there."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from healthcode.errors import ConfigurationError, InvalidInputError, Reason

__all__ = ["read_bounded", "write_durable"]


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
