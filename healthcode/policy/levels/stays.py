"""How risky a stay was: the risks of its area in time, compared with the time of the stay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from healthcode.policy.area import RiskInterval
from healthcode.policy.words import RiskLevel

__all__ = ["stay_risk"]

_HIGHEST_FIRST = (RiskLevel.HIGH, RiskLevel.MEDIUM, RiskLevel.LOW)


def stay_risk(
    history: Sequence[RiskInterval], stay_from: int, stay_to: int, seconds: int
) -> tuple[RiskLevel, int] | None:
    """(risk, moment): the highest risk in which the stay lasted `seconds`, and when it reached them.

    None if no risk was in force for so long. Time at a higher risk counts for the lower ones too, so that an area
    that becomes worse never makes a stay better. The stay is [`stay_from`, `stay_to`).
    """
    meeting = [
        each for each in history if each.starts < stay_to and (each.ends is None or each.ends > stay_from)
    ]
    if not meeting:
        return None
    overlaps: list[tuple[int, int]] = []
    for risk in _HIGHEST_FIRST:
        found = [
            (max(each.starts, stay_from), stay_to if each.ends is None else min(each.ends, stay_to))
            for each in meeting
            if each.risk is risk
        ]
        if found:
            overlaps += found
            moment = _reached(sorted(overlaps), seconds)
            if moment is not None:
                return risk, moment
    return None


def _reached(overlaps: Iterable[tuple[int, int]], seconds: int) -> int | None:
    """When the time in these intervals, in order of their beginnings, comes to `seconds`; time is counted once."""
    total, counted_to = 0, 0
    for begin, end in overlaps:
        start = max(begin, counted_to)
        if end <= start:
            continue
        if total + end - start >= seconds:
            return start + seconds - total
        total += end - start
        counted_to = end
    return None
