"""The option that names a service's folder: the command runs as the folder's owner (storage/owner.py)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from healthcode.storage.owner import acting_as_owner, refuse_stranger

__all__ = ["ServiceFolder"]


class ServiceFolder(click.Option):
    """`--dir` of a command that may write there. `markers`: the files by which a service's folder is known."""

    def __init__(self, *args: Any, markers: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.markers = markers

    @contextmanager
    def as_owner(self, folder: Path) -> Iterator[None]:
        """Runs as the owner of `folder`. Raises ConfigurationError for another user who is not root."""
        refuse_stranger(folder, *self.markers)
        with acting_as_owner(folder):
            yield
