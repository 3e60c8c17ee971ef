"""Pruning in pieces: every expired row goes, in short transactions, and nothing else."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from healthcode.storage.sqlite import Database
from province_node.store.sqlite import pruning
from province_node.store.sqlite.pruning import SqlitePruning
from province_node.store.sqlite.schema import MIGRATIONS

NOW = 1_795_248_000
TODAY = NOW // 86_400


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database with codes and tags of nine days; the pieces are of three rows."""
    monkeypatch.setattr(pruning, "_ROWS", 3)
    monkeypatch.setattr(pruning, "_PAUSE_SECONDS", 0)
    path = tmp_path / "node.db"
    Database(path, MIGRATIONS).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for day in range(TODAY - 7, TODAY + 2):
            for index in range(7):
                holder = bytes([day % 256, index]) * 16
                connection.execute(
                    "INSERT INTO code (day, idx, holder, kid, presentation, issued_at, expires_at, sequence)"
                    " VALUES (?, ?, ?, x'00', 'LIVE', 0, 0, 1)",
                    (day, index, holder),
                )
                connection.execute("INSERT INTO holder_tag VALUES (?, ?, x'00', x'00')", (holder, day))
        connection.commit()
    return path


def days(path: Path, table: str) -> list[tuple[int, int]]:
    """How many rows of each day there are, today being 0."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(f"SELECT day - {TODAY}, count(*) FROM {table} GROUP BY day")
        return [tuple(row) for row in rows]


def test_days_that_are_over_go_whole_and_others_stay_whole(path: Path) -> None:
    """Codes are kept for two days after theirs, tags until theirs ends."""
    database = Database(path, MIGRATIONS)
    SqlitePruning(database).prune(NOW)
    database.close()
    assert days(path, "code") == [(-2, 7), (-1, 7), (0, 7), (1, 7)]
    assert days(path, "holder_tag") == [(0, 7), (1, 7)]


def test_a_kill_between_two_pieces_is_finished_by_the_next_pruning(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is half pruned is of days that are over."""

    def killed(_: float) -> None:
        raise KeyboardInterrupt

    database = Database(path, MIGRATIONS)
    with monkeypatch.context() as patched:
        patched.setattr("time.sleep", killed)
        with pytest.raises(KeyboardInterrupt):
            SqlitePruning(database).prune(NOW)
    assert days(path, "code")[0] == (-7, 4)
    SqlitePruning(database).prune(NOW)
    database.close()
    assert days(path, "code") == [(-2, 7), (-1, 7), (0, 7), (1, 7)]
