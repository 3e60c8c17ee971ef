"""The risk of areas by GB/T 2260 code, from `areas/risk.json`, which changes daily.

Only exact codes count: the risk of a district is not that of its city.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field

from healthcode.clock import rfc3339
from healthcode.errors import DecodeError, InvalidInputError
from healthcode.policy.json_model import JsonModel, Rfc3339, load_versioned, parse_model, write_json
from healthcode.policy.words import RISK_ORDER, RiskLevel

__all__ = [
    "DECLARED_PAST_SECONDS",
    "MAX_AREAS_BYTES",
    "NEWEST_AREAS_FORMAT",
    "AreaRisk",
    "RiskInterval",
    "check_area_code",
    "decode_areas",
    "encode_areas",
    "is_area_code",
    "undeclared_past",
]

NEWEST_AREAS_FORMAT = 2
"""This software reads `healthcode/areas/1` to `/N`. Nodes report it, and `propose` asks all of them."""
MAX_AREAS_BYTES = 4 << 20
DECLARED_PAST_SECONDS = 86_400
"""A new interval that begins longer before `as_of` changes the past: it needs `retroactive` and an instrument."""


@dataclass(frozen=True, slots=True)
class RiskInterval:
    """The risk of an area in `starts` ≤ t < `ends` (epoch seconds); `ends` is None while the risk continues."""

    risk: RiskLevel
    starts: int
    ends: int | None = None
    retroactive: bool = False
    instrument: str = ""


@dataclass(frozen=True, slots=True)
class AreaRisk:
    """`as_of` in epoch seconds, None if nothing was published.

    A file of format 1 has `risks` by six-digit area code, one of format 2 has `intervals`, the highest risk first.
    """

    as_of: int | None = None
    risks: Mapping[str, RiskLevel] = field(default_factory=lambda: MappingProxyType({}))
    intervals: Mapping[str, tuple[RiskInterval, ...]] = field(default_factory=lambda: MappingProxyType({}))

    def risk(self, area_code: str, now: int) -> RiskLevel | None:
        """The risk of an area at `now`; None if it is not listed. An entry of format 1 counts at any time."""
        for each in self.intervals.get(area_code, ()):
            if each.starts <= now and (each.ends is None or now < each.ends):
                return each.risk
        return self.risks.get(area_code)

    def history(self, area_code: str) -> tuple[RiskInterval, ...]:
        """The intervals of an area, the highest risk first; what a stay is compared with.

        Format 1 does not tell since when. It counts from `as_of`: no stay before that gives a ground.
        """
        if area_code in self.risks:
            return (RiskInterval(self.risks[area_code], self.as_of or 0),)
        return self.intervals.get(area_code, ())


class _Areas1Model(JsonModel):
    as_of: Rfc3339
    areas: dict[str, str]


class _IntervalModel(JsonModel):
    risk: str
    starts: Rfc3339 = Field(alias="from")
    until: Rfc3339 | None = None
    retroactive: bool = False
    instrument: str = Field(default="", max_length=200)


class _Areas2Model(JsonModel):
    as_of: Rfc3339
    areas: dict[str, Annotated[list[_IntervalModel], Field(max_length=512)]]


def is_area_code(text: str) -> bool:
    """Whether `text` is six digits; which areas exist is not known here."""
    return len(text) == 6 and text.isascii() and text.isdigit()


def check_area_code(text: str) -> str:
    """`text` if it is empty or six digits. Raises InvalidInputError naming the field."""
    if text and not is_area_code(text):
        raise InvalidInputError(
            "an area is named by the six digits of GB/T 2260", fields={"area_code": "not six digits"}
        )
    return text


def decode_areas(data: bytes) -> AreaRisk:
    """Decodes `areas/risk.json`; an unknown risk counts as HIGH.

    Raises DecodeError: json.…, document.field, areas.format, areas.format_newer, areas.code.
    """
    number, value = load_versioned(data, "areas", newest=NEWEST_AREAS_FORMAT, max_bytes=MAX_AREAS_BYTES)
    if number == 1:
        document = parse_model(value, _Areas1Model)
        _check_codes(document.areas)
        risks = {code: _risk(word) for code, word in document.areas.items()}
        return AreaRisk(document.as_of, MappingProxyType(risks))
    history = parse_model(value, _Areas2Model)
    _check_codes(history.areas)
    intervals = {code: _history(written) for code, written in history.areas.items()}
    return AreaRisk(history.as_of, intervals=MappingProxyType(intervals))


def encode_areas(areas: AreaRisk) -> bytes:
    """The bytes to sign: format 2 if there are intervals, else format 1."""
    written: dict[str, Any] = {"as_of": rfc3339(areas.as_of or 0)}
    if not areas.intervals:
        return write_json({**written, "format": "healthcode/areas/1", "areas": dict(areas.risks)})
    intervals = {code: [_interval(each) for each in history] for code, history in areas.intervals.items()}
    return write_json({**written, "format": "healthcode/areas/2", "areas": intervals})


def undeclared_past(areas: AreaRisk, published: AreaRisk) -> tuple[tuple[str, RiskInterval], ...]:
    """(area, interval) of each interval that adds risk more than a day before `as_of` to the `published` file
    without saying so: it has no `retroactive`, or no instrument.
    """  # noqa: D205  one sentence
    earliest = (areas.as_of or 0) - DECLARED_PAST_SECONDS
    found = []
    for code, history in areas.intervals.items():
        known = {(each.risk, each.starts): _end(each) for each in published.history(code)}
        for each in history:
            if each.retroactive and each.instrument.strip():
                continue
            # an end that is moved on adds risk from the end before
            adds_from = known.get((each.risk, each.starts), each.starts)
            if adds_from < min(earliest, _end(each)):
                found.append((code, each))
    return tuple(found)


def _end(interval: RiskInterval) -> float:
    return math.inf if interval.ends is None else interval.ends


def _check_codes(areas: Mapping[str, object]) -> None:
    if not all(is_area_code(code) for code in areas):
        raise DecodeError("areas.code", "an area code is not the six digits of GB/T 2260")


def _risk(word: str) -> RiskLevel:
    return RiskLevel(word) if word in RiskLevel.__members__ else RiskLevel.HIGH


def _history(written: list[_IntervalModel]) -> tuple[RiskInterval, ...]:
    history = [
        RiskInterval(_risk(each.risk), each.starts, each.until, each.retroactive, each.instrument)
        for each in written
    ]
    return tuple(sorted(history, key=lambda each: (-RISK_ORDER[each.risk], each.starts)))


def _interval(each: RiskInterval) -> dict[str, Any]:
    written: dict[str, Any] = {"risk": each.risk, "from": rfc3339(each.starts)}
    if each.ends is not None:
        written["until"] = rfc3339(each.ends)
    if each.retroactive:
        written["retroactive"] = True
    if each.instrument:
        written["instrument"] = each.instrument
    return written
