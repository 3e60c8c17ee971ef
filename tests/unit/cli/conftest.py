"""A realm with Shanghai in it, and a trust folder that was filled from it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.simulator.realm import NOW, SimulatedRealm


@pytest.fixture(scope="session")
def realm() -> SimulatedRealm:
    return SimulatedRealm()


@pytest.fixture(scope="session")
def trust(realm: SimulatedRealm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trust")
    realm.client(folder).refresh(NOW)
    return folder


@pytest.fixture
def present() -> SimulatedRealm:
    """A realm of this very moment, since the commands know no other."""
    return SimulatedRealm(now=int(time.time()))
