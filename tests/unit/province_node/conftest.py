"""The world of these tests, as a fixture."""

from __future__ import annotations

import pytest

from province_node.keys.keyring import Keyring
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.simulator.followed import Followed
from tests.unit.province_node.world import HOME, PASSPHRASE, World, write_keys
from tests.world.cheap_keys import make_keys_cheap
from tests.world.clock import ManualClock


@pytest.fixture(autouse=True)
def cheap_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    make_keys_cheap(monkeypatch)


@pytest.fixture
def world(tmp_path):
    followed = Followed.of("00", "31", "44")
    realm = followed.realm()
    followed.copy(tmp_path / "trust")
    write_keys(tmp_path / "keys", realm)
    store = SqliteNodeStore(tmp_path / "node.db")
    made = World(
        folder=tmp_path,
        realm=realm,
        keyring=Keyring(tmp_path / "keys", PASSPHRASE, participant=HOME, realm=realm.realm),
        store=store,
        clock=ManualClock(),
        view=followed.view,
    )
    made.cover()
    yield made
    store.close()
