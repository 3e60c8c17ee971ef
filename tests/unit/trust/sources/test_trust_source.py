"""Sources give files by path, bounded."""

import os
import tempfile
from pathlib import Path

import pytest

from healthcode.errors import NotFoundError, Reason, TrustError, UnavailableError
from healthcode.storage.owner import acting_as_owner
from healthcode.trust.sources.trust_source import FolderSource
from tests.world.users import IS_ROOT, OTHER, folder_of


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


def test_a_pipe_in_the_place_of_a_file_hangs_nobody(tmp_path: Path) -> None:
    """Whoever may write into the folder cannot stop a reader, or keep its rights for a while."""
    (tmp_path / "metadata").mkdir()
    os.mkfifo(tmp_path / "metadata" / "timestamp.json")
    with pytest.raises(UnavailableError, match="no regular file"):
        FolderSource(tmp_path).fetch("metadata/timestamp.json", 100)


def test_a_source_is_read_with_the_rights_of_whom_root_acts_as() -> None:
    """A link of the owner's leads to nothing of root's; a folder that the owner may not read is told."""
    with folder_of(OTHER) as folder, tempfile.TemporaryDirectory() as closed:
        secret = Path(closed) / "secret"
        secret.write_text("root's")
        secret.chmod(0o600)
        (folder / "timestamp.json").symlink_to(secret)
        if not IS_ROOT:
            assert FolderSource(folder).fetch("timestamp.json", 100) == b"root's"
            return
        with acting_as_owner(folder):
            for source in (folder, Path(closed)):
                with pytest.raises(UnavailableError, match="Permission denied by user"):
                    FolderSource(source).fetch("timestamp.json" if source == folder else "secret", 100)
