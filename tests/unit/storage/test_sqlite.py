"""The database: durable, all or nothing, strict about its schema, and typed in its failures."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from healthcode.errors import ConfigurationError, InternalError, OverloadedError, Reason, UnavailableError
from healthcode.storage.sqlite import COMPACTION, Database, Session

MIGRATIONS = ["CREATE TABLE item (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


def add(database: Database, number: int) -> None:
    with database.transaction() as db:
        assert db.execute("INSERT INTO item VALUES (?, ?)", (number, "x")) == 1


def count(database: Database) -> int:
    with database.read() as db:
        row = db.one("SELECT count(*) AS n FROM item")
    assert row is not None
    return int(row["n"])


def test_settings_are_those_that_lose_nothing(path: Path) -> None:
    """WAL with synchronous=FULL, and a file that only its owner reads."""
    database = Database(path, MIGRATIONS)
    with database.transaction() as db:
        assert db.one("PRAGMA journal_mode")[0] == "wal"  # type: ignore[index]  # there is one
        assert db.one("PRAGMA synchronous")[0] == 2  # type: ignore[index]  # as above
        assert db.one("PRAGMA foreign_keys")[0] == 1  # type: ignore[index]  # as above
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_block_that_raises_leaves_nothing(path: Path) -> None:
    """All or nothing, and the next block works."""
    database = Database(path, MIGRATIONS)

    def fail() -> None:
        with database.transaction() as db:
            db.execute_many("INSERT INTO item VALUES (?, ?)", [(1, "a"), (2, "b")])
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fail()
    assert count(database) == 0
    add(database, 1)
    assert count(database) == 1


def test_a_reader_sees_only_what_is_committed(path: Path) -> None:
    """And may not write."""
    database = Database(path, MIGRATIONS)
    with database.transaction() as db:
        db.execute("INSERT INTO item VALUES (1, 'a')")
        assert count(database) == 0
    assert count(database) == 1
    with pytest.raises(InternalError), database.read() as db:
        db.execute("DELETE FROM item")
    assert count(database) == 1


def test_many_threads(path: Path) -> None:
    """Writers take turns; nothing is lost or doubled."""
    database = Database(path, MIGRATIONS)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: add(database, number), range(200)))
    assert count(database) == 200


def test_migrations_run_once_and_in_order(path: Path) -> None:
    """A newer version adds to what is there."""
    Database(path, MIGRATIONS).close()
    newer = [*MIGRATIONS, "ALTER TABLE item ADD COLUMN day INTEGER; CREATE INDEX by_day ON item (day);"]
    database = Database(path, newer)
    with database.transaction() as db:
        db.execute("INSERT INTO item VALUES (1, 'a', 20)")
    database.close()
    assert count(Database(path, newer)) == 1


def test_a_migration_that_fails_is_undone(path: Path) -> None:
    """Half of a migration is never kept."""
    with pytest.raises(ConfigurationError):
        Database(path, [*MIGRATIONS, "CREATE TABLE other (id INTEGER) STRICT; nonsense"])
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'other'").fetchone() == (
            0,
        )


def test_a_newer_schema_is_not_touched(path: Path) -> None:
    """Older software refuses, and says what to do."""
    Database(path, [*MIGRATIONS, "CREATE TABLE other (id INTEGER) STRICT"]).close()
    with pytest.raises(ConfigurationError, match="schema 2, and this software knows 1"):
        Database(path, MIGRATIONS)


def test_a_file_that_is_no_database(path: Path) -> None:
    """A clear error that names the file."""
    path.write_bytes(b"this is no database at all" * 100)
    with pytest.raises(ConfigurationError, match=str(path)):
        Database(path, MIGRATIONS)
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        Database(path.parent / "nowhere" / "x.db", MIGRATIONS)


def test_another_process_holds_it(path: Path) -> None:
    """UNAVAILABLE with advice, after the busy timeout."""
    database = Database(path, MIGRATIONS, busy_timeout_seconds=0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UnavailableError) as caught:
        add(database, 1)
    assert caught.value.retry_after_seconds == 1
    other.execute("ROLLBACK")
    add(database, 1)


def test_a_full_disk_is_told_and_loses_nothing(path: Path) -> None:
    """STORAGE_FULL, what was acknowledged is there, and it works again when there is room."""
    database = Database(path, MIGRATIONS)
    add(database, 1)
    with database.transaction() as db:
        pages = db.one("PRAGMA page_count")
        assert pages is not None
        db.one(f"PRAGMA max_page_count = {pages[0]}")
    with pytest.raises(OverloadedError) as caught, database.transaction() as db:
        db.execute_many("INSERT INTO item VALUES (?, ?)", [(number, "x" * 4000) for number in range(2, 50)])
    assert caught.value.reason is Reason.STORAGE_FULL
    assert count(database) == 1
    with database.transaction() as db:
        db.one("PRAGMA max_page_count = 100000")
    add(database, 2)
    assert count(database) == 2


COPIER = """
import resource, sys
from pathlib import Path
from healthcode.errors import OverloadedError
from healthcode.storage.sqlite import copy_database
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
try:
    copy_database(Path(sys.argv[1]), Path(sys.argv[2]))
except OverloadedError as error:
    print(error.message)
"""


def test_a_copy_to_a_full_disk_names_that_disk(path: Path, tmp_path: Path) -> None:
    """Whoever reads the message at night clears the right disk: the copy's, not the database's."""
    database = Database(path, MIGRATIONS)
    with database.transaction() as db:
        db.execute_many("INSERT INTO item VALUES (?, ?)", [(number, "x" * 4000) for number in range(9)])
    database.close()
    command = [sys.executable, "-c", COPIER, str(path), str(tmp_path / "stick.db")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "stick.db is full" in told
    assert str(path) not in told


def test_a_wrong_statement_is_a_fault_of_ours(path: Path) -> None:
    """Never sqlite3's own exception."""
    database = Database(path, MIGRATIONS)
    with pytest.raises(InternalError), database.transaction() as db:
        db.execute("INSERT INTO nothing VALUES (1)")
    with pytest.raises(InternalError), database.transaction() as db:
        db.execute("INSERT INTO item VALUES (1, NULL)")


WRITER = """
import sys
from pathlib import Path
from healthcode.storage.sqlite import COMPACTION, Database, Session
database = Database(Path(sys.argv[1]), [sys.argv[2]])
number = 0
while True:
    number += 1
    with database.transaction() as db:
        db.execute("INSERT INTO item VALUES (?, ?)", (number, "x"))
    print(number, flush=True)
"""


def test_what_was_acknowledged_survives_kill_9(path: Path) -> None:
    """Three kills in full flight: every acknowledged row is there."""
    for _ in range(3):
        target = path.with_name(f"{time.monotonic_ns()}.db")
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(target), MIGRATIONS[0]], stdout=subprocess.PIPE, text=True
        )
        acknowledged: list[str] = []
        assert process.stdout is not None
        reader = threading.Thread(target=lambda: acknowledged.extend(process.stdout or ()))  # noqa: B023  joined below
        reader.start()
        while len(acknowledged) < 20:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
        reader.join()
        assert count(Database(target, MIGRATIONS)) >= int(acknowledged[-1])


def test_damage_anywhere_is_found(path: Path) -> None:
    """Garbage in the middle of the file, which no statement has met yet, is a sentence of verify."""
    database = Database(path, ["CREATE TABLE t (a BLOB) STRICT"])
    with database.transaction() as db:
        db.execute_many("INSERT INTO t VALUES (?)", ((b"x" * 1000,) for _ in range(200)))
    database.verify()
    database.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    with pytest.raises(ConfigurationError, match="damaged"):
        Database(path, ["CREATE TABLE t (a BLOB) STRICT"]).verify()


def test_a_file_that_others_can_read_is_not_used(path: Path) -> None:
    """An existing database of mode 0644 is refused, with what to do."""
    Database(path, ["CREATE TABLE t (a) "]).close()
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        Database(path, ["CREATE TABLE t (a) "])


def test_a_function_may_migrate(path: Path) -> None:
    """It runs once, in one transaction with what it is noted by; one that raises leaves nothing."""

    def fill(db: Session) -> None:
        db.execute("INSERT INTO item VALUES (1, 'a')")

    def fail(db: Session) -> None:
        db.execute("INSERT INTO item VALUES (2, 'b')")
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        Database(path, [*MIGRATIONS, fill, fail])
    database = Database(path, [*MIGRATIONS, fill])
    assert count(database) == 1
    database.close()
    assert count(Database(path, [*MIGRATIONS, fill])) == 1


def test_a_compaction_leaves_nothing_of_deleted_rows(path: Path) -> None:
    """Neither in the file nor in its log; on a new file there is nothing to do."""
    database = Database(path, [COMPACTION, *MIGRATIONS])
    with database.transaction() as db:
        db.execute_many(
            "INSERT INTO item VALUES (?, ?)",
            [(number, "a secret text" if number else "kept") for number in range(999)],
        )
    with database.transaction() as db:
        db.one("PRAGMA secure_delete = OFF")  # some builds of SQLite overwrite what is deleted
        db.execute("DELETE FROM item WHERE id > 0")
    database.close()
    assert b"secret" in path.read_bytes()
    compacted = Database(path, [COMPACTION, *MIGRATIONS, COMPACTION])
    assert not any(b"secret" in each.read_bytes() for each in path.parent.glob("x.db*"))
    assert count(compacted) == 1


def test_processes_that_start_together_migrate_once(tmp_path):
    """Twenty new files that several open in the same moment: each gets the whole schema, and none fails."""
    program = (
        "import sys, time; from pathlib import Path; from healthcode.storage.sqlite import Database\n"
        "steps = [f'CREATE TABLE t{n} (a INTEGER) STRICT' for n in range(40)]\n"
        "print(flush=True); begin = float(sys.stdin.readline())\n"
        "for number in range(20):\n"
        "    time.sleep(max(0, begin + number / 20 - time.time()))\n"
        "    Database(Path(sys.argv[1]) / f'{number}.db', steps).close()\n"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    for process in started:
        process.stdout.readline()
    at = time.time() + 0.2
    for process in started:
        process.stdin.write(f"{at}\n")
        process.stdin.flush()
    assert [(process.communicate()[1], process.returncode) for process in started] == [("", 0)] * 5


def test_what_fails_to_open_leaves_no_connection(path: Path) -> None:
    """Else its log would stay beside the file until the garbage collector comes by."""
    Database(path, MIGRATIONS).close()

    def fail(_: Session) -> None:
        raise LookupError

    with pytest.raises(LookupError) as failed:
        Database(path, [*MIGRATIONS, fail])
    assert failed.traceback, "which keeps the object alive"
    assert [each.name for each in path.parent.iterdir()] == [path.name]
