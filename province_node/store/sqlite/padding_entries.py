"""Padding entries on SQLite: entries of a day's list that are no code's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from healthcode.revocation.index import SERIES_LIMIT
from healthcode.storage.sqlite import Database, Session
from province_node.store.publication import PaddingState, Publication
from province_node.store.sqlite.published import find_publication
from province_node.store.sqlite.statements import first_series, number

__all__ = ["SqlitePadding"]

_PADDING = "PADDING"
"""The reason of an entry that is no code's."""


class SqlitePadding:
    """A `PaddingStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def publication(self) -> Publication | None:
        with self._database.read() as db:
            return find_publication(db)

    def unpadded_days(self, after: int) -> Mapping[int, int]:
        with self._database.scan() as db:
            rows = db.all(
                "SELECT day, count(*) - sum(reason = :padding),"
                " max(CASE WHEN reason = :padding THEN 0 ELSE sequence END) >"
                " max(CASE WHEN reason = :padding THEN sequence ELSE 0 END)"
                " FROM revocation WHERE sequence > :after GROUP BY day",
                {"padding": _PADDING, "after": after},
            )
            return {row[0]: row[1] for row in rows if row[2]}

    def padding_state(self, day: int) -> PaddingState:
        with self._database.scan() as db:
            return _state(db, day)

    def add_padding(self, day: int, seen: PaddingState, indices: Sequence[int], now: int) -> bool:
        with self._database.transaction() as db:
            if _drawn(db, day) != (seen.series, seen.used):
                return False
            db.execute_many(
                "INSERT OR IGNORE INTO revocation (day, idx, reason, revoked_by, revoked_at)"
                " VALUES (?, ?, ?, '', ?)",
                [(day, index, _PADDING, now) for index in indices],
            )
            used = seen.used + len(indices)
            db.execute("INSERT OR REPLACE INTO padding VALUES (?, ?, ?)", (day, seen.series, used))
        return True


def _state(db: Session, day: int) -> PaddingState:
    series, used = _drawn(db, day)
    padded = number(db, "SELECT coalesce(sum(used), 0) FROM padding WHERE day = ?", day)
    entries = number(db, "SELECT count(*) FROM revocation WHERE day = ?", day)
    return PaddingState(series=series, used=used, revoked=max(entries - padded, 0), padded=padded)


def _drawn(db: Session, day: int) -> tuple[int, int]:
    """(the series that padding is drawn from now, how many of its entries are used)."""
    opened = number(db, "SELECT coalesce(max(series), 0) FROM series WHERE day = ?", day)
    # after every series was opened, padding still has its own part of the last
    series = min(max(first_series(db, day), opened), SERIES_LIMIT - 1)
    return series, number(db, "SELECT used FROM padding WHERE day = ? AND series = ?", day, series)
