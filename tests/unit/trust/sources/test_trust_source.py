"""Sources give files by path, bounded."""

from pathlib import Path

import pytest

from healthcode.errors import NotFoundError, Reason, TrustError, UnavailableError
from healthcode.trust.sources.trust_source import FolderSource


def test_a_folder_gives_its_files_and_nothing_else(tmp_path: Path) -> None:
    """No path leaves the folder."""
    (tmp_path / "tree" / "metadata").mkdir(parents=True)
    (tmp_path / "tree" / "metadata" / "timestamp.json").write_bytes(b"12345")
    (tmp_path / "secret").write_bytes(b"secret")
    source = FolderSource(tmp_path / "tree")
    assert source.fetch("metadata/timestamp.json", 5) == b"12345"
    for path in ("metadata/none.json", "../secret", str(tmp_path / "secret"), "metadata/timestamp.json/x"):
        with pytest.raises(NotFoundError):
            source.fetch(path, 100)


def test_a_file_over_its_bound_is_refused(tmp_path: Path) -> None:
    """The bound is the caller's."""
    (tmp_path / "file").write_bytes(b"12345")
    with pytest.raises(TrustError) as caught:
        FolderSource(tmp_path).fetch("file", 4)
    assert caught.value.reason is Reason.TOO_LARGE


def test_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    """It may be mounted later; a folder in a file's place cannot be read."""
    with pytest.raises(UnavailableError):
        FolderSource(tmp_path / "none").fetch("file", 4)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UnavailableError):
        FolderSource(tmp_path).fetch("folder", 4)
