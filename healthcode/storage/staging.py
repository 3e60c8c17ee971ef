"""A service's folder that is made beside its place and then renamed, so that it is whole or not there."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from healthcode.storage.files import sync
from healthcode.storage.owner import as_caller, beside

__all__ = ["make_staging", "put_in_place", "remove_staging"]


def make_staging(staging: Path) -> None:
    """Makes a new folder of mode 0700, which belongs to whom the process acts as. Raises OSError."""
    try:
        staging.mkdir(mode=0o700)
    except PermissionError:
        # the folder above is not the owner's, so the owner cannot put another folder there meanwhile
        with as_caller() as owner:
            staging.mkdir(mode=0o700)
            if owner is not None:
                handle = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    os.fchown(handle, *owner)
                finally:
                    os.close(handle)


def put_in_place(staging: Path, target: Path, *, aside: Path | None = None) -> None:
    """Renames the finished folder, durably. `target` is missing or empty, or is renamed to `aside` first.

    Raises OSError.
    """

    def rename() -> None:
        if aside is not None:
            target.rename(aside)
        elif target.exists():
            target.rmdir()
        staging.rename(target)
        sync(target.parent)

    beside(rename)


def remove_staging(staging: Path) -> None:
    """Removes what a failure left; what cannot be removed stays."""
    with contextlib.suppress(OSError):
        beside(lambda: shutil.rmtree(staging))
