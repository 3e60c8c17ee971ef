"""The stores that the contract is run against, and the records that its tests use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from healthcode.wire.claims import Level, Presentation
from province_node.store.protocols import NodeStore
from province_node.store.records import (
    CodeFacts,
    HolderTag,
    LevelReason,
    LevelStatement,
    NewCode,
    Request,
    Revocation,
    RevocationReason,
    Revoked,
    StatedLevel,
)
from province_node.store.sqlite.node_store import SqliteNodeStore

NOW = 20_000 * 86_400
DAY = 20_000
HOLDER = b"h" * 32
KID = b"k" * 8
TAG = HolderTag(b"s" * 8, b"tt")
GREEN = LevelStatement(Level.GREEN)
RED = LevelStatement(Level.RED, LevelReason.A4)

STORES: dict[str, Callable[[Path], NodeStore]] = {
    "sqlite": lambda folder: SqliteNodeStore(folder / "node.db"),
}
"""How each store is opened on the state in a folder; another store joins by a line here."""


def request(name: str = "r", digest: bytes = b"d", caller: str = "caller") -> Request:
    return Request(caller, name, "method", digest, NOW + 86_400)


def facts(index: int, *, day: int = DAY, kid: bytes = KID, level: Level = Level.GREEN) -> CodeFacts:
    expires_at = day * 86_400 + 600
    issued_at = min(NOW, expires_at - 60)
    return CodeFacts(index, kid, issued_at, expires_at, level, "R1", TAG, text_hash=index.to_bytes(8))


def new_code(index: int, sequence: int = 1, holder: bytes = HOLDER, **changes: object) -> NewCode:
    made = facts(index, **changes)  # type: ignore[arg-type]  # named as there
    return NewCode(made, holder, Presentation.LIVE, sequence, DAY)


def issue(
    store: NodeStore,
    *indices: int,
    name: str = "r",
    statement: LevelStatement = GREEN,
    holder: bytes = HOLDER,
    **changes: object,
) -> None:
    """Codes of one holder, as one slice at positions 0, 1, …: both steps, without an obstacle."""
    asked = request(name)
    sequence = store.issuing.record_level({0: StatedLevel(holder, statement, "R1")}, asked, NOW)[0]
    codes = {
        position: new_code(index, sequence, holder, level=statement.level, **changes)
        for position, index in enumerate(indices)
    }
    outcome = store.issuing.record_issue(codes, {}, asked, NOW)
    assert (outcome.earlier, outcome.not_recorded) == ({}, {})


def revoke(store: NodeStore, *indices: int, name: str = "v", day: int = DAY) -> Revoked:
    codes = [Revocation(day, index) for index in indices]
    return store.revoking.record_revocations(codes, RevocationReason.FRAUD, request(name), NOW)
