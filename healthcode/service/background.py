"""Background tasks of a service: one that fails is logged, counted and started again, and the service goes on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from healthcode.errors import HealthcodeError, InternalError, UnavailableError
from healthcode.telemetry import LogBudget, Metrics, get_logger

__all__ = ["BackgroundTask", "Supervisor"]

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class BackgroundTask:
    """Work that runs until it is cancelled; `run` begins it, and begins it again after a failure.

    `name` labels a metric. `fatal` are the few errors that no further attempt can heal: they end the service.
    """

    name: str
    run: Callable[[], Coroutine[Any, Any, None]]
    fatal: tuple[type[HealthcodeError], ...] = ()


class Supervisor:
    """Keeps background tasks running: after each failure a pause that doubles, from half a second to a minute."""

    def __init__(self, metrics: Metrics) -> None:
        self._failures = metrics.counter(
            "task_failures_total", "Failures of background tasks, which are started again", ("task",)
        )
        self._budget = LogBudget(burst=3, period_seconds=600)
        self._log = get_logger("background")

    async def keep(self, task: BackgroundTask) -> None:
        """Runs `task` until cancelled. Raises InternalError for one of its fatal errors, and nothing else."""
        loop = asyncio.get_running_loop()
        # a series from the start, so that an alert sees the first failure
        failures = self._failures.labels(task.name)
        pause = _FIRST_PAUSE_SECONDS
        while True:
            began = loop.time()
            error: Exception | None = None
            try:
                await task.run()
            except task.fatal as fatal:
                raise InternalError(fatal.message) from fatal
            except asyncio.CancelledError:
                # a call inside may be cancelled by its library, which says nothing about this task
                if (this := asyncio.current_task()) is None or this.cancelling():
                    raise
                error = UnavailableError("a call was cancelled, and not by us")
            except Exception as failure:  # noqa: BLE001  whatever it is, it must not end the service
                error = failure
            failures.inc()
            if loop.time() - began > _LONGEST_PAUSE_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            self._tell(task, error, pause)
            await asyncio.sleep(pause * random.uniform(0.75, 1.0))  # noqa: S311  not a secret
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _tell(self, task: BackgroundTask, error: Exception | None, pause: float) -> None:
        why = error.message if isinstance(error, HealthcodeError) else type(error).__name__
        left_out = self._budget.take(f"{task.name}: {why}")  # another cause is news
        if left_out is None:
            return
        about: dict[str, object] = {"task": task.name, "again_in_seconds": pause}
        if left_out:
            about["left_out"] = left_out
        if error is None:
            self._log.error("task_ended", **about)
        elif isinstance(error, HealthcodeError):
            self._log.error("task_failed", why=why, reason=str(error.reason), **about)
        else:
            self._log.error("task_failed", why=why, exc_info=error, **about)
