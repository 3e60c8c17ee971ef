"""Step two, in the background: levels follow evidence, lapse by themselves, and follow a new policy or areas file.

It never runs in the path of publishing. A due mark, or a row of another basis, stays until its holder was derived.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from healthcode.errors import HealthcodeError
from healthcode.telemetry import LogBudget, get_logger
from healthcode.wire.claims import Level
from province_node.people.holder_levels import HolderLevels, Moment
from province_node.people.migration import Migration
from province_node.store.people_protocols import LevelStore
from province_node.store.people_records import HolderState
from province_node.threads import WorkerPool

__all__ = ["LevelMetrics", "LevelWorker"]

SLICE = 100  # a slice keeps the store and the interpreter from a code that is issued meanwhile
_TICK_SECONDS = 1.0
_KEEP_NOW_SECONDS = 60
# worst levels first, then everybody who is left
_PHASES: tuple[Level | None, ...] = (Level.RED, Level.YELLOW, None)


class LevelMetrics(Protocol):
    """What an operator sees of the worker."""

    def set_level_lag(self, seconds: int) -> None: ...

    def set_level_sweep(self, holders: int, *, is_running: bool) -> None: ...

    def count_level_failure(self) -> None: ...


@dataclass(slots=True)
class _Sweep:
    """How far a re-derivation for one basis has come. A restart begins again, and skips who was derived."""

    basis: int
    phase: int = 0
    after: int = 0
    holders: int = 0


class LevelWorker:
    """One a node: the process that publishes runs it."""

    def __init__(
        self, levels: HolderLevels, store: LevelStore, migration: Migration, *, metrics: LevelMetrics
    ) -> None:
        self._levels = levels
        self._store = store
        self._migration = migration
        self._metrics = metrics
        self._log = get_logger("levels")
        self._budget = LogBudget(burst=3, period_seconds=600)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self._sweep: _Sweep | None = None
        self._migrated: bytes | None = b""
        self._kept = 0
        # how many at the front cannot be derived, by a fault of ours: they must not hold back the later ones
        self._failed_due = self._failed_lapsed = 0

    def wake(self) -> None:
        """There is new evidence. From any thread."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the node stops
                loop.call_soon_threadsafe(self._woken.set)

    async def run(self, pool: WorkerPool) -> None:
        self._loop = asyncio.get_running_loop()
        while True:
            self._woken.clear()
            began = time.monotonic()
            if await pool.run(self.work):
                # as long as it worked: issuing has at least half of the time
                await asyncio.sleep(time.monotonic() - began)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._woken.wait()

    def work(self) -> bool:
        """One round of at most one slice of each kind; whether there is more to do at once. Blocks."""
        moment = self._levels.moment()
        if moment is None:
            self._metrics.set_level_lag(0)
            return False
        more = self._migrate(moment)
        due = self._store.read_due(SLICE, self._failed_due)
        self._failed_due = self._behind(due, self._failed_due, moment)
        lapsed = self._store.read_lapsed(moment.now, SLICE, self._failed_lapsed)
        self._failed_lapsed = self._behind(lapsed, self._failed_lapsed, moment)
        more |= SLICE in {len(due), len(lapsed)}
        more |= self._sweep_on(moment)
        self._measure(moment)
        return more

    def _behind(self, states: Sequence[HolderState], failed: int, moment: Moment) -> int:
        """Settles a slice; how many failed ones the next slice passes over. Behind the last slice all are tried again."""
        failed += self._settle(states, moment)
        return failed if len(states) == SLICE else 0

    def _settle(self, states: Sequence[HolderState], moment: Moment) -> int:
        """How many could not be derived. They stay as they are, and are tried again."""
        if not states:
            return 0
        try:
            self._levels.settle(states, moment)
        except HealthcodeError:
            raise  # the store: nothing of the slice was applied
        except Exception as fault:  # noqa: BLE001  one holder must not stop all others
            if len(states) > 1:
                return sum(self._settle([state], moment) for state in states)
            self._metrics.count_level_failure()
            if self._budget.take(type(fault).__name__) is not None:
                self._log.error("level_failed", exc_info=fault)
            return 1
        return 0

    def _migrate(self, moment: Moment) -> bool:
        if self._migrated is None or self._store.is_upgraded():
            self._migrated = None
            return False
        self._migrated = self._migration.run_slice(self._migrated, moment.now)
        return True

    def _sweep_on(self, moment: Moment) -> bool:
        """The next slice of the re-derivation for this policy and areas file; whether there is another."""
        number = moment.basis.number
        if moment.basis.is_finished:
            self._sweep = None
            return False
        sweep = self._sweep
        if sweep is None or sweep.basis != number:
            self._log.info("level_sweep_began", policy_version=moment.basis.policy_version)
            sweep = self._sweep = _Sweep(number)
        states, after = self._store.read_outdated(number, _PHASES[sweep.phase], sweep.after, SLICE)
        self._settle(states, moment)
        sweep.holders += len(states)
        if after is None:
            sweep.phase, sweep.after = sweep.phase + 1, 0
        else:
            sweep.after = after
        is_running = sweep.phase < len(_PHASES)
        self._metrics.set_level_sweep(sweep.holders, is_running=is_running)
        if not is_running:
            # a basis that comes back unfinished is swept from the beginning
            self._sweep = None
            self._store.finish_basis(number)
            self._log.info(
                "level_sweep_ended", policy_version=moment.basis.policy_version, holders=sweep.holders
            )
        return is_running

    def _measure(self, moment: Moment) -> None:
        _, due_since, next_change = self._store.waiting()
        waits = [moment.now - at for at in (due_since, next_change) if at is not None]
        self._metrics.set_level_lag(max([0, *waits]))
        if moment.now >= self._kept + _KEEP_NOW_SECONDS:
            self._store.keep_now(moment.now)
            self._kept = moment.now
