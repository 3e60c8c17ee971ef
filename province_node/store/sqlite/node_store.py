"""The node's store in one SQLite file, put together of one part a use case.

Several processes may share the file: blocks are taken in a transaction, and the database numbers revocations.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from healthcode.storage.sqlite import Database
from province_node.store.sqlite.answering import SqliteAnswering
from province_node.store.sqlite.audit.audit_table import SqliteAudit
from province_node.store.sqlite.issuing import SqliteIssuing
from province_node.store.sqlite.killing import SqliteKilling
from province_node.store.sqlite.padding_entries import SqlitePadding
from province_node.store.sqlite.people.document_rows import SqliteDocuments
from province_node.store.sqlite.people.evidence_table import SqliteEvidence
from province_node.store.sqlite.people.level_table import SqliteLevels
from province_node.store.sqlite.people.source_rows import SqliteSources
from province_node.store.sqlite.pruning import SqlitePruning
from province_node.store.sqlite.published import SqlitePublishing
from province_node.store.sqlite.revoking import SqliteRevoking
from province_node.store.sqlite.schema import MIGRATIONS
from province_node.store.sqlite.statements import number

__all__ = ["SqliteNodeStore"]


class SqliteNodeStore:
    """A `NodeStore`. Its methods are short and block; a service calls them in a worker thread."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigurationError if the file cannot be opened, or is of a newer schema."""
        self._database = Database(path, MIGRATIONS)
        self.issuing = SqliteIssuing(self._database)
        self.revoking = SqliteRevoking(self._database)
        self.killing = SqliteKilling(self._database)
        self.answering = SqliteAnswering(self._database)
        self.publishing = SqlitePublishing(self._database)
        self.padding = SqlitePadding(self._database)
        self.sources = SqliteSources(self._database)
        self.evidence = SqliteEvidence(self._database)
        self.levels = SqliteLevels(self._database)
        self.documents = SqliteDocuments(self._database)
        self.audit = SqliteAudit(self._database)
        self._pruning = SqlitePruning(self._database)

    def counts(self, now: int) -> Mapping[str, int]:
        with self._database.read() as db:
            return {
                "codes_out": number(db, "SELECT count(*) FROM code WHERE expires_at > ?", now),
                "revocations": number(
                    db, "SELECT count(*) - coalesce(sum(reason = 'PADDING'), 0) FROM revocation"
                ),
                "requests": number(db, "SELECT count(*) FROM request"),
            }

    def prune(self, now: int) -> None:
        self._pruning.prune(now)

    def verify(self) -> None:
        self._database.verify()

    def close(self) -> None:
        self._database.close()
