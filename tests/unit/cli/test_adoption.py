"""A new bootstrap's root in a configuration: one word changes, or a person is told to change it."""

from pathlib import Path

import pytest

from healthcode.cli.adoption import name_root

OLD, NEW = "sha256:" + "0a" * 32, "sha256:" + "1b" * 32


def test_one_word_of_the_configuration_changes(tmp_path: Path) -> None:
    """Comments, order and mode stay; again changes nothing."""
    path = tmp_path / "node.toml"
    text = '# ours\n[registry]\nroot_fingerprint = "{}"  # announced\n'
    path.write_text(text.format(OLD))
    path.chmod(0o640)
    assert name_root(path, OLD, NEW) == "node.toml names it now"
    assert (path.read_text(), path.stat().st_mode & 0o777) == (text.format(NEW), 0o640)
    assert name_root(path, NEW, NEW) == "node.toml names it already"


@pytest.mark.parametrize("name", ["missing/node.toml", "folder"])
def test_what_cannot_be_written_is_told(tmp_path: Path, name: str) -> None:
    """The root is adopted by then; a person does the rest."""
    (tmp_path / "folder").mkdir()
    assert "write it into" in name_root(tmp_path / name, OLD, NEW)
