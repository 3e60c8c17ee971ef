"""How long other calls wait for the node's store while it prunes, revokes or counts a million codes."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.measure import Figure, benchmark
from province_node.store.publication import Publication
from province_node.store.records import IssuedUnder, Request, RevocationReason
from province_node.store.sqlite.node_store import SqliteNodeStore

CODES = 1_000_000
NOW = 1_795_248_000
DAY_SECONDS = 86_400
TODAY = NOW // DAY_SECONDS
PAUSE_SECONDS = 0.001
ALONE_SECONDS = 30


@benchmark("prune_stall_ms", "prune_stall_median_ms", "write_alone_longest_ms")
def prune_stall() -> Iterator[Figure]:
    """The longest of the writes that other calls make while a million expired codes are pruned, and before that."""
    with _store_of_codes(TODAY - 5) as store:
        alone, _ = _waits_while(store, lambda: time.sleep(ALONE_SECONDS))
        writes, _ = _waits_while(store, lambda: store.prune(NOW))
        left = store.counts(0)["codes_out"]
    if left:
        raise RuntimeError(f"{left} expired codes were not pruned")
    what = f"a write of another call while {CODES:,} expired codes are pruned"
    yield _figure("prune_stall_ms", f"{what}: the longest of {len(writes)}", max(writes), "<= 100")
    yield _figure("prune_stall_median_ms", f"{what}: the median", statistics.median(writes))
    # the disk's own share: on a machine that does much else, it alone can be above the goal
    what = f"a write while nothing is pruned, for {ALONE_SECONDS} s: the longest of {len(alone)}"
    yield _figure("write_alone_longest_ms", what, max(alone))


@benchmark("revoke_stall_ms", "revoke_stall_lookup_ms", "revoke_seconds", "count_stall_lookup_ms")
def revoke_stall() -> Iterator[Figure]:
    """The longest writes and look-ups of other calls while a million codes are counted, then revoked by their rule."""
    selection = IssuedUnder(TODAY * DAY_SECONDS, NOW + DAY_SECONDS, rule="R1")
    request = Request("spiffe://cn.healthcode/issuer/31/x", "r", "RevokeMatching", b"d", NOW + DAY_SECONDS)
    reason = RevocationReason.ISSUED_IN_ERROR
    with _store_of_codes(TODAY + 1) as store:
        _, counting = _waits_while(store, lambda: store.revoking.count_issued_under(selection, NOW))
        started = time.perf_counter()
        writes, look_ups = _waits_while(
            store, lambda: store.revoking.revoke_issued_under(selection, reason, request, NOW)
        )
        took = time.perf_counter() - started
        revoked = store.revoking.find_revoked(request, NOW)
    if revoked is None or revoked.newly != CODES:
        raise RuntimeError(f"{CODES} codes were to be revoked: {revoked}")
    what = f"of another call while {CODES:,} codes are revoked by their rule: the longest"
    yield _figure("revoke_stall_ms", f"a write {what} of {len(writes)}", max(writes), "<= 100")
    yield _figure("revoke_stall_lookup_ms", f"a look-up {what} of {len(look_ups)}", max(look_ups), "<= 100")
    yield Figure("revoke_seconds", f"{CODES:,} codes are revoked by their rule", took, "s", None, 1)
    what = f"a look-up of another call while {CODES:,} codes are counted: the longest of {len(counting)}"
    yield _figure("count_stall_lookup_ms", what, max(counting), "<= 100")


def _waits_while(
    store: SqliteNodeStore, work: Callable[[], object]
) -> tuple[Sequence[float], Sequence[float]]:
    """Seconds that each write, and each look-up, of two other threads takes until `work` is done."""
    publication = Publication(1, NOW, TODAY, TODAY + 20, 0, b"")
    working = threading.Thread(target=work)
    writes: list[float] = []
    look_ups: list[float] = []

    def repeat(call: Callable[[], object], waits: list[float]) -> None:
        while working.is_alive():
            waits.append(_seconds(call))
            time.sleep(PAUSE_SECONDS)

    others = [
        threading.Thread(
            target=repeat, args=(lambda: store.publishing.record_publication(publication), writes)
        ),
        threading.Thread(target=repeat, args=(lambda: store.answering.code_state(TODAY, 1), look_ups)),
    ]
    for thread in (working, *others):
        thread.start()
    for thread in (working, *others):
        thread.join()
    return writes, look_ups


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


@contextlib.contextmanager
def _store_of_codes(day: int) -> Iterator[SqliteNodeStore]:
    """A store with a million codes that expire on `day`, of as many GREEN holders."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "node.db"
        store = SqliteNodeStore(path)
        _fill(path, day)
        try:
            yield store
        finally:
            store.close()


def _fill(path: Path, day: int) -> None:
    chance = random.Random(7)
    holders = [chance.randbytes(32) for _ in range(CODES)]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executemany(
            "INSERT INTO level (holder, sequence, level, legal_instrument, rule, stated_by, stated_at)"
            " VALUES (?, 1, 'GREEN', '', 'R1', '', 0)",
            ((holder,) for holder in sorted(holders)),
        )
        connection.executemany(
            "INSERT INTO code (day, idx, holder, kid, presentation, issued_at, expires_at, sequence, issued_by)"
            " VALUES (?, ?, ?, ?, 'LIVE', ?, ?, 1, '')",
            (
                (
                    day,
                    index,
                    holder,
                    b"one kid.",
                    (day - 1) * DAY_SECONDS + index % 80_000,
                    day * DAY_SECONDS + 1800,
                )
                for index, holder in enumerate(holders)
            ),
        )
        connection.commit()


def _figure(name: str, what: str, value: float, goal: str | None = None) -> Figure:
    return Figure(name, what, value * 1000, "ms", goal, 1)
