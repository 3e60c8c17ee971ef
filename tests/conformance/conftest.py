"""A TUF repository that is none of ours, and a client that begins with its first root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.suite import Client
from tests.simulator.mirror import run_mirror
from tests.simulator.tuf_repository import TufRepository


@pytest.fixture
def repository() -> TufRepository:
    return TufRepository()


@pytest.fixture
def client(repository: TufRepository, tmp_path: Path) -> Iterator[Client]:
    with run_mirror(repository.files) as mirror:
        client = Client(tmp_path, mirror)
        assert client.init() == 0
        yield client
