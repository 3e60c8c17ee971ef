"""A database that was found damaged does not serve again before it is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from healthcode.errors import ConfigurationError
from province_node.store.opening import note_damage, open_store


def test_a_damaged_database_does_not_open_again(tmp_path: Path) -> None:
    """The start reads it whole, and says what to do; a restored one opens, and the note is gone."""
    path = tmp_path / "node.db"
    open_store(path).close()
    sound = path.read_bytes()
    note_damage(path)
    path.write_bytes(sound[:-4096] + b"x" * 4096)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="damaged"):
            open_store(path)
    path.write_bytes(sound)
    open_store(path).close()
    assert [each.name for each in tmp_path.iterdir()] == ["node.db"]
