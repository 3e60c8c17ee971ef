"""The node's store: bytes in the database a holder, and a remembered item of a request."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Figure, benchmark
from healthcode.wire.claims import Level, Presentation
from province_node.store.records import CodeFacts, HolderTag, LevelStatement, NewCode, Request, StatedLevel
from province_node.store.sqlite.node_store import SqliteNodeStore

HOLDERS = 2000
BATCH = 100
NOW = 1_795_248_000


@benchmark("store_bytes_a_holder", "store_bytes_a_request_item")
def size() -> Iterator[Figure]:
    """Pages in use after one GREEN LIVE code each, and what of them goes with the requests."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "node.db"
        store = SqliteNodeStore(path)
        empty = used_bytes(path)
        chance = random.Random(7)
        for _ in range(HOLDERS // BATCH):
            _issue_batch(store, chance)
        filled = used_bytes(path)
        without_requests = used_bytes(path, "DELETE FROM request")
        store.close()
    what = f"database pages, {HOLDERS} holders with one code each, in batches of {BATCH}"
    yield Figure("store_bytes_a_holder", f"{what}: a holder", (filled - empty) / HOLDERS, "B", None, 1)
    kept = (filled - without_requests) / HOLDERS
    yield Figure("store_bytes_a_request_item", f"{what}: of it, an item of a request", kept, "B", None, 1)


def _issue_batch(store: SqliteNodeStore, chance: random.Random) -> None:
    request = Request(
        caller="spiffe://cn.healthcode/issuer/31/hospital-1",
        request_id=str(uuid.UUID(int=chance.getrandbits(128))),
        method="IssueCodes",
        digest=chance.randbytes(32),
        expires_at=NOW + 86_400,
    )
    holders = [chance.randbytes(32) for _ in range(BATCH)]
    green = LevelStatement(Level.GREEN)
    levels = {position: StatedLevel(holder, green, "R1") for position, holder in enumerate(holders)}
    sequences = store.issuing.record_level(levels, request, NOW)
    codes = {
        position: NewCode(_facts(chance), holder, Presentation.LIVE, sequences[position], NOW // 86_400)
        for position, holder in enumerate(holders)
    }
    store.issuing.record_issue(codes, {}, request, NOW)


def _facts(chance: random.Random) -> CodeFacts:
    return CodeFacts(
        index=chance.getrandbits(26),
        kid=b"one kid.",
        issued_at=NOW,
        expires_at=NOW + 1800,
        level=Level.GREEN,
        rule="R1",
        tag=HolderTag(chance.randbytes(8), chance.randbytes(2)),
        text_hash=chance.randbytes(8),
    )


def used_bytes(path: Path, statement: str = "SELECT 1") -> int:
    """Bytes of the pages in use, after a statement that is undone."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("BEGIN")
        connection.execute(statement)
        pages, free, page_bytes = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        connection.execute("ROLLBACK")
    return int((pages - free) * page_bytes)
