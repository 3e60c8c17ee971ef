"""Whose files a command makes: run as root, it acts as the owner of the service's folder.

A service and its commands share one folder, so a file of root's there is one that the service cannot read.
"""

from __future__ import annotations

import os
import pwd
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from healthcode.errors import ConfigurationError

__all__ = [
    "acting_as_owner",
    "as_caller",
    "beside",
    "find_unreadable",
    "refuse_stranger",
    "stay_owner",
    "user_name",
]

_ROOT = 0
_Result = TypeVar("_Result")


@contextmanager
def acting_as_owner(folder: Path) -> Iterator[None]:
    """Root acts as the owner of `folder`, or of the nearest folder above it while it does not exist.

    Changes nothing for another user, and in a folder of root's. Raises ConfigurationError.
    """
    # Not root with a chown afterwards: the owner may be an attacker. The kernel then keeps root's rights out of the
    # links that it put into its folder, whatever a command reads or writes there.
    owner = _nearest(folder).stat()
    if os.geteuid() == _ROOT:
        _refuse_foreign_path(folder, owner.st_uid)
    if os.geteuid() != _ROOT or owner.st_uid == _ROOT:
        yield
        return
    before = (os.geteuid(), os.getegid(), os.getgroups())
    caller = os.getuid()
    try:
        _become(owner.st_uid, owner.st_gid, _groups(owner.st_uid, owner.st_gid))
    except OSError as error:  # a container's root without CAP_SETUID
        raise ConfigurationError(
            f"{folder} belongs to user {user_name(owner.st_uid)}, and root cannot act as that user here "
            f"({error.strerror}): run this as that user"
        ) from error
    try:
        yield
    except ImportError as error:  # a part of the program that is loaded late
        if os.access(error.path or __file__, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
            raise
        raise ConfigurationError(
            f"user {user_name(owner.st_uid)}, whose folder this is, cannot read the program at {Path(__file__).parents[2]}: "
            "install it where that user can read it, as the service needs it too"
        ) from error
    finally:
        if os.getuid() == caller:  # else `stay_owner` gave root up
            _become(*before)


@contextmanager
def as_caller() -> Iterator[tuple[int, int] | None]:
    """Inside `acting_as_owner`: again the user who runs the command, for a file that this user named.

    For one step, in which nothing else of the process reads or writes: all its threads change the user. Gives uid and
    gid of the owner; None if there was no change.
    """
    acting = (os.geteuid(), os.getegid(), os.getgroups())
    if acting[0] == os.getuid():
        yield None
        return
    _become(os.getuid(), os.getgid(), acting[2])
    try:
        yield acting[:2]
    finally:
        _become(*acting)


def beside(step: Callable[[], _Result]) -> _Result:
    """Runs a step in the folder above a service's folder: as the owner, or as the caller where the owner may not."""
    try:
        return step()
    except PermissionError:
        with as_caller():
            return step()


def stay_owner() -> None:
    """Gives up the way back to root, as a process that serves does."""
    uid, gid = os.geteuid(), os.getegid()
    if uid != os.getuid():
        os.seteuid(os.getuid())
        os.setgid(gid)
        os.setuid(uid)


def refuse_stranger(folder: Path, *markers: str) -> None:
    """Raises ConfigurationError if `folder` has one of the files `markers` and belongs to another user than ours.

    Root is no stranger.
    """
    try:
        owner = folder.stat().st_uid
        is_stranger = os.geteuid() not in (_ROOT, owner) and any((folder / each).exists() for each in markers)
    except FileNotFoundError:
        return
    except PermissionError:
        is_stranger = folder != Path()  # the default, which a command may not need
        owner = _nearest(folder).stat().st_uid
    if is_stranger:
        name = user_name(owner)
        raise ConfigurationError(
            f"{folder} belongs to user {name}, and you are user {user_name(os.geteuid())}: run this as its owner "
            f"(`sudo -u {shlex.quote(name)} …`), or as root. Nothing is changed"
        )


def find_unreadable(folder: Path) -> Iterator[Path]:
    """Files and folders below `folder` that the user whom the process acts as cannot read."""
    for name in sorted(os.listdir(folder)):  # noqa: PTH208  a path is made of each
        path = folder / name
        if path.is_symlink():
            continue
        is_folder = path.is_dir()
        wanted = os.R_OK | (os.X_OK if is_folder else 0)
        if not os.access(path, wanted, effective_ids=os.access in os.supports_effective_ids):
            yield path
        elif is_folder:
            yield from find_unreadable(path)


def user_name(uid: int) -> str:
    """The name of a user, or `#` and the number, as sudo takes it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def _refuse_foreign_path(folder: Path, owner: int) -> None:
    """Raises ConfigurationError if a third user owns the folder's link or a folder above it, who could exchange it."""
    # as sshd does it (StrictModes); otherwise a link in a user's folder chooses what root acts as, and where
    path = folder.absolute()
    for each in (path, *path.parents):
        try:
            status = each.lstat()
        except OSError:
            continue
        if status.st_uid not in (_ROOT, owner):
            raise ConfigurationError(
                f"{each} belongs to user {user_name(status.st_uid)}, who could put something else in the place of "
                f"{folder}, which belongs to user {user_name(owner)}: name a folder below folders of root or of its owner"
            )


def _nearest(folder: Path) -> Path:
    """The folder, or the first one above that exists and can be reached."""
    for each in (folder.absolute(), *folder.absolute().parents):
        try:
            each.stat()
        except OSError:
            continue
        return each
    return Path("/")


def _groups(uid: int, gid: int) -> list[int]:
    try:
        return os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
    except KeyError:
        return [gid]


def _become(uid: int, gid: int, groups: list[int]) -> None:
    if os.geteuid() != _ROOT:
        os.seteuid(os.getuid())
    if os.geteuid() == _ROOT:
        os.setgroups(groups)
    os.setegid(gid)
    os.seteuid(uid)
