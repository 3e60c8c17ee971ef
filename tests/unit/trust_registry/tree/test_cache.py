"""Files kept in memory: always the right bytes, within a bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from healthcode.errors import NotFoundError
from trust_registry.tree.cache import MAX_FILE_BYTES, FileCache
from trust_registry.tree.files import TIMESTAMP_FILE, TrustTree


def put(folder: Path, path: str, data: bytes) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(data)


def fetch(hot: FileCache, path: str) -> bytes | None:
    """As the service does."""
    data = hot.find(path)
    if data is None and (data := hot.read(path)) is not None:
        hot.keep(path, data)
    return data


def test_a_file_is_read_once(tmp_path: Path) -> None:
    """Its name contains its version, so its content never changes."""
    hot = FileCache(TrustTree(tmp_path))
    put(tmp_path, "metadata/7.snapshot.json", b"seven")
    assert fetch(hot, "metadata/7.snapshot.json") == b"seven"
    (tmp_path / "metadata/7.snapshot.json").unlink()
    assert fetch(hot, "metadata/7.snapshot.json") == b"seven"


def test_the_timestamp_is_read_whenever_it_was_replaced(tmp_path: Path) -> None:
    """It is the only file that is replaced; the same one is not read twice."""
    hot = FileCache(TrustTree(tmp_path))
    with pytest.raises(NotFoundError):
        fetch(hot, TIMESTAMP_FILE)
    for data in (b"one", b"two", b"six"):
        put(tmp_path, "metadata/partial", data)
        (tmp_path / "metadata/partial").rename(tmp_path / TIMESTAMP_FILE)
        assert hot.find(TIMESTAMP_FILE) is None
        assert fetch(hot, TIMESTAMP_FILE) == data
        assert hot.find(TIMESTAMP_FILE) == data
    (tmp_path / TIMESTAMP_FILE).unlink()
    with pytest.raises(NotFoundError):
        fetch(hot, TIMESTAMP_FILE)


def test_what_is_not_there_may_come(tmp_path: Path) -> None:
    """A missing file is not remembered as missing: clients ask for the next root until there is one."""
    hot = FileCache(TrustTree(tmp_path))
    for path in ("metadata/2.root.json", "../registry.toml"):
        with pytest.raises(NotFoundError):
            hot.find(path)
    put(tmp_path, "metadata/2.root.json", b"root")
    assert fetch(hot, "metadata/2.root.json") == b"root"


def test_memory_is_bounded(tmp_path: Path) -> None:
    """A large file is not cached; of small ones those used least recently are dropped."""
    hot = FileCache(TrustTree(tmp_path), max_bytes=250)
    put(tmp_path, "metadata/1.targets.json", bytes(MAX_FILE_BYTES + 1))
    assert fetch(hot, "metadata/1.targets.json") is None
    for number in (1, 2):
        put(tmp_path, f"metadata/{number}.areas.json", bytes(100))
        fetch(hot, f"metadata/{number}.areas.json")
    hot.find("metadata/1.areas.json")
    put(tmp_path, "metadata/3.areas.json", bytes(100))
    fetch(hot, "metadata/3.areas.json")
    kept = [hot.find(f"metadata/{number}.areas.json") is not None for number in (1, 2, 3)]
    assert kept == [True, False, True]
