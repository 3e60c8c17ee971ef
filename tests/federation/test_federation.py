"""A federation through partitions, kills and a registry restored from yesterday: whatever happens, nobody un-revokes.

Eight nodes here; `make bench` runs 34. What is asserted is the history: see history.py for the rules. How
fast news travel is no concern of these tests, but that all comes to rest by itself is.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.federation.history import check_history
from tests.federation.world import PROVINCES, Federation, open_federation

CODES = PROVINCES[:8]
REST_SECONDS = 45.0


@asynccontextmanager
async def federation_of(folder: Path, **settings: float) -> AsyncIterator[Federation]:
    async with open_federation(
        folder,
        CODES,
        processes=2,
        interval_seconds=0.3,
        poll_seconds=1.0,
        look_seconds=0.2,
        **settings,
    ) as federation:
        await federation.settle()
        await federation.watch([f"{code}/{number}" for code in CODES for number in range(12)])
        yield federation


class Load:
    """Revocations at random provinces while something happens."""

    def __init__(self, federation: Federation, seed: int) -> None:
        self._federation = federation
        self._chance = random.Random(seed)
        # the last of each province is never revoked: a node that refused it would refuse without cause
        self._left = [f"{code}/{number}" for code in CODES for number in range(11)]
        self._chance.shuffle(self._left)

    async def go(self, count: int, *, among: Callable[[str], bool] = lambda _code: True) -> None:
        """Revokes `count` codes, one after the other; a province whose process is gone may not answer."""
        for _ in range(count):
            code = next(code for code in self._left if among(code[:2]))
            self._left.remove(code)
            await self._federation.revoke(code[:2], [code])
            await asyncio.sleep(self._chance.uniform(0.02, 0.12))


async def rest(federation: Federation) -> None:
    """All comes to rest, and the history holds."""
    took = await federation.converge(REST_SECONDS)
    broken = check_history(federation.looks(), federation.revokes)
    assert broken == [], f"after {took:.1f} s: {broken[:5]}; {await federation.states()}"
    assert len(federation.revokes) > 10
    assert len(federation.looks()) > 10 * len(CODES)


async def test_partitions_kills_and_restarts(tmp_path: Path) -> None:
    """Nodes cut off, held up, restarted and killed, the registry killed: no node goes back, nothing is lost."""
    async with federation_of(tmp_path) as federation:
        load = Load(federation, 1)
        await load.go(4)
        for proxy in federation.proxies["11"]:
            proxy.cut()
        for proxy in federation.proxies["12"]:
            proxy.hold()
        await load.go(6)
        cut_off = (await federation.states())["11"]["snapshot"]
        await federation.restart("13")
        await asyncio.gather(load.go(4), federation.restart("11"))
        assert (await federation.states())["11"]["snapshot"] == cut_off, (
            "a node that is cut off stays as it was"
        )
        for code in ("11", "12"):
            for proxy in federation.proxies[code]:
                proxy.heal()
        # kill -9 of half the country, while revocations are under way
        under_way = asyncio.create_task(load.go(8))
        await asyncio.sleep(0.3)
        await federation.kill(0)
        await under_way
        federation.kill_registry()
        await federation.revive(0)
        await load.go(4)
        await asyncio.to_thread(federation.start_registry)
        await rest(federation)


async def test_a_registry_restored_from_yesterdays_backup(tmp_path: Path) -> None:
    """Every node refuses what is older than what it has, and proves what that is; the registry resumes above.

    It takes until each province has signed anew, since a snapshot that names an older head of
    one is refused whole: five minutes by default, two seconds here.
    """
    async with federation_of(tmp_path, report_seconds=2.0, resign_seconds=2.0) as federation:
        load = Load(federation, 2)
        await load.go(4)
        await federation.converge(REST_SECONDS)
        await asyncio.to_thread(federation.back_up)
        await load.go(8)
        await federation.converge(REST_SECONDS)
        before = await federation.states()
        federation.kill_registry()
        await asyncio.to_thread(federation.restore)
        await asyncio.to_thread(federation.start_registry)
        await load.go(3)
        await rest(federation)
        after = await federation.states()
        for code in CODES:
            assert after[code]["TRUST_ROLLBACK"] > 0, "each was served what is older, and refused it"
            assert after[code]["snapshot"] > before[code]["snapshot"]
