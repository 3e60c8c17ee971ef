"""The one place that chooses the concrete store: services and commands open, copy and check it here."""

from __future__ import annotations

from pathlib import Path

from healthcode.storage.sqlite import copy_database
from province_node.store.protocols import NodeStore
from province_node.store.sqlite.node_store import SqliteNodeStore

__all__ = ["copy_store", "open_store"]


def open_store(database: Path) -> NodeStore:
    """The node's store, brought to the schema of this software.

    Raises ConfigurationError if it cannot be opened, or is of a newer schema.
    """
    return SqliteNodeStore(database)


def copy_store(database: Path, target: Path) -> None:
    """A consistent copy of a store that may be in use, in one file of mode 0600.

    Raises ConfigurationError if either cannot be opened, OverloadedError if the disk is full.
    """
    copy_database(database, target)
