"""The lock file."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from healthcode.errors import Reason, TrustError, UnavailableError
from healthcode.storage.lock import is_locked, lock
from tests.world.waiting import PATIENCE_SECONDS


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    """The second thread waits until the first has released the lock."""
    order: list[str] = []
    inside = threading.Event()

    def second() -> None:
        inside.wait(PATIENCE_SECONDS)
        with lock(tmp_path / "lock"):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with lock(tmp_path / "lock"):
        inside.set()
        thread.join(0.1)
        order.append("first")
    thread.join(PATIENCE_SECONDS)
    assert order == ["first", "second"]


def test_whether_a_lock_is_held_is_seen_without_taking_it(tmp_path: Path) -> None:
    """A file that is missing is not made; looking leaves the lock with its holder."""
    assert not is_locked(tmp_path / "lock")
    assert not (tmp_path / "lock").exists()
    with lock(tmp_path / "lock"):
        assert is_locked(tmp_path / "lock")
        assert is_locked(tmp_path / "lock")
    assert not is_locked(tmp_path / "lock")


@pytest.mark.parametrize("wait_seconds", [0, 0.1])
def test_a_lock_that_another_holds_is_busy(tmp_path: Path, wait_seconds: float) -> None:
    """The caller's error is raised after the time given, and the lock is free again later."""
    busy = TrustError("held")
    with (
        lock(tmp_path / "lock"),
        pytest.raises(TrustError, match="held"),
        lock(tmp_path / "lock", busy=busy, wait_seconds=wait_seconds),
    ):
        pass
    with lock(tmp_path / "lock", busy=busy):
        pass


def test_a_lock_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """STORAGE_FULL, unless the caller tells it in another way."""
    with (
        pytest.raises(UnavailableError, match="No such file") as caught,
        lock(tmp_path / "missing" / "lock"),
    ):
        pass
    assert caught.value.reason is Reason.STORAGE_FULL
    with (
        pytest.raises(TrustError, match="lock"),
        lock(tmp_path / "missing" / "lock", failure=lambda path, _error: TrustError(path.name)),
    ):
        pass
