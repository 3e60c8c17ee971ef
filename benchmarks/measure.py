"""The parts of a benchmark: a registered function that yields `Figure`s, and medians over rounds.

Goals are ratios of two things measured in turns within one run, or bytes: both are the same on every machine.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = [
    "REGISTRY",
    "Benchmark",
    "Figure",
    "benchmark",
    "cpu_seconds",
    "median_seconds",
    "ratio",
    "seconds",
]


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of results.json. `goal` is "<= X" or ">= X", or None for a figure without a goal."""

    id: str
    what: str
    value: float
    unit: str
    goal: str | None
    rounds: int

    def __post_init__(self) -> None:
        """Refuses a goal that cannot be read, before anything is measured."""
        if self.goal is not None and self.goal.split()[0] not in {"<=", ">="}:
            raise ValueError(f"{self.id}: a goal is '<= X' or '>= X', not {self.goal!r}")

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is reached; None without a goal."""
        if self.goal is None:
            return None
        sign, bound = self.goal.split()
        return self.value <= float(bound) if sign == "<=" else self.value >= float(bound)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A function that measures, and the ids of its figures."""

    ids: tuple[str, ...]
    run: Callable[[], Iterator[Figure]]


REGISTRY: list[Benchmark] = []
"""Filled by `benchmark` when `__main__` imports the files of this folder."""


def benchmark(*ids: str) -> Callable[[Callable[[], Iterator[Figure]]], Callable[[], Iterator[Figure]]]:
    """Registers a function that yields one Figure for each of `ids`, in any order.

    @benchmark("refresh_idle_cpu_ms")
    def refresh() -> Iterator[Figure]:
        yield Figure("refresh_idle_cpu_ms", "refresh without change, CPU a node", 3.1, "ms", None, rounds=9)
    """

    def register(run: Callable[[], Iterator[Figure]]) -> Callable[[], Iterator[Figure]]:
        REGISTRY.append(Benchmark(ids, run))
        return run

    return register


def seconds(work: Callable[[], object], *, clock: Callable[[], float] = time.perf_counter) -> float:
    """The duration of one call, with the garbage collector off."""
    gc.collect()
    gc.disable()
    try:
        started = clock()
        work()
        return clock() - started
    finally:
        gc.enable()


def cpu_seconds(work: Callable[[], object]) -> float:
    """The CPU time of one call in this process, over all its threads."""
    return seconds(work, clock=time.process_time)


def median_seconds(work: Callable[[], object], *, rounds: int) -> float:
    """The median of `rounds` calls, after one warm-up call."""
    work()
    return statistics.median(seconds(work) for _ in range(rounds))


def ratio(work: Callable[[], object], against: Callable[[], object], *, rounds: int) -> float:
    """Time of `work` ÷ time of `against`. Both are measured in turns; the result is the median of the ratios."""
    work()
    against()
    return statistics.median(seconds(work) / seconds(against) for _ in range(rounds))
