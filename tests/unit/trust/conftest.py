"""A realm of three participants, and a client that has seen it once."""

from pathlib import Path

import pytest

from healthcode.trust.client import TrustClient
from tests.simulator.realm import SimulatedRealm


@pytest.fixture
def realm() -> SimulatedRealm:
    return SimulatedRealm(("00", "11", "31"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "trust"


@pytest.fixture
def client(realm: SimulatedRealm, folder: Path) -> TrustClient:
    client = realm.client(folder)
    client.refresh(realm.now)
    return client
