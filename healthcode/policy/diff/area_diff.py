"""What a new file of area risk changes: one sentence, then the areas, with everything that changes the past."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from healthcode.clock import rfc3339
from healthcode.errors import NotFoundError
from healthcode.identity.participant import participant
from healthcode.policy.area import DECLARED_PAST_SECONDS, AreaRisk, RiskInterval
from healthcode.policy.words import RISK_ORDER, RiskLevel

__all__ = ["AreaChange", "area_lines", "describe_areas", "find_area_changes"]

_UNLISTED = "not listed"


@dataclass(frozen=True, slots=True)
class AreaChange:
    """One area: its risk before and at the new `as_of`, and what changes in its history, in sentences.

    `past`: the sentences about more than a day before `as_of`: people's levels change for where they have been.
    """

    code: str
    before: RiskLevel | None
    after: RiskLevel | None
    history: tuple[str, ...]
    past: tuple[str, ...]

    @property
    def is_higher(self) -> bool | None:
        """Whether the risk of today rises; None if it stays."""
        if self.before is self.after:
            return None
        return _order(self.after) > _order(self.before)

    def __str__(self) -> str:
        risk = (
            f"{self.before or _UNLISTED} → {self.after or _UNLISTED}"
            if self.is_higher is not None
            else "as before"
        )
        return f"{self.code} ({_name(self.code)}): {risk}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "area": self.code,
            "before": self.before,
            "after": self.after,
            "history": list(self.history),
            "past": list(self.past),
        }


def find_area_changes(old: AreaRisk, new: AreaRisk) -> list[AreaChange]:
    """The areas that differ, by code."""
    as_of = new.as_of or 0
    changes = []
    for code in sorted({*old.risks, *old.intervals, *new.risks, *new.intervals}):
        before, after = old.risk(code, as_of), new.risk(code, as_of)
        history = tuple(_history(old, new, code))
        past = tuple(text for moment, text in history if moment < as_of - DECLARED_PAST_SECONDS)
        if before is not after or history:
            texts = tuple(text for _, text in history)
            changes.append(AreaChange(code, before, after, texts, past))
    return changes


def _history(old: AreaRisk, new: AreaRisk, code: str) -> Iterator[tuple[int, str]]:
    """(the earliest moment whose risk changes, the sentence) of each interval that differs."""
    # format 1 has no history
    before = {(each.risk, each.starts): each for each in old.intervals.get(code, ())}
    after = {(each.risk, each.starts): each for each in new.intervals.get(code, ())}
    for key, each in after.items():
        if key not in before:
            yield each.starts, f"+ {_interval(each)}"
        elif each.ends != before[key].ends:
            ends = [end for end in (each.ends, before[key].ends) if end is not None]
            yield min(ends), f"~ {_interval(before[key])} → {_interval(each)}"
    for key, each in before.items():
        if key not in after:
            yield each.starts, f"- {_interval(each)}"


def _interval(each: RiskInterval) -> str:
    ends = "" if each.ends is None else f" until {rfc3339(each.ends)}"
    declared = f", RETROACTIVE under {each.instrument}" if each.retroactive else ""
    return f"{each.risk} from {rfc3339(each.starts)}{ends}{declared}"


def _order(risk: RiskLevel | None) -> int:
    return -1 if risk is None else RISK_ORDER[risk]


def _name(code: str) -> str:
    try:
        found = participant(code[:2])
    except NotFoundError:
        return "no province"
    return f"{found.english} {found.chinese}"


def area_lines(changes: Sequence[AreaChange], new: AreaRisk) -> list[str]:
    """The changes as lines of text: one sentence, then each area."""
    rising = [each for each in changes if each.is_higher]
    falling = [each for each in changes if each.is_higher is False]
    past = [each for each in changes if each.past]
    parts = [
        f"{len(rising)} areas rise ({', '.join(each.code for each in rising)})" if rising else "",
        f"{len(falling)} fall ({', '.join(each.code for each in falling)})" if falling else "",
        f"THE PAST CHANGES in {len(past)} ({', '.join(each.code for each in past)})" if past else "",
    ]
    lines = [f"As of {rfc3339(new.as_of or 0)}: {', '.join(filter(None, parts)) or 'no risk changes'}."]
    for each in changes:
        lines.append(f"  {each}")
        lines += [f"    {text}{' (in the past)' if text in each.past else ''}" for text in each.history]
    return lines


def describe_areas(areas: AreaRisk, now: int) -> list[dict[str, Any]]:
    """Each area with its risk at `now` and its history, the highest risk first."""
    found = [
        {
            "area": code,
            "province": _name(code),
            "risk": None if (risk := areas.risk(code, now)) is None else str(risk),
            "history": [_interval(each) for each in areas.intervals.get(code, ())],
        }
        for code in sorted({*areas.risks, *areas.intervals})
    ]
    return sorted(found, key=lambda each: -_order(RiskLevel(each["risk"]) if each["risk"] else None))
