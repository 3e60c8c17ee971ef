"""A registry with one province, for the tests of versions, mirrors and rebuilds; a test file may have its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.trust_registry.one_province import REALM, make_registry
from tests.simulator.registry import Province
from tests.world.cheap_keys import make_keys_cheap
from tests.world.clock import ManualClock
from trust_registry.registry import Registry


@pytest.fixture(autouse=True)
def cheap_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    make_keys_cheap(monkeypatch)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def shanghai() -> Province:
    return Province("31", REALM)


@pytest.fixture
def registry(tmp_path: Path, clock: ManualClock, shanghai: Province) -> Registry:
    return make_registry(tmp_path / "registry", clock, shanghai)
