"""Which files of a folder are the trust tree."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from healthcode.errors import ConfigurationError, NotFoundError
from healthcode.storage.files import save_file
from tests.world.waiting import PATIENCE_SECONDS
from trust_registry.tree.files import TIMESTAMP_FILE, TrustTree, is_served
from trust_registry.tree.watch import TreeWatch

SHA = "a" * 64


@pytest.mark.parametrize(
    "path",
    [
        "metadata/timestamp.json",
        "metadata/1.root.json",
        "metadata/12.province-31-live.json",
        f"targets/policy/{SHA}.participants.json",
        f"targets/provinces/31/{SHA}.province.json",
        f"targets/provinces/31/revocations/{SHA}.head",
        f"targets/areas/{SHA}.risk.json",
        f"lists/{SHA}",
    ],
)
def test_every_kind_of_file_of_the_tree_is_served(path: str) -> None:
    """The names that clients ask for are names that we know."""
    assert is_served(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../passphrase",
        "metadata/../../keys/snapshot.key",
        "metadata/0.root.json",
        "metadata/01.root.json",
        "metadata/\uff11.root.json",
        "metadata/1.root.json\n",
        "metadata/1.root.json/",
        "metadata/.timestamp.json.ab12.partial",
        "metadata//1.root.json",
        f"lists/{SHA.upper()}",
        f"lists/{SHA}\x00",
        "lists/" + "b" * 63,
        "registry.toml",
    ],
)
def test_no_other_path_leads_anywhere(tmp_path: Path, path: str) -> None:
    """A name of another form is refused before the disk is asked."""
    assert not is_served(path)
    with pytest.raises(NotFoundError):
        TrustTree(tmp_path).read(path)


def _publish(tree: TrustTree, version: int) -> None:
    snapshot = {"signed": {"version": version, "meta": {"targets.json": {"version": 3}}}}
    save_file(tree.folder / f"metadata/{version}.snapshot.json", json.dumps(snapshot).encode())
    timestamp = {"signed": {"version": version, "meta": {"snapshot.json": {"version": version}}}}
    save_file(tree.folder / TIMESTAMP_FILE, json.dumps(timestamp).encode())


def test_versions_are_those_that_the_timestamp_leads_to(tmp_path: Path) -> None:
    """What lies beside it, half published, is not current."""
    tree = TrustTree(tmp_path)
    _publish(tree, 4)
    save_file(tmp_path / "metadata/5.snapshot.json", b"{}")
    save_file(tmp_path / "metadata/1.root.json", b"{}")
    save_file(tmp_path / "metadata/2.root.json", b"{}")
    versions = tree.versions()
    assert (versions.timestamp, versions.snapshot, versions.root) == (4, 4, 2)
    assert versions.roles == {"targets": 3}


def test_a_damaged_tree_says_what_to_do(tmp_path: Path) -> None:
    """An operator reads of a backup, not of a KeyError."""
    save_file(tmp_path / TIMESTAMP_FILE, b"{]")
    with pytest.raises(ConfigurationError, match="Restore it from a backup"):
        TrustTree(tmp_path).versions()


async def test_watchers_hear_of_what_another_process_published(tmp_path: Path) -> None:
    """A watcher is told what is current once, then each change, and the newest if it was slow."""
    tree = TrustTree(tmp_path)
    _publish(tree, 1)
    watch = TreeWatch(tree, interval_seconds=0.01)
    running = asyncio.create_task(watch.run())
    heard = watch.follow(0)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert (await anext(heard)).timestamp == 1
            _publish(tree, 2)
            assert (await anext(heard)).timestamp == 2
            _publish(tree, 3)
            other = watch.follow(2)
            assert (await anext(other)).timestamp == 3
            _publish(tree, 4)
            assert (await anext(other)).timestamp == 4
            assert (await anext(heard)).timestamp == 4
    finally:
        running.cancel()


async def test_a_watcher_who_knows_the_newest_waits(tmp_path: Path) -> None:
    """Reconnecting costs nothing while nothing changed."""
    tree = TrustTree(tmp_path)
    _publish(tree, 7)
    heard = TreeWatch(tree).follow(7)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(heard), 0.05)
