"""How long until 33 other nodes refuse a revoked code, in publish intervals of 1 s.

34 nodes as in tests/federation. They share the cores of one machine with the registry, so other load shows in the figure.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.measure import Figure, benchmark
from tests.federation.history import REVOKED, check_history
from tests.federation.world import PROVINCES, Federation, open_federation

INTERVAL_SECONDS = 1.0
SECONDS = 40.0
PER_SECOND = 1.0
BUSY = "31"
PATIENCE_SECONDS = 60.0
UNASKED_SECONDS = 5.0


# One revocation a second on average, at random moments: half by one busy province, half by any. Measured from the
# back end's request until the other node's own verifier says REVOKED. No network latency is in it.
@benchmark("propagation_p50", "propagation_p99", "propagation_all_p99")
def propagation() -> Iterator[Figure]:
    """A steady load, then one revocation in every province at once, which has no goal."""
    with tempfile.TemporaryDirectory() as folder:
        steady, burst = asyncio.run(_measure(Path(folder)))
    for name, what, found, goal in (
        ("propagation_p50", "revoked → refused at 33 others, median", _quantile(steady, 50), None),
        ("propagation_p99", "revoked → refused at 33 others, 99 of 100", _quantile(steady, 99), "<= 2"),
        ("propagation_all_p99", "the same, when 34 revoke in one moment", _quantile(burst, 99), None),
    ):
        rounds = len(burst if "all" in name else steady)
        yield Figure(name, what, found / INTERVAL_SECONDS, "intervals of 1 s", goal, rounds)


def _quantile(delays: Sequence[float], percent: int) -> float:
    return statistics.quantiles(delays, n=100, method="inclusive")[percent - 1]


async def _measure(folder: Path) -> tuple[list[float], list[float]]:
    async with open_federation(
        folder,
        PROVINCES,
        processes=min(os.cpu_count() or 1, 4),
        with_proxies=False,
        interval_seconds=INTERVAL_SECONDS,
        poll_seconds=30.0,
        look_seconds=3600.0,
    ) as federation:
        await federation.settle()
        chance = random.Random(34)
        tasks = []
        for number in range(int(SECONDS * PER_SECOND)):
            home = BUSY if chance.random() < 0.5 else chance.choice(PROVINCES)
            code = f"{home}/{number}"
            await federation.watch([code])
            tasks.append(asyncio.create_task(federation.revoke(home, [code])))
            await asyncio.sleep(chance.expovariate(PER_SECOND))
        await asyncio.gather(*tasks)
        await federation.converge(PATIENCE_SECONDS)
        steady = _delays(federation)
        await asyncio.sleep(2 * INTERVAL_SECONDS)
        asked = len(federation.revokes)
        codes = {home: f"{home}/900" for home in PROVINCES}
        await federation.watch(list(codes.values()))
        await asyncio.gather(*(federation.revoke(home, [code]) for home, code in codes.items()))
        # a node looks by itself whenever its view changes: asking all of them now would only slow them down
        await asyncio.sleep(UNASKED_SECONDS)
        await federation.converge(PATIENCE_SECONDS)
        burst = _delays(federation, asked)
        if broken := check_history(federation.looks(), federation.revokes):
            raise RuntimeError(f"the history does not hold: {broken[:3]}")
        return steady, burst


def _delays(federation: Federation, start: int = 0) -> list[float]:
    """Seconds from each request to the first refusal at each other node. Raises when a node never refused."""
    first: dict[tuple[str, str], float] = {}
    for look in federation.looks():
        for code, outcome in look.outcomes.items():
            if outcome == REVOKED:
                key = (code, look.node)
                first[key] = min(look.ended, first.get(key, look.ended))
    return [
        first[revoke.code, node] - revoke.began
        for revoke in federation.revokes[start:]
        for node in federation.homes
        if node != revoke.node
    ]


if __name__ == "__main__":
    began = time.monotonic()
    for figure in propagation():
        print(figure.id, round(figure.value, 3), figure.rounds)
    print(f"{time.monotonic() - began:.1f} s")
