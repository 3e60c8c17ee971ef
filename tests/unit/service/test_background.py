"""A background task that fails never ends the service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from io import StringIO

import pytest

from healthcode.errors import ConfigurationError, InternalError, UnavailableError
from healthcode.service import background
from healthcode.service.background import BackgroundTask, Supervisor
from healthcode.telemetry import Metrics
from tests.world.log import json_log
from tests.world.waiting import until


@pytest.fixture
def log() -> Iterator[StringIO]:
    with json_log() as stream:
        yield stream


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(background, "_LONGEST_PAUSE_SECONDS", 0.004)


class Failing:
    """Fails with each error in turn, then works until cancelled."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.works = False

    async def run(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.works = True
        await asyncio.Event().wait()


def lines(log: StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


@pytest.mark.parametrize(
    "error", [OSError(24, "Too many open files"), TypeError("x"), UnavailableError("not now"), KeyError("x")]
)
async def test_any_failure_is_logged_counted_and_tried_again(log: StringIO, error: Exception) -> None:
    """Also an exception that nobody foresaw: the task runs again after a pause."""
    metrics, work = Metrics("test"), Failing(error)
    keeping = asyncio.create_task(Supervisor(metrics).keep(BackgroundTask("work", work.run)))
    await until(lambda: work.works)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert metrics.registry.get_sample_value("healthcode_task_failures_total", {"task": "work"}) == 1
    (line,) = lines(log)
    assert (line["event"], line["task"]) == ("task_failed", "work")


async def test_a_call_that_its_library_cancelled_is_a_failure_like_others(log: StringIO) -> None:
    """grpc.aio raises CancelledError for a call on a channel that was closed; our own end still ends the task."""
    begun = 0

    async def run() -> None:
        nonlocal begun
        begun += 1
        call = asyncio.get_running_loop().create_future()
        call.cancel()
        await call

    keeping = asyncio.create_task(Supervisor(Metrics("test")).keep(BackgroundTask("work", run)))
    await until(lambda: begun > 2)
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping


async def test_a_task_that_ends_is_begun_again(log: StringIO) -> None:
    """A loop that returns is a defect, and the service goes on."""
    begun = 0

    async def run() -> None:
        nonlocal begun
        begun += 1

    keeping = asyncio.create_task(Supervisor(Metrics("test")).keep(BackgroundTask("work", run)))
    await until(lambda: begun > 2)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert {line["event"] for line in lines(log)} == {"task_ended"}


async def test_a_task_that_fails_for_ever_does_not_fill_the_log(log: StringIO) -> None:
    """Three lines in ten minutes; the metric counts each failure."""
    metrics, work = Metrics("test"), Failing(*(OSError(5, "I/O error") for _ in range(40)))
    keeping = asyncio.create_task(Supervisor(metrics).keep(BackgroundTask("work", work.run)))
    await until(lambda: work.works)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert len(lines(log)) == 3
    assert metrics.registry.get_sample_value("healthcode_task_failures_total", {"task": "work"}) == 40


async def test_what_can_never_heal_ends_the_service_and_is_no_configuration_error(log: StringIO) -> None:
    """Status 2 belongs to the start: systemd does not start a unit again that ended with it."""
    work = Failing(ConfigurationError("the database is damaged"))
    with pytest.raises(InternalError, match="damaged") as ended:
        await Supervisor(Metrics("test")).keep(BackgroundTask("work", work.run, fatal=(ConfigurationError,)))
    assert ended.value.exit_status == 70
    assert log.getvalue() == ""
