"""When a service reports: each minute, and at once when its registry may have gone back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from healthcode.clock import SystemClock
from healthcode.errors import UnavailableError
from healthcode.service import reporter as report
from healthcode.service.reporter import NodeReporter
from healthcode.settings import TlsSettings
from healthcode.telemetry import Metrics
from healthcode.v1.trust_registry_pb2 import ReportNodeStateResponse
from tests.world.waiting import PATIENCE_SECONDS


class Reporter(NodeReporter):
    """Reports to nobody, and tells what it would have."""

    def __init__(self, interval_seconds: float, answer: ReportNodeStateResponse) -> None:
        self.answer = answer
        self.fails = False
        self.reported: list[float] = []
        self.lacking: list[Sequence[str]] = []
        self._told = asyncio.Event()
        super().__init__(
            "test",
            realm="test-registry",
            trust=lambda: None,
            directory=Path(),
            tls=TlsSettings(certificate=Path(), private_key=Path(), ca=Path()),
            clock=SystemClock(),
            metrics=Metrics("test"),
            interval_seconds=interval_seconds,
            on_lacking=self._hand_in,
        )

    async def report_once(self) -> ReportNodeStateResponse:
        self.reported.append(time.monotonic())
        self._told.set()
        if self.fails:
            raise UnavailableError("out of reach")
        return self.answer

    async def until(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.reported) < count:
                self._told.clear()
                await self._told.wait()

    async def _hand_in(self, roles: Sequence[str]) -> None:
        self.lacking.append(roles)


@asynccontextmanager
async def running(reporter: Reporter):
    task = asyncio.create_task(reporter.run())
    try:
        yield reporter
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_setback_is_reported_at_once_and_not_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in an hour, but after the pause that keeps a registry which errs again and again from costing more."""
    monkeypatch.setattr(report, "_SOON_SECONDS", 0.5)
    async with running(Reporter(3600.0, ReportNodeStateResponse())) as reporter:
        await reporter.until(1)
        for _ in range(3):
            reporter.report_soon()
        await reporter.until(2)
        assert reporter.reported[1] - reporter.reported[0] >= 0.44
        await asyncio.sleep(0.7)
        assert len(reporter.reported) == 2, "asked for three times, and reported once"


async def test_a_report_that_failed_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that is not up yet is told when it is."""
    monkeypatch.setattr(report, "_SOON_SECONDS", 0.05)
    async with running(Reporter(3600.0, ReportNodeStateResponse())) as reporter:
        reporter.fails = True
        await reporter.until(1)
        reporter.report_soon()
        await reporter.until(2)
        reporter.fails = False
        reporter.report_soon()
        await reporter.until(3)


async def test_what_the_registry_lacks_is_handed_on() -> None:
    """The roles of the answer, when there are some."""
    async with running(Reporter(0.05, ReportNodeStateResponse())) as reporter:
        await reporter.until(2)
        assert reporter.lacking == []
        reporter.answer = ReportNodeStateResponse(lacking_roles=["province-31", "province-31-live"])
        await reporter.until(4)
    assert ("province-31", "province-31-live") in reporter.lacking
