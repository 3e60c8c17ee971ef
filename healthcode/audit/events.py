"""The events of an audit log, each a stable word. The list grows; a word never changes and is never used again."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["AuditEvent"]


class AuditEvent(StrEnum):
    """What an entry records. One entry a request for issuing and revoking, one a person for a change of level."""

    LOG_BEGUN = "LOG_BEGUN"  # the first entry of a log; content: the log before it, if a backup was restored
    PADDING = "PADDING"  # no event: it hides how many there were
    ISSUED = "ISSUED"  # by one request; a batch has an entry for each 50 codes
    REVOKED = "REVOKED"
    REVOKED_MATCHING = "REVOKED_MATCHING"  # by how codes were issued
    KEY_KILLED = "KEY_KILLED"
    LEVEL_CHANGED = "LEVEL_CHANGED"
    EVIDENCE_WITHDRAWN = "EVIDENCE_WITHDRAWN"
    SOURCE_ADDED = "SOURCE_ADDED"
    SOURCE_STATE = "SOURCE_STATE"  # ACTIVE or SUSPENDED
    DOCUMENTS_MERGED = "DOCUMENTS_MERGED"
    DOCUMENT_SPLIT = "DOCUMENT_SPLIT"
    KEYS_CHANGED = "KEYS_CHANGED"
    CERTIFICATE_CHANGED = "CERTIFICATE_CHANGED"
    SETTINGS_CHANGED = "SETTINGS_CHANGED"
    HOLDER_EXPORTED = "HOLDER_EXPORTED"  # entries and proofs were given out to a person
    AUDIT_READ = "AUDIT_READ"  # an auditor asked
    PURGED = "PURGED"
