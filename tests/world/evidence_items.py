"""Evidence about one holder, made in one line each."""

from __future__ import annotations

from typing import Any

from healthcode.policy.levels.evidence import Evidence, EvidenceKind, Finding, TestMethod

__all__ = ["item", "nucleic", "stay"]


def item(kind: EvidenceKind, at: int, finding: Finding | None = None, **changes: Any) -> Evidence:
    """One revision of a record; `record` is made of what it says, unless it is given."""
    values: dict[str, Any] = {
        "source": "source-1",
        "record": f"{kind}-{finding}-{at}",
        "revision": 1,
        "known_at": at,
    }
    return Evidence(kind=kind, observed_at=at, finding=finding, **{**values, **changes})


def nucleic(at: int, finding: Finding = Finding.NEGATIVE, **changes: Any) -> Evidence:
    """A nucleic-acid test, sampled at `at`."""
    return item(EvidenceKind.TEST, at, finding, **{"method": TestMethod.NUCLEIC, **changes})


def stay(area: str, begin: int, end: int, **changes: Any) -> Evidence:
    """A stay in an area."""
    return item(
        EvidenceKind.AREA_STAY,
        end,
        **{"record": f"{area}-{begin}", "area": area, "stay_from": begin, "stay_to": end, **changes},
    )
