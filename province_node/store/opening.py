"""The one place that chooses the concrete store: services and commands open, copy and check it here."""

from __future__ import annotations

from pathlib import Path

from healthcode.errors import HealthcodeError
from healthcode.storage.sqlite import copy_database
from province_node.store.protocols import NodeStore
from province_node.store.sqlite.node_store import SqliteNodeStore

__all__ = ["copy_store", "note_damage", "open_store"]


def open_store(database: Path) -> NodeStore:
    """The node's store, brought to the schema of this software.

    Raises ConfigurationError if it cannot be opened, is of a newer schema, or was found damaged and still is.
    """
    store, mark = SqliteNodeStore(database), _damage_mark(database)
    if mark.exists():
        try:
            store.verify()
        except HealthcodeError:
            store.close()
            raise
        mark.unlink(missing_ok=True)
    return store


def note_damage(database: Path) -> None:
    """Lets the next start verify the whole database first, so that a damaged one does not serve again. Raises OSError."""
    _damage_mark(database).touch(mode=0o600)


def _damage_mark(database: Path) -> Path:
    return database.with_name(f"{database.name}.damaged")


def copy_store(database: Path, target: Path) -> None:
    """A consistent copy of a store that may be in use, in one file of mode 0600.

    Raises ConfigurationError if either cannot be opened, OverloadedError if the disk is full.
    """
    copy_database(database, target)
