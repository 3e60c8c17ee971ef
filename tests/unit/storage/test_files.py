"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from healthcode.errors import ConfigurationError, Reason, UnavailableError
from healthcode.storage.files import (
    move_files,
    open_atomic,
    save_file,
    save_files,
    storage_error,
    write_atomic,
    write_new,
    write_output,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _write_half(file: BinaryIO) -> None:
    file.write(b"half")
    raise KeyboardInterrupt


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A disk that takes nothing any more."""

    def fsync(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    return monkeypatch


@pytest.mark.parametrize("write", [save_file, write_atomic, write_output])
def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path, write: Callable[..., None]) -> None:
    """The new bytes replace the old ones, and no other file is left in the folder."""
    path = tmp_path / "b.json"
    write(path, b"old")
    write(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["b.json"]


def test_a_service_makes_the_folders_of_its_files(tmp_path: Path) -> None:
    """Files and moved files come to folders that were not there."""
    save_files({tmp_path / "a/1": b"1", tmp_path / "b/2": b"2"})
    move_files({tmp_path / "a/1": tmp_path / "c/1", tmp_path / "b/2": tmp_path / "c/2"})
    assert names(tmp_path / "c") == ["1", "2"]
    assert names(tmp_path / "a") == names(tmp_path / "b") == []


@pytest.mark.parametrize("write", [save_file, lambda path, data: save_files({path: data})])
def test_a_full_disk_keeps_the_old_file(
    tmp_path: Path, full: pytest.MonkeyPatch, write: Callable[..., None]
) -> None:
    """STORAGE_FULL names the file; the old bytes stay, and no partial file is left."""
    path = tmp_path / "timestamp.json"
    path.write_bytes(b"old")
    with pytest.raises(UnavailableError, match=r"timestamp\.json .* the disk is full") as caught:
        write(path, b"new")
    assert caught.value.reason is Reason.STORAGE_FULL
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["timestamp.json"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_missing_permission_is_a_persons_to_give(number: int) -> None:
    """Status 2 and no word of room on the disk."""
    error = storage_error(Path("/srv/registry/x.json"), OSError(number, os.strerror(number)))
    assert isinstance(error, ConfigurationError)
    assert "owner of /srv/registry" in error.message
    assert "room" not in error.message


def test_a_disk_that_fails_is_not_full() -> None:
    """EIO says to look at the disk."""
    error = storage_error(Path("/srv/x.json"), OSError(errno.EIO, os.strerror(errno.EIO)))
    assert isinstance(error, UnavailableError)
    assert "check the disk of /srv" in error.message
    assert "room" not in error.message


def test_an_output_into_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """A folder that a person mistyped is not made."""
    with pytest.raises(ConfigurationError, match="cannot be written: No such file"):
        write_output(tmp_path / "missing" / "out", b"")
    assert names(tmp_path) == []


def test_a_new_file_never_replaces_another(tmp_path: Path) -> None:
    """It has its mode under every umask, and a second one of that name is refused."""
    before = os.umask(0o277)
    try:
        write_new(tmp_path / "a.key", b"secret")
    finally:
        os.umask(before)
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "a.key", b"other")
    assert (tmp_path / "a.key").read_bytes() == b"secret"
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600


def test_a_new_file_on_a_full_disk_is_removed(tmp_path: Path, full: pytest.MonkeyPatch) -> None:
    """Half a key would block the next attempt."""
    with pytest.raises(OSError, match="No space left"):
        write_new(tmp_path / "a.key", b"secret")
    assert names(tmp_path) == []


def test_a_writer_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """An exception inside the block, of whatever kind, undoes the write."""
    path = tmp_path / "a"
    write_atomic(path, b"old")
    with pytest.raises(KeyboardInterrupt), open_atomic(path) as file:
        _write_half(file)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_a_file_system_without_fsync_of_folders_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EINVAL for a folder is no failure (CIFS, FUSE); for a file it is."""
    sound = os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sound(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomic(tmp_path / "one", b"1")
    save_files({tmp_path / "two": b"2"})
    assert (tmp_path / "one").read_bytes() + (tmp_path / "two").read_bytes() == b"12"

    def refused(_: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refused)
    with pytest.raises(OSError, match="Invalid argument"):
        write_atomic(tmp_path / "one", b"3")
    assert (tmp_path / "one").read_bytes() == b"1"
