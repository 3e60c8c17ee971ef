"""What one province can have against the audit log of another. An alarm names the province; it stops no code."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["AuditAlarm", "RaisedAlarm"]


class AuditAlarm(StrEnum):
    """The words, the same in logs, metrics, commands and reports to the registry."""

    FORK = "AUDIT_FORK"
    """The log was rewritten: two signed statements of the province cannot both be true."""
    RESTARTED = "AUDIT_RESTARTED"
    """The province publishes a new log, as after a restore. A person must look."""
    UNPROVED = "AUDIT_UNPROVED"
    """For a day the province has not proved that its log continues the one that is kept here."""


@dataclass(frozen=True, slots=True)
class RaisedAlarm:
    """An alarm about the log of `participant`. `since` in seconds."""

    participant: str
    alarm: AuditAlarm
    since: int
