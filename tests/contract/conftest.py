"""Fixtures of the contract tests; see world.py."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from io import StringIO
from pathlib import Path

import pytest

from healthcode.telemetry import configure_logging
from tests.contract.world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        made = World(tmp_path, stack)
        made.publish("31", "44", "gateway", "registry")
        yield made


@pytest.fixture
def log() -> Iterator[StringIO]:
    """Everything that was logged, as a service would write it."""
    stream = StringIO()
    handlers = logging.getLogger().handlers[:]
    configure_logging("contract", stream=stream)
    yield stream
    logging.getLogger().handlers[:] = handlers
