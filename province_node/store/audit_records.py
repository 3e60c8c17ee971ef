"""Records of the audit log. Plain data, the same for every store."""

from __future__ import annotations

from dataclasses import dataclass

from healthcode.audit.checkpoint import Checkpoint
from healthcode.audit.entry import LoggedEntry
from healthcode.audit.proof_file import EntryProof

__all__ = ["AuditFault", "AuditProofs", "AuditQuery", "AuditState"]


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Selects entries that match every condition given; from ≤ t < until."""

    event: str = ""
    actor: str = ""
    subject: str | bytes = ""
    from_at: int = 0
    until_at: int = 1 << 53


@dataclass(frozen=True, slots=True)
class AuditState:
    """What a whole verification found right: the log, its entries, and how many of them were purged."""

    log: bytes
    size: int
    purged: int


@dataclass(frozen=True, slots=True)
class AuditFault:
    """The first entry that differs from its record, and the fault."""

    log: bytes
    seq: int
    problem: str


@dataclass(frozen=True, slots=True)
class AuditProofs:
    """Entries, oldest first, with the proofs that they are in the tree of a checkpoint."""

    checkpoint: Checkpoint
    entries: tuple[LoggedEntry, ...]
    proofs: tuple[EntryProof, ...]
