"""Registered sources on SQLite."""

from __future__ import annotations

from collections.abc import Sequence

from healthcode.audit.entry import AuditEntry
from healthcode.audit.events import AuditEvent
from healthcode.errors import NotFoundError, Reason
from healthcode.policy.levels.evidence import EvidenceKind
from healthcode.storage.sqlite import Database, Row
from province_node.store.people_records import Source, SourceState
from province_node.store.sqlite.audit.audit_rows import record_entries

__all__ = ["SqliteSources"]

_COMMAND = "command"  # on the node itself
_COLUMNS = "name, public_key, kinds, unit, state, since"


class SqliteSources:
    """A `SourceStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_source(self, source: Source, now: int) -> None:
        kinds = ",".join(sorted(source.kinds))
        with self._database.transaction() as db:
            db.execute(
                f"INSERT INTO source ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
                " public_key = excluded.public_key, kinds = excluded.kinds, unit = excluded.unit,"
                " state = excluded.state, since = excluded.since",
                (source.name, source.public_key, kinds, source.unit, SourceState.ACTIVE.value, now),
            )
            content = {"public_key": source.public_key, "kinds": kinds, "unit": source.unit}
            entry = AuditEntry(AuditEvent.SOURCE_ADDED, _COMMAND, "", source.name, content)
            record_entries(db, now, [entry])

    def set_source_state(self, name: str, state: SourceState, now: int) -> None:
        with self._database.transaction() as db:
            if not db.execute(
                "UPDATE source SET state = ?, since = ? WHERE name = ?", (state.value, now, name)
            ):
                raise NotFoundError(
                    f"there is no source {name!r}: `province-node source list` shows those there are",
                    reason=Reason.SOURCE_UNKNOWN,
                )
            content = {"state": state.value}
            record_entries(db, now, [AuditEntry(AuditEvent.SOURCE_STATE, _COMMAND, "", name, content)])

    def find_source(self, name: str) -> Source | None:
        with self._database.read() as db:
            row = db.one(f"SELECT {_COLUMNS} FROM source WHERE name = ?", (name,))
        return None if row is None else _source(row)

    def sources(self) -> Sequence[Source]:
        with self._database.read() as db:
            return [_source(row) for row in db.all(f"SELECT {_COLUMNS} FROM source ORDER BY name")]


def _source(row: Row) -> Source:
    kinds = frozenset(EvidenceKind(word) for word in row["kinds"].split(",") if word)
    return Source(row["name"], row["public_key"], kinds, row["unit"], SourceState(row["state"]), row["since"])
