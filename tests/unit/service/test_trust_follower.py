"""Following trust: what needs no registry. What does is in tests/contract/test_follow.py."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from pathlib import Path

from healthcode.service.trust_follower import TrustFollower
from healthcode.telemetry import Metrics
from healthcode.trust.client import TrustClient
from healthcode.trust.sources.trust_source import FolderSource

POLL_SECONDS = 0.8


class NotingClock:
    """A clock that notes when it was asked: once for each refresh of a folder that has no trust."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    def now(self) -> int:
        self.asked.append(time.monotonic())
        return int(time.time())


async def test_polls_have_jitter(tmp_path: Path) -> None:
    """Clients that began together do not poll together: some wait less than the period, and they spread."""
    random.seed(3)
    clocks = [NotingClock() for _ in range(16)]
    followers = [
        TrustFollower(
            tmp_path,
            TrustClient(tmp_path, FolderSource(tmp_path / "nowhere")),
            None,
            clock=clock,
            metrics=Metrics("test"),
            poll_seconds=POLL_SECONDS,
        )
        for clock in clocks
    ]
    with suppress(TimeoutError):
        async with asyncio.timeout(2 * POLL_SECONDS), asyncio.TaskGroup() as group:
            for follower in followers:
                group.create_task(follower.run())
    pauses = sorted(clock.asked[1] - clock.asked[0] for clock in clocks)
    # a pause of 0.2 s lies before each wait, and nothing here waits for less than it was told to
    assert pauses[0] < 0.2 + 0.9 * POLL_SECONDS
    assert pauses[-1] - pauses[0] > 0.2 * POLL_SECONDS
