"""A realm of three participants, and a client that has seen it once."""

from functools import partial
from pathlib import Path

import pytest

from healthcode.trust.client import TrustClient
from tests.simulator.followed import Followed
from tests.simulator.realm import SimulatedRealm

FOLLOWED = partial(Followed.of, "00", "11", "31")


@pytest.fixture
def realm() -> SimulatedRealm:
    return FOLLOWED().realm()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "trust"


@pytest.fixture
def client(realm: SimulatedRealm, folder: Path) -> TrustClient:
    return FOLLOWED().client(realm, folder)
