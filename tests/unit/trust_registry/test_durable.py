"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from healthcode.errors import Reason, UnavailableError
from healthcode.storage.files import exclusive, read_file, write_file


def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path) -> None:
    """The new bytes stand where the old ones stood, and nothing is left beside them."""
    path = tmp_path / "a" / "b.json"
    write_file(path, b"old")
    write_file(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in path.parent.iterdir()] == ["b.json"]


def test_a_full_disk_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """STORAGE_FULL names the file; the old bytes stay, and no half file does."""
    path = tmp_path / "timestamp.json"
    write_file(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(UnavailableError, match="the disk is full") as caught:
            write_file(path, b"new")
    assert caught.value.reason is Reason.STORAGE_FULL
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["timestamp.json"]


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    """Absent is an answer, not a fault."""
    assert read_file(tmp_path / "nothing") is None


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    """Who comes second waits until the first has let go."""
    order: list[str] = []
    inside = threading.Event()

    def second() -> None:
        inside.wait(5)
        with exclusive(tmp_path / "lock"):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with exclusive(tmp_path / "lock"):
        inside.set()
        thread.join(0.1)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]
