"""Waiting for a condition, with one limit for all tests: long enough for a machine that does much else."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

__all__ = ["PATIENCE_SECONDS", "eventually", "until", "wait_until"]

PATIENCE_SECONDS = 90.0
"""Also the deadline of a call that is expected to be answered at once."""


async def until(holds: Callable[[], object], *, why: str = "", pause_seconds: float = 0.02) -> None:
    """Waits until `holds()` is true. Raises AssertionError with `why` when patience ends."""

    async def look() -> bool:
        return bool(holds())

    await eventually(look, why=why, pause_seconds=pause_seconds, suppressed=())


async def eventually(
    holds: Callable[[], Awaitable[bool]],
    *,
    why: str = "",
    pause_seconds: float = 0.1,
    suppressed: tuple[type[Exception], ...] = (Exception,),
) -> None:
    """Waits until `await holds()` is true; by default its errors count as false, since a service may still start.

    Raises AssertionError with `why` when patience ends.
    """
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        last: Exception | None = None
        try:
            if await holds():
                return
        except suppressed as error:
            last = error
        if time.monotonic() > give_up:
            raise AssertionError(_message(holds, why)) from last
        await asyncio.sleep(pause_seconds)


def wait_until(holds: Callable[[], object], *, why: str = "", pause_seconds: float = 0.05) -> None:
    """The same for a test without an event loop."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < give_up, _message(holds, why)
        time.sleep(pause_seconds)


def _message(holds: Callable[[], object], why: str) -> str:
    if not why:
        try:
            why = inspect.getsource(holds).strip()
        except OSError:
            why = repr(holds)
    return f"not so after {PATIENCE_SECONDS:.0f} s: {why}"
