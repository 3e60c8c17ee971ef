"""What is in a backup, and who can read it."""

from __future__ import annotations

import os
import tarfile

import pytest

from healthcode.errors import ConfigurationError
from province_node.operations.backup import write_backup
from tests.simulator.realm import NOW


def test_a_backup_holds_no_passphrase_and_nobody_else_reads_it(node, tmp_path):
    """What opens the keys lies elsewhere; the file has mode 0600 and never replaces another."""
    target = tmp_path / "b.tar"
    (node.root / "officers").mkdir()
    (node.root / "officers" / "2-00.json").write_text("officers")
    write_backup(node.root, target, now=NOW)
    assert target.stat().st_mode & 0o777 == 0o600
    with tarfile.open(target) as archive:
        names = archive.getnames()
    assert {"keys/live.key", "officers/2-00.json"} <= set(names)
    assert not [name for name in names if "passphrase" in name]
    with pytest.raises(ConfigurationError):
        write_backup(node.root, target, now=NOW)
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


def test_nobody_prepares_the_place_of_a_backup(node, tmp_path):
    """A link or a file at any name that can be guessed is neither followed nor taken over."""
    victim = tmp_path / "victim"
    victim.write_text("old")
    victim.chmod(0o644)
    (tmp_path / ".b.tar.part").symlink_to(victim)
    (tmp_path / ".b.tar.db").write_text("left by a kill")
    write_backup(node.root, tmp_path / "b.tar", now=NOW)
    assert not (tmp_path / "b.tar").is_symlink()
    assert (tmp_path / "b.tar").stat().st_mode & 0o777 == 0o600
    assert victim.read_text() == "old"


def test_what_a_killed_backup_left_goes_with_the_next_of_that_name(node, tmp_path):
    """Leftovers hold keys: after an hour they are nobody's work any more."""
    old, young = tmp_path / ".b.tar.0011.part", tmp_path / ".b.tar.0022.db"
    for path in (old, young):
        path.touch()
    os.utime(old, (NOW - 7200, NOW - 7200))
    write_backup(node.root, tmp_path / "b.tar", now=NOW)
    assert (old.exists(), young.exists()) == (False, True)
