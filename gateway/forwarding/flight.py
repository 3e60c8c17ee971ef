"""Coalesces calls: callers that ask the same at the same time share one call to the home."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Flights", "Shared"]

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shared(Generic[T]):
    """A result. `led`: this caller started the call that returned it."""

    value: T
    led: bool


class Flights(Generic[K, T]):
    """The calls in progress, by key; for one event loop."""

    def __init__(self) -> None:
        self._flights: dict[K, asyncio.Task[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def join(self, key: K, start: Callable[[], Coroutine[None, None, T]]) -> Shared[T]:
        """Joins the call in progress for `key`, or starts one. Returns its result or raises its error."""
        flight = self._flights.get(key)
        led = flight is None
        if flight is None:
            # a task of its own: if the first caller hangs up, the others still get the result
            flight = asyncio.create_task(start())
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._land(key, done))
        return Shared(await asyncio.shield(flight), led)

    def _land(self, key: K, flight: asyncio.Task[T]) -> None:
        self._flights.pop(key, None)
        if not flight.cancelled():
            flight.exception()  # retrieve it, or asyncio logs an error if no caller is left

    async def close(self) -> None:
        """Cancels every call in progress."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
