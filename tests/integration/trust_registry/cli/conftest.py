"""A founded registry, and a province that asks to join."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from healthcode.clock import SystemClock
from tests.simulator.registry import Province, found_registry
from trust_registry.registry import Registry

REALM = "test-registry"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return found_registry(tmp_path / "registry", clock=SystemClock())


@pytest.fixture
def shanghai() -> Province:
    return Province("31", REALM, now=int(time.time()))
