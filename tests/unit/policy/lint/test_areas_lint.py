"""What is wrong with a file of area risk."""

from __future__ import annotations

import json
from typing import Any

import pytest

from healthcode.policy.lint.areas_lint import lint_areas
from healthcode.policy.lint.problem import Severity

AS_OF = "2026-11-21T08:00:00Z"
OLD = "2026-11-10T00:00:00Z"


def written(areas: Any, number: int = 1, **more: Any) -> bytes:
    return json.dumps(
        {"format": f"healthcode/areas/{number}", "as_of": AS_OF, "areas": areas, **more}
    ).encode()


def problems(data: bytes, before: bytes | None = None) -> list[str]:
    return [str(each) for each in lint_areas(data, before)]


@pytest.mark.parametrize(
    ("areas", "told"),
    [
        ({"310115": "high"}, "areas.310115: unknown word 'high'; did you mean HIGH?"),
        ({"310115": "PURPLE"}, "areas.310115: unknown word 'PURPLE'; known are LOW, MEDIUM, HIGH"),
        ({"990115": "HIGH"}, "areas.990115: no province has the code 99"),
        ({"000115": "HIGH"}, "areas.000115: no province has the code 00"),
        ({"660115": "HIGH"}, "areas.660115: no province has the code 66"),
        ({"31011": "HIGH"}, "areas.31011: is not the six digits"),
        ({"３１０１１５": "HIGH"}, "is not the six digits"),
        ({"310115": ["HIGH"]}, "areas.310115: a list"),
    ],
)
def test_a_slip_is_named(areas: dict[str, Any], told: str) -> None:
    """By path, value and the nearest word."""
    assert told in problems(written(areas))[0]


def test_the_time_and_the_fields_are_real() -> None:
    """A day that does not exist, and a field that no reader knows."""
    assert "day is out of range" in problems(written({}, as_of="2026-02-30T00:00:00Z"))[0]
    assert "unknown field 'as_off'; did you mean as_of?" in problems(written({}, as_off=AS_OF))[0]
    assert "no such text" in problems(b"{}")[0]
    assert "no such text" in problems(b'{"format":["healthcode/areas/1"]}')[0]
    assert "areas.format" in problems(b'{"format":"healthcode/areas/9999"}')[0]
    assert problems(written({"310115": "HIGH"})) == []


def interval(risk: str, start: str, **more: Any) -> dict[str, Any]:
    return {"risk": risk, "from": start, **more}


def test_a_risk_that_begins_in_the_past_says_so() -> None:
    """More than 24 hours before as_of: `retroactive` and an instrument; at 24 hours, or if it is in force, none."""
    assert problems(written({"310115": [interval("HIGH", "2026-11-20T08:00:00Z")]}, 2)) == []
    late = written({"310115": [interval("HIGH", "2026-11-20T07:59:59Z")]}, 2)
    assert "310115 is HIGH from 2026-11-20T07:59:59Z" in problems(late)[0]
    assert problems(late, before=late) == []
    for flags in ({"retroactive": True}, {"instrument": "No. 7"}):
        assert problems(written({"310115": [interval("HIGH", OLD, **flags)]}, 2))
    declared = interval("HIGH", OLD, retroactive=True, instrument="No. 7")
    assert problems(written({"310115": [declared]}, 2)) == []
    # format 1 does not say since when, so the past is new
    assert problems(written({"310115": [interval("HIGH", OLD)]}, 2), before=written({"310115": "HIGH"}))


def test_a_past_that_an_end_moved_on_adds_says_so() -> None:
    """From the published `until` on; an end that is moved back, or on from the last 24 hours, adds none."""
    ended, late = "2026-11-12T00:00:00Z", "2026-11-20T12:00:00Z"
    for before, after, count in (
        (ended, late, 1),
        (ended, None, 1),
        (late, ended, 0),
        (late, None, 0),
        (None, ended, 0),
    ):
        old, new = (
            written({"310115": [interval("HIGH", OLD) | ({"until": until} if until else {})]}, 2)
            for until in (before, after)
        )
        assert len(problems(new, old)) == count, (before, after)
    blank = interval("HIGH", OLD, retroactive=True, instrument="  ")
    assert len(problems(written({"310115": [blank]}, 2))) == 1
    for unprintable in ("No. 7\x1b[2J", "No.\n7", "No. \u202e7"):
        named = interval("HIGH", OLD, retroactive=True, instrument=unprintable)
        (found,) = problems(written({"310115": [named]}, 2))
        assert "instrument" in found
        assert found.isprintable()


def test_intervals_end_after_they_begin_and_do_not_overlap() -> None:
    """An interval of no length is refused; an overlap is shown."""
    start, end = "2026-11-21T01:00:00Z", "2026-11-21T02:00:00Z"
    assert (
        "ends before it begins" in problems(written({"310115": [interval("HIGH", end, until=start)]}, 2))[0]
    )
    overlap = written({"310115": [interval("MEDIUM", start), interval("HIGH", end)]}, 2)
    (found,) = lint_areas(overlap)
    assert (found.severity, "overlap from" in found.text) == (Severity.WARNING, True)
    following = written({"310115": [interval("MEDIUM", start, until=end), interval("HIGH", end)]}, 2)
    assert problems(following) == []
    assert "at least 1 item" in problems(written({"310115": []}, 2))[0]
