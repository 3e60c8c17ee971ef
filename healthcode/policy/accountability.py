"""What a policy of format 2 says of holds, appeals, look-ups and retention: data for those who act on it.

Every part may be missing. Each part is bounded, and an unknown word never loosens anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated

from pydantic import Field

from healthcode.policy.json_model import JsonModel

__all__ = [
    "AUDIT_RECORD",
    "Appeals",
    "AppealsModel",
    "HoldLimits",
    "Holds",
    "HoldsModel",
    "LookUpLimits",
    "LookUpsModel",
    "RetentionDays",
    "Unanswered",
    "retention_seconds",
]

_DAY_SECONDS = 86_400
_Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
_Hours = Annotated[int, Field(gt=0, le=8_784)]

RetentionDays = dict[Annotated[str, Field(max_length=64)], Annotated[int, Field(gt=0, le=36_600)]]
"""`retention_days` in the file: by kind of evidence, and for LOOKUP_RECORD, LEVEL and AUDIT."""
AUDIT_RECORD = "AUDIT"


class Unanswered(StrEnum):
    """What becomes of a ground whose appeal got no answer in time."""

    KEEP = "KEEP"
    SUSPEND = "SUSPEND"


@dataclass(frozen=True, slots=True)
class HoldLimits:
    """How many worsenings pass in one window; further ones wait for an officer."""

    source: int
    unit: int
    area: int


@dataclass(frozen=True, slots=True)
class Holds:
    """The limits on worsenings in rolling windows of an hour and a day."""

    per_hour: HoldLimits
    per_day: HoldLimits


@dataclass(frozen=True, slots=True)
class Appeals:
    """The terms of an appeal in seconds. `unanswered` is by reason, and "*" for the others."""

    review_seconds: int
    decide_seconds: int
    unanswered: Mapping[str, Unanswered]

    def unanswered_for(self, reason: str) -> Unanswered:
        """What becomes of a ground of this reason; KEEP where the policy says nothing."""
        return self.unanswered.get(reason) or self.unanswered.get("*") or Unanswered.KEEP


@dataclass(frozen=True, slots=True)
class LookUpLimits:
    """How many sealed look-ups pass in an hour, by asker, by officer and by holder."""

    asker_per_hour: int
    officer_per_hour: int
    holder_per_hour: int


class _HoldLimitsModel(JsonModel):
    source: _Count
    unit: _Count
    area: _Count

    def limits(self) -> HoldLimits:
        return HoldLimits(self.source, self.unit, self.area)


class HoldsModel(JsonModel):
    """`holds` in the file."""

    per_hour: _HoldLimitsModel
    per_day: _HoldLimitsModel

    def holds(self) -> Holds:
        return Holds(self.per_hour.limits(), self.per_day.limits())


class AppealsModel(JsonModel):
    """`appeal` in the file."""

    review_hours: _Hours
    decide_hours: _Hours
    unanswered: dict[str, str] = Field(default_factory=dict, max_length=64)

    def appeals(self) -> Appeals:
        """An unknown word reads as KEEP: the clock alone changes nothing that this version does not understand."""
        known = set(Unanswered)
        unanswered = {
            reason: Unanswered(word) if word in known else Unanswered.KEEP
            for reason, word in self.unanswered.items()
        }
        return Appeals(self.review_hours * 3600, self.decide_hours * 3600, MappingProxyType(unanswered))


class LookUpsModel(JsonModel):
    """`lookups` in the file."""

    asker_per_hour: _Count
    officer_per_hour: _Count
    holder_per_hour: _Count

    def limits(self) -> LookUpLimits:
        return LookUpLimits(self.asker_per_hour, self.officer_per_hour, self.holder_per_hour)


def retention_seconds(days: Mapping[str, int]) -> Mapping[str, int]:
    """`retention_days` in seconds."""
    return MappingProxyType({kind: count * _DAY_SECONDS for kind, count in days.items()})
