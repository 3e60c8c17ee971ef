"""The node that is backed up, as a fixture."""

from __future__ import annotations

import pytest

from tests.unit.province_node.operations.backed_up import Node


@pytest.fixture
def node(world, tmp_path):
    made = Node(world, tmp_path / "node")
    yield made
    made.store.close()
