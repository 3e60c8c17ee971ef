"""What the audit log needs of a store. Entries of what a use case records are written by that use case's store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from healthcode.audit.checkpoint import Checkpoint
from healthcode.audit.entry import AuditEntry, LoggedEntry
from province_node.store.audit_records import AuditFault, AuditProofs, AuditQuery, AuditState

__all__ = ["AuditStore"]


class AuditStore(Protocol):
    """The audit log: entries are numbered from 0, and never change; a purge leaves their leaves."""

    def record(self, entries: Sequence[AuditEntry], now: int) -> None:
        """Appends entries of what no store records, such as a change of settings."""

    def newest(self, event: str, subject: str) -> LoggedEntry | None:
        """The newest entry of an event about a subject, in any log."""

    def build(self) -> None:
        """Builds the tree over what was recorded since, so that the next checkpoint is made at once."""

    def checkpoint(self, now: int) -> Checkpoint | None:
        """The log as it is now, padded to a multiple of 256 entries; None before the first entry.

        The same again if nothing was recorded since.
        """

    def consistency(self, log: bytes, first: int, second: int) -> Sequence[bytes]:
        """The proof that the tree of `second` entries begins with the tree of `first`.

        Raises NotFoundError for a log or size that is not here, InvalidInputError unless 0 < first ≤ second.
        """

    def begin_log(self, now: int) -> bytes:
        """Begins a new log whose first entry names the one before: this store is a restored backup. Its name."""

    def prove(self, subjects: Sequence[bytes]) -> AuditProofs | None:
        """The newest entries of the present log about a person that are in its newest checkpoint, oldest first.

        None before the first checkpoint.
        """

    def query(
        self, query: AuditQuery, before: tuple[int, int] | None, limit: int
    ) -> tuple[Sequence[LoggedEntry], tuple[int, int] | None]:
        """Entries, newest first, and where the next page begins (None: there is none). No padding, nothing purged."""

    def verify(self) -> AuditState | AuditFault | None:
        """Reads all logs; None if there is none. Changes nothing."""

    def purge(self, before: int, now: int) -> int:
        """Forgets who did what before this time, and records that; how many. The leaves stay, and the proofs hold."""
