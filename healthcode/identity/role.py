"""What an officer of a province may do. The officers file of the province's authority says who has which role."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Role"]


class Role(StrEnum):
    """A role. It counts for a public key in the officers file, and never for a name in a certificate."""

    HEALTH_OFFICER = "HEALTH_OFFICER"  # proposes orders, rollbacks and merges; explains levels
    APPROVER = "APPROVER"  # decides what others proposed
    DESK = "DESK"  # looks up and records checks at a desk
    AUDITOR = "AUDITOR"  # reads the audit log
