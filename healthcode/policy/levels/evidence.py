"""Evidence about a holder: what a source reported, in closed words (requirement R12)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

__all__ = [
    "FINDINGS",
    "MIGRATED_SOURCE",
    "Evidence",
    "EvidenceKind",
    "EvidenceState",
    "Finding",
    "TestMethod",
]

MIGRATED_SOURCE = "migrated"
"""The source of orders that an upgrade makes of stated levels. No source can submit one."""


class EvidenceKind(StrEnum):
    """What kind of fact it is. The list is closed; each kind has its findings."""

    TEST = "TEST"
    VACCINATION = "VACCINATION"
    AREA_STAY = "AREA_STAY"
    CONTACT = "CONTACT"
    CASE_REPORT = "CASE_REPORT"
    QUARANTINE_ORDER = "QUARANTINE_ORDER"
    PUSH = "PUSH"  # from participant 00 alone
    ORDER = "ORDER"  # an officer's decision


class TestMethod(StrEnum):
    """How a sample was tested. Only nucleic-acid tests clear a ground."""

    __test__ = False  # no pytest class

    NUCLEIC = "NUCLEIC"
    ANTIBODY = "ANTIBODY"


class Finding(StrEnum):
    """What was found; `FINDINGS` tells which kind takes which."""

    NEGATIVE = "NEGATIVE"
    POSITIVE = "POSITIVE"
    CLOSE = "CLOSE"
    SECOND = "SECOND"
    OVERLAP = "OVERLAP"
    CONVEYANCE = "CONVEYANCE"
    CONFIRMED = "CONFIRMED"
    ASYMPTOMATIC = "ASYMPTOMATIC"
    SUSPECTED = "SUSPECTED"
    DISCHARGED = "DISCHARGED"
    ENTRANT = "ENTRANT"
    RETURNEE = "RETURNEE"
    RED = "RED"
    YELLOW = "YELLOW"


FINDINGS: Mapping[EvidenceKind, frozenset[Finding]] = MappingProxyType(
    {
        EvidenceKind.TEST: frozenset({Finding.NEGATIVE, Finding.POSITIVE}),
        EvidenceKind.VACCINATION: frozenset(),
        EvidenceKind.AREA_STAY: frozenset(),
        EvidenceKind.CONTACT: frozenset({Finding.CLOSE, Finding.SECOND, Finding.OVERLAP, Finding.CONVEYANCE}),
        EvidenceKind.CASE_REPORT: frozenset(
            {Finding.CONFIRMED, Finding.ASYMPTOMATIC, Finding.SUSPECTED, Finding.DISCHARGED}
        ),
        EvidenceKind.QUARANTINE_ORDER: frozenset({Finding.ENTRANT, Finding.RETURNEE}),
        EvidenceKind.PUSH: frozenset({Finding.RED, Finding.YELLOW}),
        EvidenceKind.ORDER: frozenset({Finding.RED, Finding.YELLOW}),
    }
)
"""The findings of each kind; an empty set: the kind has none."""


class EvidenceState(StrEnum):
    """Whether a revision counts: ACTIVE and WITHDRAWN do, the others change nothing."""

    ACTIVE = "ACTIVE"
    WITHDRAWN = "WITHDRAWN"
    HELD = "HELD"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    SUSPENDED = "SUSPENDED"


class Evidence(
    NamedTuple
):  # a re-derivation of everybody makes millions: a dataclass takes seven times as long
    """One revision of a source's record. Times in epoch seconds.

    (source, record, revision) is its identity. `observed_at` is when the fact was so: a test's sampling. A
    stay has `area` (GB/T 2260, six digits), `stay_from` and `stay_to`, and `observed_at` equals `stay_to`.
    `until` is an end that the record itself states. `known_at` is when this revision began to count.
    `reason` is set for MIGRATED_SOURCE alone: the reason that was stated before the upgrade.
    """

    source: str
    record: str
    revision: int
    kind: EvidenceKind
    observed_at: int
    known_at: int
    finding: Finding | None = None
    method: TestMethod | None = None
    area: str = ""
    stay_from: int | None = None
    stay_to: int | None = None
    until: int | None = None
    instrument: str = ""
    port_of_entry: str = ""
    laboratory: str = ""
    product: str = ""
    dose: int | None = None
    reason: str | None = None
    state: EvidenceState = EvidenceState.ACTIVE
