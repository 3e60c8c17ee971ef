"""What a running process has opened is told only while it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from healthcode.storage.lock import lock
from province_node.keys.held_keys import HeldKey, HeldKeys, forget_held_keys, read_held_keys, write_held_keys
from province_node.keys.setup import create_node
from province_node.settings import NodeFolder, NodeSettings, load_node_settings
from tests.simulator.realm import NOW
from tests.unit.province_node.cli.command import plan_of

HELD = HeldKeys(
    started=NOW, opened={"live.key": HeldKey(kid="0a", since=NOW)}, unreadable={"paper.key": "no right"}
)


@pytest.fixture
def node(tmp_path: Path) -> tuple[Path, NodeSettings]:
    create_node(tmp_path / "node", plan_of(tmp_path), passphrase=None, now=NOW)
    return tmp_path / "node", load_node_settings(tmp_path / "node")


def test_only_a_running_process_holds_keys(node: tuple[Path, NodeSettings]) -> None:
    """What the last one noted counts while its lock is held, and not a moment longer."""
    root, settings = node
    write_held_keys(settings, HELD)
    assert read_held_keys(root, settings) is None
    with lock(NodeFolder(root).serving):
        assert read_held_keys(root, settings) == HELD
    assert read_held_keys(root, settings) is None


def test_a_process_that_starts_forgets_what_another_held(node: tuple[Path, NodeSettings]) -> None:
    """Until it has told itself, nothing is claimed; forgetting again is no fault."""
    root, settings = node
    write_held_keys(settings, HELD)
    forget_held_keys(settings)
    forget_held_keys(settings)
    with lock(NodeFolder(root).serving):
        assert read_held_keys(root, settings) == HeldKeys()


@pytest.mark.parametrize("data", [None, b"", b'{"started": "now"}', b"\xff"])
def test_a_note_that_is_missing_or_damaged_claims_nothing(
    node: tuple[Path, NodeSettings], data: bytes | None
) -> None:
    """The process runs, and nobody knows what it holds."""
    root, settings = node
    write_held_keys(settings, HELD)
    (note,) = settings.trust.folder.glob("held-keys.json")
    note.unlink() if data is None else note.write_bytes(data)
    with lock(NodeFolder(root).serving):
        assert read_held_keys(root, settings) == HeldKeys()


def test_a_key_is_lacked_by_file_and_by_kid() -> None:
    """A file of the same name with another key is another key."""
    assert not HELD.lacks("live.key", "0a")
    assert HELD.lacks("live.key", "0b")
    assert HELD.lacks("paper.key", "0a")
