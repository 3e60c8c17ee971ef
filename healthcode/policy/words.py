"""The closed words of verification and policy: the values of the enums in verdict.proto without their prefix.

A test compares them. Level, Presentation and HolderMatch are in `healthcode.wire`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

__all__ = [
    "OUTAGES",
    "RISK_ORDER",
    "Decision",
    "LevelReason",
    "Outcome",
    "PersonCategory",
    "PlaceType",
    "RiskLevel",
]


class Outcome(StrEnum):
    """What verification found. The offline outcomes are in the order of the checks, and the first that applies is the answer."""

    MALFORMED = "MALFORMED"
    UNKNOWN_ISSUER = "UNKNOWN_ISSUER"
    UNKNOWN_KEY = "UNKNOWN_KEY"
    BAD_SIGNATURE = "BAD_SIGNATURE"
    KEY_REVOKED = "KEY_REVOKED"
    NOT_YET_VALID = "NOT_YET_VALID"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"
    NOT_COVERED = "NOT_COVERED"
    STALE_TRUST = "STALE_TRUST"
    HOLDER_MISMATCH = "HOLDER_MISMATCH"
    VALID = "VALID"
    NOT_FOUND = "NOT_FOUND"  # status queries only
    TEMPORARILY_UNAVAILABLE = "TEMPORARILY_UNAVAILABLE"  # status queries only


class Decision(StrEnum):
    """What the policy decides for this place."""

    PASS = "PASS"  # noqa: S105  a word of the protocol, no password
    CHECK_NOT_REQUIRED = "CHECK_NOT_REQUIRED"
    FURTHER_CHECK = "FURTHER_CHECK"
    REFUSE = "REFUSE"
    UNDECIDED = "UNDECIDED"


class PlaceType(StrEnum):
    """Where a code is shown (requirement R6)."""

    TRAFFIC_CHECKPOINT = "TRAFFIC_CHECKPOINT"
    RESIDENTIAL_QUARTER = "RESIDENTIAL_QUARTER"
    STATION = "STATION"
    AIRPORT = "AIRPORT"
    PORT = "PORT"
    PASSENGER_STATION = "PASSENGER_STATION"
    FERRY = "FERRY"
    OPEN_PORT = "OPEN_PORT"
    HOSPITAL = "HOSPITAL"
    PARK = "PARK"
    OTHER = "OTHER"


class PersonCategory(StrEnum):
    """Categories of people that a policy can treat differently (requirement R7)."""

    GENERAL = "GENERAL"
    SPECIAL = "SPECIAL"


class LevelReason(StrEnum):
    """Why a level is RED (A) or YELLOW (B), after Guangxi's published rules: a closed list."""

    A1 = "A1"
    A2 = "A2"
    A3 = "A3"
    A4 = "A4"
    A5 = "A5"
    A6 = "A6"
    A7 = "A7"
    A8 = "A8"
    B1 = "B1"
    B2 = "B2"
    B3 = "B3"
    B4 = "B4"
    B5 = "B5"
    B6 = "B6"


class RiskLevel(StrEnum):
    """The risk of an area, from `areas/risk.json`."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


RISK_ORDER: Mapping[RiskLevel, int] = MappingProxyType(
    {RiskLevel.LOW: 0, RiskLevel.MEDIUM: 1, RiskLevel.HIGH: 2}
)
"""Which of two risks is higher: the greater number."""

OUTAGES = frozenset(
    {
        Outcome.NOT_YET_VALID,
        Outcome.NOT_COVERED,
        Outcome.STALE_TRUST,
        Outcome.TEMPORARILY_UNAVAILABLE,
    }
)
"""Outcomes about our clock, our trust or the network, not about the person: never REFUSE."""
