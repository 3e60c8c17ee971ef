"""Coalescing: many who ask the same at the same time share one call to the home.

The first to ask leads; the call runs as a task of its own, so that a leader who
hangs up takes nobody with it. What the home said against the leader's question is
not the followers' fault: `Shared.led` tells them apart, and a follower may then
lead a call of its own.
"""

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
    """One result, and whether the receiver's own question brought it."""

    value: T
    led: bool


class Flights(Generic[K, T]):
    """The calls that are on their way, by what they ask; for one event loop."""

    def __init__(self) -> None:
        self._flights: dict[K, asyncio.Task[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def join(self, key: K, start: Callable[[], Coroutine[None, None, T]]) -> Shared[T]:
        """The result of the call for `key`: the one on its way, else of `start()`. Raises what it raised."""
        flight = self._flights.get(key)
        led = flight is None
        if flight is None:
            flight = asyncio.create_task(start())
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._land(key, done))
        return Shared(await asyncio.shield(flight), led)

    def _land(self, key: K, flight: asyncio.Task[T]) -> None:
        self._flights.pop(key, None)
        if not flight.cancelled():
            flight.exception()  # read it, so that a flight nobody waits for any more ends quietly

    async def close(self) -> None:
        """Ends every call that is still on its way."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
