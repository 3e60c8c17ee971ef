"""gateway.flight: one call for many who ask the same."""

from __future__ import annotations

import asyncio

import pytest

from gateway.forwarding.flight import Flights, Shared


class Call:
    """A call that ends when the test says so, and counts how often it was made."""

    def __init__(self) -> None:
        self.made = 0
        self.cancelled = False
        self.release = asyncio.Event()

    async def __call__(self) -> str:
        self.made += 1
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return "answer"


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_many_share_one_call() -> None:
    """Fifty who ask together make one call; one of them led."""
    flights: Flights[str, str] = Flights()
    call = Call()
    waiting = [asyncio.create_task(flights.join("k", call)) for _ in range(50)]
    await turn()
    call.release.set()
    results = await asyncio.gather(*waiting)
    assert call.made == 1
    assert [shared.value for shared in results] == ["answer"] * 50
    assert sum(shared.led for shared in results) == 1
    assert len(flights) == 0


async def test_other_keys_fly_apart() -> None:
    """Another question is another call."""
    flights: Flights[str, str] = Flights()
    call = Call()
    call.release.set()
    await asyncio.gather(flights.join("a", call), flights.join("b", call))
    assert call.made == 2


async def test_nothing_is_kept_after_landing() -> None:
    """Coalescing is no cache: who asks after the answer makes a call of his own."""
    flights: Flights[str, str] = Flights()
    call = Call()
    call.release.set()
    for _ in range(3):
        assert await flights.join("k", call) == Shared("answer", led=True)
    assert call.made == 3


async def test_a_leader_who_hangs_up_takes_nobody_with_him() -> None:
    """The call goes on for those who follow."""
    flights: Flights[str, str] = Flights()
    call = Call()
    leader = asyncio.create_task(flights.join("k", call))
    await turn()
    follower = asyncio.create_task(flights.join("k", call))
    await turn()
    leader.cancel()
    await turn()
    call.release.set()
    assert await follower == Shared("answer", led=False)
    assert not call.cancelled


async def test_a_failure_reaches_all_and_is_not_kept() -> None:
    """Everyone on the flight sees it fail; the next one starts afresh."""
    flights: Flights[str, str] = Flights()

    async def fail() -> str:
        await asyncio.sleep(0)
        raise ConnectionError

    results = await asyncio.gather(*(flights.join("k", fail) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionError] * 3
    assert len(flights) == 0


async def test_close_ends_what_is_on_its_way() -> None:
    """After close no call is left running."""
    flights: Flights[str, str] = Flights()
    call = Call()
    waiting = asyncio.create_task(flights.join("k", call))
    await turn()
    await flights.close()
    assert call.cancelled
    with pytest.raises(asyncio.CancelledError):
        await waiting
