"""A disk that is full, or fails, from the n-th write on, until there is room again."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

__all__ = ["EVERY_WRITE", "FullDisk"]

_OPENING: tuple[tuple[Any, str], ...] = ((os, "fsync"), (os, "open"), (Path, "replace"), (Path, "mkdir"))
EVERY_WRITE: tuple[tuple[Any, str], ...] = (
    *_OPENING,
    (Path, "write_bytes"),
    (Path, "rename"),
    (Path, "symlink_to"),
    (os, "link"),
    (os, "symlink"),
    (os, "replace"),
)


class FullDisk:
    """Counts the calls that write, and fails the n-th and all later ones inside `full_after`."""

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        code: int = errno.ENOSPC,
        *,
        calls: tuple[tuple[Any, str], ...] = _OPENING,
    ) -> None:
        self.calls: list[str] = []
        self.fails_at: int | None = None
        self._code = code
        self._is_inside = False
        for owner, name in calls:
            patch.setattr(owner, name, self._wrap(name, getattr(owner, name)))

    def _wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            writes = name != "open" or (len(args) > 1 and args[1] & os.O_CREAT and "lock" not in str(args[0]))
            if not writes or self._is_inside:  # a call of the library within a call is one
                return real(*args, **kwargs)
            self.calls.append(name)
            if self.fails_at is not None and len(self.calls) > self.fails_at:
                if name == "write_bytes":
                    real(args[0], args[1][: len(args[1]) // 2])  # what there was room for
                raise OSError(self._code, os.strerror(self._code))
            self._is_inside = True
            try:
                return real(*args, **kwargs)
            finally:
                self._is_inside = False

        return call

    @contextmanager
    def full_after(self, count: int | None) -> Iterator[None]:
        self.calls.clear()
        self.fails_at = count
        try:
            yield
        finally:
            self.fails_at = None
