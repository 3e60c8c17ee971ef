"""Forgets what has expired, in short transactions with pauses: revocations and issuing never wait for it."""

from __future__ import annotations

import time

from healthcode.storage.sqlite import Database

__all__ = ["SqlitePruning"]

_SECONDS_PER_DAY = 86_400
_KEPT_DAYS = 2  # how long a code's record outlives the day of its expiry
_ROWS = 250  # of one transaction
_REQUESTS = 10  # each has up to 300 parts
_PAUSE_SECONDS = 0.005


class SqlitePruning:
    """What a kill leaves half pruned, the next pruning ends: each row is of a day that is over."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def prune(self, now: int) -> None:
        day = now // _SECONDS_PER_DAY
        self._repeat(
            "DELETE FROM request WHERE id IN (SELECT id FROM request WHERE expires_at <= ? LIMIT ?)",
            now,
            _REQUESTS,
        )
        past = day - _KEPT_DAYS
        while self._prune_codes(past):
            time.sleep(_PAUSE_SECONDS)
        # AUTOINCREMENT never gives a revocation's sequence twice, also after the highest is deleted
        self._repeat(
            "DELETE FROM revocation WHERE sequence IN (SELECT sequence FROM revocation WHERE day < ? LIMIT ?)",
            past,
            _ROWS,
        )
        with self._database.transaction() as db:
            for table in ("series", "padding", "list_version"):  # some rows a day
                db.execute(f"DELETE FROM {table} WHERE day < ?", (past,))
        self._prune_tags(day)

    def _repeat(self, statement: str, limit: int, rows: int) -> None:
        while True:
            with self._database.transaction() as db:
                deleted = db.execute(statement, (limit, rows))
            if deleted < rows:
                return
            time.sleep(_PAUSE_SECONDS)

    def _prune_codes(self, past: int) -> bool:
        """Deletes the first codes of the oldest day before `past`; False when there are none."""
        with self._database.transaction() as db:
            oldest = db.one("SELECT day FROM code WHERE day < ? ORDER BY day LIMIT 1", (past,))
            if oldest is None:
                return False
            # by a range within a day: a list of keys, or a range over days, would read all codes each time
            beyond = db.one(
                "SELECT idx FROM code WHERE day = ? ORDER BY idx LIMIT 1 OFFSET ?", (oldest[0], _ROWS)
            )
            if beyond is None:
                db.execute("DELETE FROM code WHERE day = ?", (oldest[0],))
            else:
                db.execute("DELETE FROM code WHERE day = ? AND idx < ?", (oldest[0], beyond[0]))
        return True

    def _prune_tags(self, day: int) -> None:
        holder, tag_day = b"", 0
        while True:
            with self._database.read() as db:
                rows = db.all(
                    "SELECT holder, day FROM holder_tag WHERE (holder, day) > (?, ?) ORDER BY holder, day LIMIT ?",
                    (holder, tag_day, _ROWS),
                )
            old = [(each[0], each[1]) for each in rows if each[1] < day]
            if old:
                with self._database.transaction() as db:
                    db.execute_many("DELETE FROM holder_tag WHERE holder = ? AND day = ?", old)
                time.sleep(_PAUSE_SECONDS)
            if len(rows) < _ROWS:
                return
            holder, tag_day = rows[-1]
