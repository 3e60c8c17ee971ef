"""Following trust without a registry; with one, see tests/contract/test_follow.py."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from healthcode.service.trust_follower import TrustFollower
from healthcode.telemetry import Metrics
from healthcode.trust.client import TrustClient
from healthcode.trust.sources.trust_source import FolderSource
from tests.world.background import run_all
from tests.world.clock import ManualClock
from tests.world.waiting import until

POLL_SECONDS = 60.0


async def test_polls_have_jitter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that began together do not poll together: their waits spread around the period."""
    random.seed(3)
    waits: list[float] = []
    real = asyncio.timeout

    def note(seconds: float) -> asyncio.Timeout:
        waits.append(seconds)
        return real(seconds)

    monkeypatch.setattr(asyncio, "timeout", note)
    followers = [
        TrustFollower(
            tmp_path,
            TrustClient(tmp_path, FolderSource(tmp_path / "nowhere")),
            None,
            clock=ManualClock(),
            metrics=Metrics("test"),
            poll_seconds=POLL_SECONDS,
        )
        for _ in range(16)
    ]
    running = [asyncio.create_task(run_all(follower.tasks())) for follower in followers]
    await until(lambda: len(waits) >= len(followers))
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert min(waits) < 0.9 * POLL_SECONDS
    assert max(waits) - min(waits) > 0.2 * POLL_SECONDS
    assert max(waits) <= 1.25 * POLL_SECONDS
