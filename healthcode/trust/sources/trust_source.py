"""Where trust files come from. A source needs no trust: every file is verified after it was fetched."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Protocol

from healthcode.errors import NotFoundError, Reason, TrustError, UnavailableError
from healthcode.storage.owner import user_name
from healthcode.storage.reading import read_regular

__all__ = ["FileUnavailableError", "FolderSource", "TrustSource", "allowed_seconds", "too_large"]

_MIN_BYTES_PER_SECOND = 65_536


class TrustSource(Protocol):
    """Serves the files of a trust tree: `metadata/…`, `targets/…`, `lists/…`."""

    @property
    def name(self) -> str:
        """The source's name for an operator, e.g. its address."""
        ...

    def fetch(self, path: str, max_bytes: int) -> bytes:
        """The whole file at `path`.

        Raises NotFoundError(FILE_UNKNOWN) if there is none, TrustError(TOO_LARGE) if it is longer
        than `max_bytes`, UnavailableError if the source cannot be reached now, FileUnavailableError if
        only this file cannot be had.
        """
        ...


class FileUnavailableError(UnavailableError):
    """The source answers, but cannot give this file now. It says nothing about the next file."""


def allowed_seconds(timeout_seconds: float, max_bytes: int) -> float:
    """The time limit of a fetch: `timeout_seconds`, plus a second for each 64 KiB of `max_bytes`."""
    return timeout_seconds + max_bytes / _MIN_BYTES_PER_SECOND


def too_large(path: str, max_bytes: int, source: str) -> TrustError:
    """The error for a file that is longer than its limit."""
    return TrustError(
        f"{source}: {path} is longer than the {max_bytes} bytes allowed", reason=Reason.TOO_LARGE
    )


class FolderSource:
    """A trust tree in a local folder, e.g. carried by hand, or a mirror's checkout."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def name(self) -> str:
        return str(self._folder)

    def fetch(self, path: str, max_bytes: int) -> bytes:
        relative = PurePosixPath(path)
        if relative.is_absolute() or ".." in relative.parts:
            raise NotFoundError(f"{path} is not a path inside a trust tree")
        try:
            # a regular file alone, and with the rights that we act with: the owner may have put a pipe or a link here
            data = read_regular(self._folder / relative, max_bytes)
        except (FileNotFoundError, NotADirectoryError) as error:
            if not os.path.isdir(self._folder):  # noqa: PTH112  Path.is_dir raises where we may not look
                raise UnavailableError(
                    f"the folder {self._folder} does not exist", reason=Reason.TRUST_UNAVAILABLE
                ) from error
            raise NotFoundError(f"{self.name} has no file {path}") from error
        except OSError as error:
            raise UnavailableError(
                f"{self.name}: {path} cannot be read: {error.strerror}{_as_whom(error)}",
                reason=Reason.TRUST_UNAVAILABLE,
            ) from error
        if len(data) > max_bytes:
            raise too_large(path, max_bytes, self.name)
        return data


def _as_whom(error: OSError) -> str:
    """Who may not read, if root acts as the owner of a service's folder."""
    if not isinstance(error, PermissionError) or os.geteuid() == os.getuid():
        return ""
    return f" by user {user_name(os.geteuid())}, as whom this command acts: let that user read the folder"
