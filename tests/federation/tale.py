"""A bad week of a federation in one run: partitions, restarts, kills, and a registry restored from a backup.

`make federation` runs it with 34 nodes, test_federation.py with eight. It asserts the history (history.py).
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.federation.history import Anomaly, check_history
from tests.federation.world import PROVINCES, Federation, open_federation

__all__ = ["REST_SECONDS", "Load", "Summary", "open_tale", "tell"]

REST_SECONDS = 180.0
"""All comes to rest within seconds on an idle machine; a busy one is given time."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What happened, and all anomalies.

    `recovery_seconds`: from the start of the restored registry until all other nodes were current.
    """

    nodes: int
    revocations: int
    acknowledged: int
    looks: int
    answers: int
    counts: dict[str, int]
    recovery_seconds: float
    seconds: float
    anomalies: list[Anomaly]

    def __str__(self) -> str:
        happened = ", ".join(f"{count} {what}" for what, count in sorted(self.counts.items()))
        return (
            f"{self.nodes} nodes: {self.revocations} revocations ({self.acknowledged} acknowledged), "
            f"{self.looks} looks with {self.answers} answers in {self.seconds:.0f} s\n"
            f"{happened}\n"
            f"restored registry: all others current after {self.recovery_seconds:.1f} s, one province dark\n"
            f"anomalies: {len(self.anomalies)}"
        )


def codes_each(provinces: Collection[str]) -> int:
    """How many codes of each province are watched: enough for the load, and never all revoked."""
    return max(6, 100 // len(provinces))


class Load:
    """Revocations at random provinces."""

    def __init__(self, federation: Federation, seed: int) -> None:
        self._federation = federation
        self._chance = random.Random(seed)
        # the last of each province is never revoked: a node that refused it would refuse without cause
        count = codes_each(federation.homes) - 1
        self._left = [f"{code}/{number}" for code in federation.homes for number in range(count)]
        self._chance.shuffle(self._left)

    def take(self, count: int, among: Iterable[str] | None = None) -> list[str]:
        """Takes `count` codes of these provinces that were not revoked yet."""
        wanted = set(among if among is not None else self._federation.homes)
        taken = [code for code in self._left if code[:2] in wanted][:count]
        self._left = [code for code in self._left if code not in taken]
        assert len(taken) == count, "the load has used up its codes"
        return taken

    async def go(self, count: int, among: Iterable[str] | None = None) -> None:
        """Revokes `count` codes in groups of three. A province whose process is gone may not answer."""
        codes = self.take(count, among)
        while codes:
            crowd, codes = codes[:3], codes[3:]
            await asyncio.gather(*(self._federation.revoke(code[:2], [code]) for code in crowd))
            await asyncio.sleep(self._chance.uniform(0.05, 0.25))


@asynccontextmanager
async def open_tale(folder: Path, codes: Sequence[str], *, processes: int) -> AsyncIterator[Federation]:
    """A settled federation whose nodes watch their codes. Only the poll is shorter than in production."""
    async with open_federation(
        folder,
        codes,
        processes=processes,
        interval_seconds=0.5,
        poll_seconds=2.0,
        look_seconds=0.2 * len(codes) / 8,
    ) as federation:
        await federation.settle(REST_SECONDS)
        await federation.watch([f"{code}/{number}" for code in codes for number in range(codes_each(codes))])
        yield federation


async def tell(federation: Federation, say: Callable[[str], None] = lambda _: None, seed: int = 1) -> Summary:
    """Runs the whole tale. Raises AssertionError if the federation does not come to rest."""
    began = time.monotonic()
    load = Load(federation, seed)
    codes = list(federation.homes)
    say("revocations, and all is well")
    await load.go(6)
    await federation.converge(REST_SECONDS, among=codes)
    await _partitions(federation, load, codes, say)
    await _kills(federation, load, say)
    await federation.converge(REST_SECONDS)
    recovery_seconds = await _restore(federation, load, codes, say)
    await federation.converge(REST_SECONDS)
    await _until_whole(federation)
    looks = federation.looks()
    return Summary(
        nodes=len(codes),
        revocations=len(federation.revokes),
        acknowledged=sum(revoke.ended is not None for revoke in federation.revokes),
        looks=len(looks),
        answers=sum(len(look.outcomes) for look in looks),
        counts=dict(federation.counts),
        recovery_seconds=recovery_seconds,
        seconds=time.monotonic() - began,
        anomalies=check_history(looks, federation.revokes),
    )


async def _partitions(
    federation: Federation, load: Load, codes: Sequence[str], say: Callable[[str], None]
) -> None:
    off, held, deaf, mute, restarted = codes[1:6]
    say(f"{off} is cut off, {held} held up, {deaf} hears nothing, {mute} cannot publish; revocations go on")
    federation.cut(off)
    federation.hold(held)
    federation.deafen(deaf)
    federation.silence(mute)
    before = (await federation.states())[off]["snapshot"]
    await load.go(6)
    await federation.revoke(mute, load.take(1, [mute]))
    await federation.revoke(deaf, load.take(1, [deaf]))
    say(f"{restarted} is restarted, and {off}, which opens what it has")
    await asyncio.gather(federation.restart(restarted), federation.restart(off), load.go(3))
    assert (await federation.states())[off]["snapshot"] == before, "a node that is cut off stays as it was"
    federation.heal(off, held, deaf, mute)


async def _kills(federation: Federation, load: Load, say: Callable[[str], None]) -> None:
    say("kill -9 of a process with its nodes, while they revoke; and of the registry")
    under_way = asyncio.create_task(load.go(6))
    await asyncio.sleep(0.2)
    await federation.kill(0)
    await under_way
    federation.kill_registry()
    await asyncio.gather(federation.revive(0), load.go(3, _alive(federation, 0)))
    await asyncio.to_thread(federation.start_registry)


async def _restore(
    federation: Federation, load: Load, codes: Sequence[str], say: Callable[[str], None]
) -> float:
    """Replaces the registry by its backup while one province is cut off; seconds until all others were current."""
    dark, renewed = codes[3], codes[0]
    say("the nightly copy is made; then a day goes by")
    await asyncio.to_thread(federation.back_up)
    await federation.sign_province(renewed, 2)
    await federation.revoke(dark, load.take(2, [dark]))
    await load.go(6)
    await federation.converge(REST_SECONDS, among=codes)
    before = await federation.states()
    say(
        f"the registry is lost, and restored from the copy, while {dark} is dark; a process of nodes is killed"
    )
    federation.cut(dark)
    federation.kill_registry()
    await asyncio.to_thread(federation.restore)
    await federation.kill(1)
    others = [code for code in codes if code != dark]
    for code in others:  # the restored registry learns nothing, until one node has seen how old it is
        federation.silence(code)
    await asyncio.to_thread(federation.start_registry)
    await federation.revive(1)
    await _until_refused(federation)
    federation.heal(*others)
    began = time.monotonic()
    await load.go(4, others)
    await load.go(2, others)
    await federation.converge(REST_SECONDS, among=others)
    took = time.monotonic() - began
    states = await federation.states()
    # what was under way when it was cut may still arrive: it has nothing of the restored registry
    assert states[dark]["snapshot"] < min(states[code]["snapshot"] for code in others), "dark is dark"
    assert all(states[code]["snapshot"] > before[code]["snapshot"] for code in others)
    say(f"after {took:.1f} s all others are current; {dark} comes back")
    federation.heal(dark)
    await load.go(2, [dark])
    return took


async def _until_refused(federation: Federation) -> None:
    """Waits until a node has refused the restored registry's older files."""
    until = time.monotonic() + REST_SECONDS
    while not any(state.get("TRUST_ROLLBACK") for state in (await federation.states()).values()):
        assert time.monotonic() < until, "no node refused what is older"
        await asyncio.sleep(0.3)


async def _until_whole(federation: Federation) -> None:
    """Waits until each province has submitted again what the restored registry had lost."""
    until = time.monotonic() + REST_SECONDS
    while lacking := await asyncio.to_thread(lambda: federation.opened().repository.published().lacking):
        assert time.monotonic() < until, f"the registry still lacks {dict(lacking)}"
        await asyncio.sleep(0.3)


def _alive(federation: Federation, dead: int) -> set[str]:
    return {code for code, number in federation.homes.items() if number != dead}


async def _main() -> int:
    began = time.monotonic()

    def say(text: str) -> None:
        sys.stdout.write(f"{time.monotonic() - began:5.1f} s  {text}\n")
        sys.stdout.flush()

    say(f"a federation of {len(PROVINCES)} nodes is founded")
    with tempfile.TemporaryDirectory(prefix="federation-") as folder:
        async with open_tale(Path(folder), PROVINCES, processes=3) as federation:
            summary = await tell(federation, say)
    say("\n".join([f"the end\n{summary}", *map(str, summary.anomalies[:20])]))
    return 1 if summary.anomalies else 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(_main()))
