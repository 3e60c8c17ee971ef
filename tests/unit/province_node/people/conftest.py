"""A world under a policy of format 2, as a fixture."""

from __future__ import annotations

import pytest

from tests.unit.province_node.people.persons import Persons
from tests.unit.province_node.world import World


@pytest.fixture
def persons(world: World) -> Persons:
    return Persons(world)
