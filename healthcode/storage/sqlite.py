"""SQLite, configured so that what was acknowledged survives kill -9 and power loss: WAL with synchronous=FULL.

When `transaction()` ends without an exception, its commit is on disk, and the caller may acknowledge.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from healthcode.errors import ConfigurationError, InternalError, OverloadedError, Reason, UnavailableError
from healthcode.storage.lock import lock_folder

__all__ = ["COMPACTION", "Compaction", "Database", "Migration", "Row", "Session", "copy_database"]

Row = sqlite3.Row
"""A row; columns by name or position."""

Parameters = Sequence[Any] | dict[str, Any]

_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Session:
    """Statements inside one transaction. Values go in as parameters, never into the text."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """Runs one statement; how many rows it changed."""
        return self._connection.execute(sql, parameters).rowcount

    def execute_many(self, sql: str, parameters: Iterable[Parameters]) -> int:
        """Runs one statement for each of the parameters; how many rows were changed in all."""
        return self._connection.executemany(sql, parameters).rowcount

    def one(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """The first row; None if there is none."""
        row: Row | None = self._connection.execute(sql, parameters).fetchone()
        return row

    def all(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """All rows."""
        return self._connection.execute(sql, parameters).fetchall()


class Compaction:
    """A migration that rewrites the file, so that nothing of a deleted row is left in it or in its log."""


COMPACTION = Compaction()
_LOG_BYTES = 64 * 1024 * 1024

Migration = str | Callable[[Session], None] | Compaction
"""Statements, or a function for what SQL cannot say: each runs once, in one transaction. Or a compaction."""


class Database:
    """One SQLite file whose schema is brought up to date. One connection writes, under a lock; another one reads.

    Both may be used from any thread; in a service call them from an executor, never from the event loop. What
    reads many rows takes `scan`, so that short reads never wait for it.
    Only ever append to `migrations`. Raises ConfigurationError if the file is no database, cannot be
    opened, or is of a newer schema than this software knows.
    """

    def __init__(
        self, path: Path, migrations: Sequence[Migration], *, busy_timeout_seconds: float = 5.0
    ) -> None:
        self._path = path
        self._busy_timeout_seconds = busy_timeout_seconds
        self._write_lock = threading.RLock()
        self._read_lock = threading.Lock()
        try:
            if not path.exists():
                # sqlite3 would make it with the umask's mode, which others may read
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            elif path.stat().st_mode & 0o077:
                raise ConfigurationError(
                    f"the database {path} can be read by others: `chmod 600 {path}`, and find out who did"
                )
            # what fails to open leaves no connection, which would keep the file's log until it is collected
            # Processes that start together open one after another: the first one migrates, the others find it done;
            # and SQLite does not wait for who turns a new file's WAL on, but fails at once.
            with lock_folder(path.parent), contextlib.ExitStack() as opened:
                self._writer = opened.enter_context(contextlib.closing(self._connect()))
                self._bring_up_to_date(migrations)
                self._reader = opened.enter_context(contextlib.closing(self._connect()))
                self._reader.execute("PRAGMA query_only = ON")
                opened.pop_all()
        except (sqlite3.Error, OSError) as error:
            raise ConfigurationError(f"the database {path} cannot be opened: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",  # never a new file, with the umask's mode
            timeout=self._busy_timeout_seconds,
            isolation_level=None,
            check_same_thread=False,
            uri=True,
        )
        connection.row_factory = sqlite3.Row
        for setting in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "trusted_schema = OFF",
            # a log that once grew gives its room back
            f"journal_size_limit = {_LOG_BYTES}",
        ):
            connection.execute(f"PRAGMA {setting}")
        return connection

    def _bring_up_to_date(self, migrations: Sequence[Migration]) -> None:
        if self._schema_version() != len(migrations):
            self._migrate(migrations)

    def _schema_version(self) -> int:
        version: int = self._writer.execute("PRAGMA user_version").fetchone()[0]
        return version

    def _migrate(self, migrations: Sequence[Migration]) -> None:
        done = self._schema_version()
        if done > len(migrations):
            raise ConfigurationError(
                f"the database {self._path} is of schema {done}, and this software knows {len(migrations)}: "
                "run the newer software, or restore a backup"
            )
        for number, migration in enumerate(migrations[done:], start=done + 1):
            if isinstance(migration, Compaction):
                if done:  # a new file has nothing to lose
                    self._compact()
                self._writer.execute(f"PRAGMA user_version = {number}")
                continue
            try:
                self._run(migration, number)
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def _run(self, migration: str | Callable[[Session], None], number: int) -> None:
        """Runs a migration and notes it as done, in one transaction."""
        if isinstance(migration, str):
            # executescript commits an open transaction, so the script opens its own
            self._writer.executescript(
                f"BEGIN IMMEDIATE;\n{migration}\n;PRAGMA user_version = {number};\nCOMMIT;"
            )
            return
        self._writer.execute("BEGIN IMMEDIATE")
        migration(Session(self._writer))
        self._writer.execute(f"PRAGMA user_version = {number}")
        self._writer.execute("COMMIT")

    def _compact(self) -> None:
        """Rewrites the file and empties its log. Killed in between, the next opening does it again."""
        self._writer.execute("VACUUM")
        is_busy = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if is_busy:
            raise ConfigurationError(
                f"the database {self._path} is open in another process, and cannot be upgraded: stop that process, "
                "then start again"
            )

    def verify(self) -> None:
        """Reads the whole file (about a second a gigabyte).

        Raises ConfigurationError if it is damaged, UnavailableError if it cannot be read now.
        """
        try:
            with contextlib.closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
                connection.execute("PRAGMA query_only = ON")
                found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.OperationalError as error:  # no free file descriptor, a lock, a disk that fails
            raise UnavailableError(f"the database {self._path} cannot be read now: {error}") from error
        except sqlite3.Error as error:
            found = str(error)
        if found != "ok":
            raise ConfigurationError(
                f"the database {self._path} is damaged ({found}): stop, keep a copy of it, and restore a backup"
            )

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One atomic step: durable when the block ends, undone if it raises.

        Raises OverloadedError (STORAGE_FULL) if the disk is full, UnavailableError if another process
        keeps the file locked; nothing is written then.
        """
        with self._write_lock:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                try:
                    yield Session(self._writer)
                    self._writer.execute("COMMIT")
                except BaseException:
                    if self._writer.in_transaction:
                        self._writer.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                _raise_ours(error, self._path)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One consistent view of the committed data. Writes inside raise InternalError."""
        with self._read_lock:
            try:
                self._reader.execute("BEGIN")
                try:
                    yield Session(self._reader)
                finally:
                    self._reader.execute("ROLLBACK")
            except sqlite3.Error as error:
                _raise_ours(error, self._path)

    @contextmanager
    def scan(self) -> Iterator[Session]:
        """As `read`, on a connection of its own: it blocks no other call, and no other call blocks it."""
        try:
            with contextlib.closing(self._connect()) as connection:
                connection.execute("PRAGMA query_only = ON")
                connection.execute("BEGIN")
                yield Session(connection)
        except sqlite3.Error as error:
            _raise_ours(error, self._path)

    def close(self) -> None:
        """Closes both connections; the last one to close writes the log into the file."""
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()


def copy_database(source: Path, target: Path) -> None:
    """A consistent copy of a database that may be in use, in one file of mode 0600 without a WAL.

    Raises ConfigurationError if either cannot be opened, OverloadedError if the disk is full.
    """
    if not source.is_file():
        raise ConfigurationError(f"there is no database {source} to copy")
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with (
            contextlib.closing(sqlite3.connect(source)) as reader,
            contextlib.closing(sqlite3.connect(target)) as writer,
        ):
            reader.backup(writer)
    except OSError as error:
        raise ConfigurationError(f"the copy {target} cannot be made: {error.strerror}") from error
    except sqlite3.Error as error:
        is_full = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in _FULL
        _raise_ours(error, target if is_full else source)  # only the target is written


def _raise_ours(error: sqlite3.Error, path: Path) -> NoReturn:
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code in _FULL:
        raise OverloadedError(
            f"the disk of {path} is full or fails, and nothing was written: make room",
            reason=Reason.STORAGE_FULL,
            retry_after_seconds=10,
        ) from error
    if code in _BUSY:
        raise UnavailableError(
            f"the database {path} is held by another process; try again",
            reason=Reason.OVERLOADED,
            retry_after_seconds=1,
        ) from error
    if code in _BROKEN:
        raise InternalError(f"the database {path} is damaged: stop, and restore a backup") from error
    raise InternalError(f"the database {path} refused a statement: {error}") from error
