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

    def take(self, province: str, count: int) -> list[str]:
        """So many codes of a province that nobody has revoked."""
        taken = [code for code in self._left if code.startswith(province)][:count]
        self._left = [code for code in self._left if code not in taken]
        return taken

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
    """Nodes prove what they hold, the registry resumes above; a province that is dark holds up nobody.

    What is revoked meanwhile reaches all others in seconds, with the intervals of real life: no node
    waits for its next minute's report, nor for the five minutes after which a head is signed anew.
    """
    async with federation_of(tmp_path) as federation:
        load = Load(federation, 2)
        dark = CODES[3]
        await load.go(4)
        await federation.converge(REST_SECONDS)
        await asyncio.to_thread(federation.back_up)
        await federation.revoke(dark, load.take(dark, 2))
        await load.go(8)
        await federation.converge(REST_SECONDS)
        before = await federation.states()
        for proxy in federation.proxies[dark]:
            proxy.cut()
        federation.kill_registry()
        await asyncio.to_thread(federation.restore)
        await asyncio.to_thread(federation.start_registry)
        await load.go(6, among=lambda code: code != dark)
        others = [code for code in CODES if code != dark]
        took = await federation.converge(REST_SECONDS, among=others)
        assert took < REST_SECONDS, await federation.states()
        assert (await federation.states())[dark]["snapshot"] == before[dark]["snapshot"]
        for proxy in federation.proxies[dark]:
            proxy.heal()
        await load.go(2, among=lambda code: code == dark)
        await rest(federation)
        after = await federation.states()
        assert any(state.get("TRUST_ROLLBACK") for state in after.values()), "what is older was refused"
        for code in CODES:
            assert after[code]["snapshot"] > before[code]["snapshot"]
