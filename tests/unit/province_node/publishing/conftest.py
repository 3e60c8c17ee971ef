"""The store of a node that publishes, as a fixture."""

from __future__ import annotations

import pytest

from province_node.store.sqlite.node_store import SqliteNodeStore


@pytest.fixture
def store(tmp_path):
    made = SqliteNodeStore(tmp_path / "publishing.db")
    yield made
    made.close()
