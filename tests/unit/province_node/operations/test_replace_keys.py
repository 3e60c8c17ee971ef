"""Keys that nobody can open any more: new ones, the old codes good, and no index given twice."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from healthcode.errors import ConfigurationError, PreconditionError, Reason
from healthcode.revocation.day import day_of
from healthcode.revocation.index import SERIES_LIMIT
from healthcode.signing.purpose import KeyPurpose
from province_node.codes.index_source import IndexSource
from province_node.keys.key_files import ONLINE_PURPOSES
from province_node.keys.keyring import Keyring
from province_node.operations.replace_keys import replace_index_key, replace_keys
from province_node.publishing.padding import Padding
from province_node.settings import KeySettings, NodeSettings
from province_node.store.records import Revocation, RevocationReason
from tests.simulator.realm import NOW
from tests.unit.province_node.world import PASSPHRASE, World

NEW = b"another passphrase, not lost"
DAY = day_of(NOW)


@pytest.fixture
def settings(world: World, tmp_path: Path) -> NodeSettings:
    """Those of a node whose keys and database are the world's."""
    keys = tmp_path / "own" / "keys"
    shutil.copytree(world.keyring._folder, keys)  # the world keeps its own
    base = NodeSettings.model_construct(participant="31", realm=world.realm.realm)
    return base.model_copy(update={"keys": KeySettings(folder=keys), "database": world.folder / "node.db"})


def opened(settings: NodeSettings, passphrase: bytes) -> Keyring:
    return Keyring(settings.keys.folder, passphrase, participant="31", realm=settings.realm)


def take(world: World, keyring: Keyring, count: int = 200) -> set[int]:
    source = IndexSource(world.store.issuing, keyring.index_secret())
    return {source.take(DAY) for _ in range(count)}


def test_no_index_is_given_twice_by_another_index_key(world: World, settings: NodeSettings) -> None:
    """Codes before, codes after, and the padding of the day: no index twice, each time the key is replaced."""
    seen = take(world, opened(settings, PASSPHRASE))
    assert len(seen) == 200
    victims: set[int] = set()
    for number in (1, 2):
        done = replace_keys(settings, world.view.issuers["31"], NEW, now=NOW + number, development=True)
        assert done.first_series == number
        keyring = opened(settings, NEW)
        # nothing is issued before a head is acknowledged that says so
        assert world.store.publishing.publication() is None
        indices = take(world, keyring)
        assert not indices & seen
        seen |= indices
        victim = min(indices)
        victims.add(victim)
        world.store.revoking.record_revocations(
            [Revocation(DAY, victim)], RevocationReason.FRAUD, world.request(f"r-{number}"), NOW
        )
        Padding(world.store.padding, keyring.index_secret(), draw=lambda n: n - 1).pad(NOW)
        revoked = set(world.store.publishing.revoked_indices(DAY, world.store.publishing.last_revocation()))
        assert revoked > victims
        assert not (revoked - victims) & seen  # padding revokes nobody's code


def test_all_keys_are_new_and_the_old_files_are_kept(world: World, settings: NodeSettings) -> None:
    """One of each purpose, under the new passphrase; what could not be opened lies aside, unchanged."""
    before = {path.name: path.read_bytes() for path in settings.keys.folder.iterdir()}
    done = replace_keys(settings, world.view.issuers["31"], NEW, now=NOW, development=True)
    keyring = opened(settings, NEW)
    assert sorted(info.purpose for info in keyring.infos) == sorted(ONLINE_PURPOSES)
    assert done.aside is not None
    assert {path.name: path.read_bytes() for path in done.aside.iterdir()} == before
    old = opened(replace_folder(settings, done.aside), PASSPHRASE)
    assert old.index_secret() != keyring.index_secret()
    assert not {info.public for info in old.infos} - {None} & {info.public for info in keyring.infos}


def replace_folder(settings: NodeSettings, folder: Path) -> NodeSettings:
    return settings.model_copy(update={"keys": KeySettings(folder=folder)})


@pytest.mark.parametrize("state", ["there", "missing", "damaged"])
def test_the_index_key_alone_is_replaced(world: World, settings: NodeSettings, state: str) -> None:
    """The others stay as they are; the next series is opened whatever became of the file."""
    before = take(world, opened(settings, PASSPHRASE))
    (path,) = (each for each in settings.keys.folder.iterdir() if each.name.startswith("index"))
    if state == "missing":
        path.unlink()
    elif state == "damaged":
        path.write_bytes(b"{")
    done = replace_index_key(settings, world.view.issuers["31"], PASSPHRASE, now=NOW, development=True)
    keyring = opened(settings, PASSPHRASE)
    assert keyring.head_key().public == world.keyring.head_key().public
    assert done.first_series == 1
    assert (done.aside is None) is (state == "missing")
    assert not take(world, keyring) & before


def test_a_kill_between_the_two_renames_is_done_again(world: World, settings: NodeSettings) -> None:
    """Without a key folder the node does not start; the same command makes one, and opens a further series."""
    before = take(world, opened(settings, PASSPHRASE))
    replace_keys(settings, world.view.issuers["31"], NEW, now=NOW, development=True)
    settings.keys.folder.rename(settings.keys.folder.with_name(".keys.new"))
    with pytest.raises(ConfigurationError):
        opened(settings, NEW)
    done = replace_keys(settings, world.view.issuers["31"], NEW, now=NOW, development=True)
    assert (done.aside, done.first_series) == (None, 2)
    assert not take(world, opened(settings, NEW)) & before


def test_without_a_published_head_the_next_series_is_opened_as_well(
    world: World, settings: NodeSettings
) -> None:
    """A node that was admitted, and never published: its database says what was drawn."""
    before = take(world, opened(settings, PASSPHRASE))
    issuer = replace(world.view.issuers["31"], revocations=None, live_version=None)
    replace_keys(settings, issuer, NEW, now=NOW, development=True)
    assert not take(world, opened(settings, NEW)) & before
    assert opened(settings, NEW).signers(KeyPurpose.LIVE)


def test_when_every_series_was_opened_the_old_index_key_stays(world: World, settings: NodeSettings) -> None:
    """Another key has no series of its own then: INDEX_EXHAUSTED, and no file was touched."""
    issuer = world.view.issuers["31"]
    for number in range(1, SERIES_LIMIT):
        replace_index_key(settings, issuer, PASSPHRASE, now=NOW + number, development=True)
    held = {path.name: path.read_bytes() for path in settings.keys.folder.iterdir()}
    for again in (replace_index_key, replace_keys):
        with pytest.raises(PreconditionError) as refused:
            again(settings, issuer, PASSPHRASE, now=NOW + SERIES_LIMIT, development=True)
        assert refused.value.reason is Reason.INDEX_EXHAUSTED
    assert {path.name: path.read_bytes() for path in settings.keys.folder.iterdir()} == held
