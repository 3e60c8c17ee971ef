"""Faults of a file of area risk, before operators approve it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from healthcode.clock import rfc3339
from healthcode.errors import DecodeError
from healthcode.identity.participant import PARTICIPANTS
from healthcode.policy.area import (
    MAX_AREAS_BYTES,
    NEWEST_AREAS_FORMAT,
    AreaRisk,
    RiskInterval,
    decode_areas,
    is_area_code,
    undeclared_past,
)
from healthcode.policy.json_model import load_versioned
from healthcode.policy.lint.areas_form import AreasForm1, AreasForm2
from healthcode.policy.lint.problem import Problem, Severity, check_problems
from healthcode.policy.lint.written_model import find_unknown

__all__ = ["PROVINCES", "check_written_areas", "lint_areas"]

PROVINCES = frozenset(PARTICIPANTS) - {"00", "66"}
"""The first two digits of GB/T 2260 codes. 00 and 66 are participants, but no codes of areas."""


def check_written_areas(data: bytes, before: bytes) -> None:
    """Refuses areas that must not be signed; `before` is the file in force.

    Raises InvalidInputError, which names each error; DecodeError for no file of an areas format that is read here.
    """
    _load(data)
    check_problems("areas/risk.json", lint_areas(data, before))


def lint_areas(data: bytes, before: bytes | None = None) -> list[Problem]:
    """The problems of a file of area risk. Without `before`, every interval counts as new."""
    try:
        number, document = _load(data)
    except DecodeError as error:
        return [Problem("file", error.message)]
    form = AreasForm1 if number == 1 else AreasForm2
    problems = [*find_unknown(form, document), *_lint_codes(document.get("areas"))]
    if problems:
        return problems
    try:
        areas = decode_areas(data)
    except DecodeError as error:
        return [Problem("areas", error.message)]
    published = AreaRisk() if before is None else decode_areas(before)
    return [
        *(_lint_past(code, interval) for code, interval in undeclared_past(areas, published)),
        *(problem for code in areas.intervals for problem in _lint_intervals(code, areas.history(code))),
    ]


def _load(data: bytes) -> tuple[int, Any]:
    return load_versioned(data, "areas", newest=NEWEST_AREAS_FORMAT, max_bytes=MAX_AREAS_BYTES)


def _lint_codes(areas: Any) -> Iterator[Problem]:
    for code in areas if isinstance(areas, Mapping) else ():
        if not is_area_code(code):
            yield Problem(f"areas.{code}", "is not the six digits of an area in GB/T 2260")
        elif code[:2] not in PROVINCES:
            yield Problem(
                f"areas.{code}", f"no province has the code {code[:2]}: look the area up in GB/T 2260"
            )


def _lint_past(code: str, interval: RiskInterval) -> Problem:
    # a risk that begins in the past colours people for where they have been: it is said aloud, and why
    return Problem(
        f"areas.{code}",
        f"{code} is {interval.risk} from {rfc3339(interval.starts)}, and the published file does not have all that "
        "is more than 24 hours before as_of: correct `from` or `until`, or set `retroactive` to true and name the "
        "`instrument`",
    )


def _lint_intervals(code: str, history: Sequence[RiskInterval]) -> Iterator[Problem]:
    for interval in history:
        if interval.ends is not None and interval.ends <= interval.starts:
            text = f"{interval.risk} until {rfc3339(interval.ends)} ends before it begins"
            yield Problem(f"areas.{code}", text)
    for one, other in pairwise(sorted(history, key=lambda each: each.starts)):
        if one.ends is None or one.ends > other.starts:
            text = f"{one.risk} and {other.risk} overlap from {rfc3339(other.starts)}: the higher one counts"
            yield Problem(f"areas.{code}", text, Severity.WARNING)
