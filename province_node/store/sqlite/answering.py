"""What answering a status question reads from SQLite."""

from __future__ import annotations

from healthcode.storage.sqlite import Database
from healthcode.wire.claims import Level
from province_node.store.records import CodeState
from province_node.store.sqlite.statements import HOLDER_OF_CODE

__all__ = ["SqliteAnswering"]


class SqliteAnswering:
    """An `AnswerStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def code_state(self, day: int, index: int) -> CodeState | None:
        with self._database.read() as db:
            row = db.one(
                "SELECT level.level, level.rule, level.sequence,"
                " EXISTS (SELECT 1 FROM revocation WHERE revocation.day = code.day AND revocation.idx = code.idx),"
                " code.holder"
                f" FROM code LEFT JOIN level ON level.holder = {HOLDER_OF_CODE}"
                " WHERE code.day = ? AND code.idx = ? ORDER BY level.sequence DESC LIMIT 1",
                (day, index),
            )
        if row is None:
            return None
        return CodeState(
            level=None if row[0] is None else Level(row[0]),
            rule=row[1] or "",
            sequence=row[2] or 0,
            revoked=bool(row[3]),
            document=bytes(row[4]),
        )
