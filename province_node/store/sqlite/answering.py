"""What answering a status question reads from SQLite."""

from __future__ import annotations

from healthcode.storage.sqlite import Database
from healthcode.wire.claims import Level
from province_node.store.records import CodeState

__all__ = ["SqliteAnswering"]


class SqliteAnswering:
    """An `AnswerStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def code_state(self, day: int, index: int) -> CodeState | None:
        with self._database.read() as db:
            row = db.one(
                "SELECT level.level, level.rule, level.sequence,"
                " EXISTS (SELECT 1 FROM revocation WHERE revocation.day = code.day AND revocation.idx = code.idx)"
                " FROM code JOIN level ON level.holder = code.holder"
                " WHERE code.day = ? AND code.idx = ? ORDER BY level.sequence DESC LIMIT 1",
                (day, index),
            )
        if row is None:
            return None
        return CodeState(level=Level(row[0]), rule=row[1], sequence=row[2], revoked=bool(row[3]))
