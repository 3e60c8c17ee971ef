"""The CPU and bytes of a node's refresh, with 34 provinces: no change, one new head, 34 new heads.

The source is in memory, so the CPU is the node's own (all threads, fsync included). Bytes are without TLS and HTTP/2.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Figure, benchmark, cpu_seconds
from tests.federation.world import PROVINCES
from tests.simulator.realm import NOW, SimulatedRealm

ROUNDS = 15
REVOKED_BEFORE = 1000

_WHAT = {
    "idle": "nothing new",
    "renewed": "a newer timestamp",
    "change": "one of 34 heads new",
    "all": "all 34 heads new",
}


class _Country(SimulatedRealm):
    """34 provinces with lists, and a count of fetched bytes."""

    def __init__(self) -> None:
        super().__init__(PROVINCES)
        self.fetched_bytes = 0
        self._next = 0
        for code in PROVINCES:
            for _ in range(REVOKED_BEFORE):
                self._revoke_next(code, publish=False)
            self._revoke_next(code, publish=True)
        self.publish()

    def fetch(self, path: str, max_bytes: int) -> bytes:
        data = super().fetch(path, max_bytes)
        self.fetched_bytes += len(data)
        return data

    def move(self, what: str) -> None:
        """Advances the clock and publishes what changes."""
        self.now += 1
        changed = {"change": PROVINCES[:1], "all": PROVINCES}.get(what, ())
        for code in changed:
            self._revoke_next(code, publish=True)
        if changed:
            self.publish()
        elif what == "renewed":
            self.sign_timestamp()

    def _revoke_next(self, code: str, *, publish: bool) -> None:
        self._next += 1
        # scattered over one series, as the real ones are
        index = self._next * 2_654_435_761 % 2**26
        if publish:
            self.revoke(code, index, NOW + 600)
            self.publish_live(code)
        else:
            self.provinces[code].revoked.setdefault((NOW + 600) // 86_400, set()).add(index)


@benchmark(
    *(f"refresh_{what}_cpu_ms" for what in _WHAT),
    *(f"refresh_{what}_bytes" for what in _WHAT),
)
def refresh() -> Iterator[Figure]:
    """The median of each kind's rounds, after three rounds of warm-up."""
    country = _Country()
    cpu: dict[str, list[float]] = {what: [] for what in _WHAT}
    size: dict[str, list[int]] = {what: [] for what in _WHAT}
    with tempfile.TemporaryDirectory() as folder:
        client = country.client(Path(folder) / "trust")
        client.refresh(country.now)
        # one kind after the other: a generation writes what differs from the one before the last,
        # so that in turns each kind would pay for what the others changed
        for what in _WHAT:
            for number in range(ROUNDS + 3):
                country.move(what)
                before = country.fetched_bytes
                spent = cpu_seconds(lambda: client.refresh(country.now))
                if number >= 3:
                    cpu[what].append(spent * 1000)
                    size[what].append(country.fetched_bytes - before)
    for what, words in _WHAT.items():
        yield Figure(
            f"refresh_{what}_cpu_ms",
            f"refresh, {words}: CPU a node",
            statistics.median(cpu[what]),
            "ms",
            None,
            ROUNDS,
        )
        yield Figure(
            f"refresh_{what}_bytes",
            f"refresh, {words}: fetched",
            statistics.median(size[what]),
            "bytes",
            None,
            ROUNDS,
        )
