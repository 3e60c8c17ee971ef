"""Small files, read with a bound."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from healthcode.errors import InvalidInputError, Reason
from healthcode.storage.reading import read_bounded, read_file, read_regular


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    """A service's own file may be absent."""
    assert read_file(tmp_path / "nothing") is None


def test_a_file_that_is_too_long_is_refused(tmp_path: Path) -> None:
    """TOO_LARGE above the bound, the bytes at it."""
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bounded(tmp_path / "a", 5) == b"12345"
    with pytest.raises(InvalidInputError) as caught:
        read_bounded(tmp_path / "a", 4)
    assert caught.value.reason is Reason.TOO_LARGE
    assert read_regular(tmp_path / "a", 3) == b"1234"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Only a regular file is read."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="regular"):
        read_regular(tmp_path / "pipe")
