"""Another user than the one who runs the tests. Only root can become one: others test the rule with one user alone."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["IS_ROOT", "OTHER", "STRANGER", "as_user", "folder_of", "give", "owners_below"]

IS_ROOT = os.geteuid() == 0
OTHER = 54_321 if IS_ROOT else os.geteuid()
"""Who a service runs as."""
STRANGER = 54_322


@contextmanager
def folder_of(uid: int) -> Iterator[Path]:
    """An empty folder of this user's, in one that everybody may pass, as /var/lib is; pytest's own are closed."""
    above = Path(tempfile.mkdtemp(prefix="owners-"))
    try:
        above.chmod(0o755)
        folder = above / "service"
        folder.mkdir(mode=0o700)
        give(folder, uid)
        yield folder
    finally:
        shutil.rmtree(above)


def give(folder: Path, uid: int) -> None:
    """Makes the user own a folder with all that is in it."""
    if IS_ROOT:
        for path in (folder, *folder.rglob("*")):
            os.lchown(path, uid, uid)


def owners_below(folder: Path) -> dict[tuple[int, int], list[str]]:
    """The names of files and folders, by their owner: uid and gid."""
    found: dict[tuple[int, int], list[str]] = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        try:
            status = path.lstat()
        except FileNotFoundError:  # a service runs, and removes its old generations of trust
            continue
        found.setdefault((status.st_uid, status.st_gid), []).append(path.name)
    return found


@contextmanager
def as_user(uid: int) -> Iterator[None]:
    """This process as another user, if root runs the tests."""
    if not IS_ROOT:
        yield
        return
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
