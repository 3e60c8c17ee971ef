"""A revocation head in this province's name that this node never made rings, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from healthcode.trust.view import IssuerView
from province_node.publishing.own_entry import accept_entry, read_entry_state
from province_node.publishing.own_head import next_step, watch_head
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.simulator.realm import NOW
from tests.unit.province_node.world import HOME, World


@pytest.fixture
def store(tmp_path: Path):
    made = SqliteNodeStore(tmp_path / "heads.db")
    yield made
    made.close()


def published(world: World, version: int, digest: bytes) -> IssuerView:
    return replace(world.view.issuers[HOME], live_version=version, live_sha256=digest)


def test_every_attempt_of_a_version_is_known(world: World, store: SqliteNodeStore, tmp_path: Path) -> None:
    """Sent, lost, made anew with other bytes: whichever of them arrived is this node's own."""
    store.publishing.record_attempt(7, b"first")
    store.publishing.record_attempt(7, b"again")
    for digest in (b"first", b"again"):
        assert watch_head(tmp_path, store.publishing, published(world, 7, digest), NOW).head_alarm is None
    assert not (tmp_path / "entry.json").exists()


@pytest.mark.parametrize(("version", "digest"), [(8, b"anything"), (7, b"other bytes"), (6, b"never made")])
def test_what_was_never_made_here_rings_until_a_person_has_looked(
    world: World, store: SqliteNodeStore, tmp_path: Path, version: int, digest: bytes
) -> None:
    """Above, beside or below this node's own; durable, with what to do; and silent once it was accepted."""
    store.publishing.record_attempt(7, b"mine")
    state = watch_head(tmp_path, store.publishing, published(world, version, digest), NOW)
    assert f"revocation head version {version}" in (state.head_alarm or "")
    assert "keys rotate --purpose HEAD" in next_step(state)
    # it stays, also when our own stands again
    again = watch_head(tmp_path, store.publishing, published(world, 7, b"mine"), NOW)
    assert again.head_alarm == state.head_alarm == read_entry_state(tmp_path).head_alarm
    accept_entry(tmp_path, None)
    assert watch_head(tmp_path, store.publishing, published(world, version, digest), NOW).head_alarm is None
    assert next_step(read_entry_state(tmp_path)).startswith("nothing")


def test_what_another_database_made_before_a_takeover_is_not_judged(
    world: World, store: SqliteNodeStore, tmp_path: Path
) -> None:
    """After a restore the versions that stand are taken in; what comes above them is judged again."""
    store.publishing.record_attempt(3, b"mine")
    store.publishing.take_over({}, (), 1, 0, NOW, seen_version=9)
    for version in (3, 5, 9):
        assert (
            watch_head(tmp_path, store.publishing, published(world, version, b"theirs"), NOW).head_alarm
            is None
        )
    assert watch_head(tmp_path, store.publishing, published(world, 10, b"theirs"), NOW).head_alarm is not None


def test_what_was_long_ago_is_forgotten_and_not_judged(
    world: World, store: SqliteNodeStore, tmp_path: Path
) -> None:
    """A thousand versions are remembered; an older one that comes back, as from a restored registry, is no theft."""
    for version in (1, 2, 1500):
        store.publishing.record_attempt(version, b"mine")
    assert store.publishing.has_made(2, b"mine") is None
    assert watch_head(tmp_path, store.publishing, published(world, 2, b"mine"), NOW).head_alarm is None
    assert store.publishing.has_made(1499, b"mine") is False
