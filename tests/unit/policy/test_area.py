"""The risk of areas."""

from __future__ import annotations

import json
from typing import Any

import pytest

from healthcode.errors import DecodeError, InvalidInputError
from healthcode.policy.area import (
    AreaRisk,
    RiskInterval,
    check_area_code,
    decode_areas,
    encode_areas,
    undeclared_past,
)
from healthcode.policy.words import RiskLevel

AS_OF = 1_795_248_000
DAY = 86_400
HISTORY = AreaRisk(
    AS_OF,
    intervals={
        "310115": (
            RiskInterval(RiskLevel.HIGH, AS_OF - DAY),
            RiskInterval(RiskLevel.MEDIUM, AS_OF - 5 * DAY, AS_OF - DAY),
        ),
        "440106": (RiskInterval(RiskLevel.HIGH, AS_OF - 9 * DAY, AS_OF - 3 * DAY, True, "沪疫〔2026〕7号"),),
    },
)


def areas_2(*intervals: dict[str, Any], code: str = "310115") -> bytes:
    """A file of format 2 with one area."""
    written = {"format": "healthcode/areas/2", "as_of": "2026-11-21T00:00:00Z", "areas": {code: intervals}}
    return json.dumps(written).encode()


def test_areas_come_back_as_they_were() -> None:
    """Writing and reading lose nothing, in both formats."""
    areas = AreaRisk(1_795_248_000, {"310115": RiskLevel.HIGH, "440106": RiskLevel.LOW})
    assert decode_areas(encode_areas(areas)) == areas
    assert decode_areas(encode_areas(HISTORY)) == HISTORY
    assert b"healthcode/areas/2" in encode_areas(HISTORY)


def test_only_exact_codes_count() -> None:
    """The risk of a district is not that of its city, and an unlisted area has none."""
    areas = AreaRisk(0, {"310115": RiskLevel.HIGH})
    assert areas.risk("310115", 0) is RiskLevel.HIGH
    assert areas.risk("310000", 0) is None
    assert AreaRisk().risk("310115", 0) is None


def test_an_entry_of_format_1_counts_at_any_time_and_for_stays_from_as_of() -> None:
    """A verifier with a slow clock decides as before; nobody is coloured for a stay before the file."""
    areas = AreaRisk(AS_OF, {"310115": RiskLevel.HIGH})
    assert areas.risk("310115", AS_OF - 300) is RiskLevel.HIGH
    assert areas.history("310115") == (RiskInterval(RiskLevel.HIGH, AS_OF),)
    assert areas.history("440106") == ()


def test_an_interval_counts_from_its_first_second_to_before_its_end() -> None:
    """[from, until): at the second of the change the new risk is in force, and after the last one none is."""
    times = [AS_OF - 5 * DAY - 1, AS_OF - 5 * DAY, AS_OF - DAY - 1, AS_OF - DAY, AS_OF + 99 * DAY]
    assert [HISTORY.risk("310115", at) for at in times] == [
        None,
        RiskLevel.MEDIUM,
        RiskLevel.MEDIUM,
        RiskLevel.HIGH,
        RiskLevel.HIGH,
    ]
    assert HISTORY.risk("440106", AS_OF - 3 * DAY - 1) is RiskLevel.HIGH
    assert HISTORY.risk("440106", AS_OF - 3 * DAY) is None


def test_of_two_risks_at_once_the_higher_counts() -> None:
    """Whatever the order in the file."""
    low = {"risk": "LOW", "from": "2026-11-01T00:00:00Z"}
    high = {"risk": "HIGH", "from": "2026-11-20T00:00:00Z"}
    for written in ((low, high), (high, low)):
        assert decode_areas(areas_2(*written)).risk("310115", AS_OF) is RiskLevel.HIGH


def test_a_risk_of_a_newer_version_counts_as_high() -> None:
    """Caution where the word is not known."""
    data = b'{"format":"healthcode/areas/1","as_of":"2026-11-21T00:00:00Z","areas":{"310115":"EXTREME"}}'
    assert decode_areas(data).risk("310115", 0) is RiskLevel.HIGH
    data = areas_2({"risk": "EXTREME", "from": "2026-11-20T00:00:00Z", "cause": "unknown fields are ignored"})
    assert decode_areas(data).risk("310115", AS_OF) is RiskLevel.HIGH


def test_a_new_interval_in_the_past_must_be_declared() -> None:
    """One that is published already needs nothing; a new one of over 24 hours ago needs the flag and an instrument."""
    none = AreaRisk(AS_OF - DAY)
    (found,) = undeclared_past(HISTORY, none)
    assert found == ("310115", RiskInterval(RiskLevel.MEDIUM, AS_OF - 5 * DAY, AS_OF - DAY))
    assert undeclared_past(HISTORY, HISTORY) == ()
    for flag, instrument, count in ((True, "", 1), (False, "No. 7", 1), (True, "No. 7", 0)):
        late = RiskInterval(RiskLevel.HIGH, AS_OF - DAY - 1, None, flag, instrument)
        assert len(undeclared_past(AreaRisk(AS_OF, intervals={"110101": (late,)}), HISTORY)) == count


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b'{"format":"healthcode/areas/0","as_of":"2026-11-21T00:00:00Z","areas":{}}', "areas.format"),
        (b'{"format":"healthcode/policy/1","as_of":"2026-11-21T00:00:00Z","areas":{}}', "areas.format"),
        (b'{"format":"healthcode/areas/9999"}', "areas.format_newer"),
        (b'{"as_of":"2026-11-21T00:00:00Z","areas":{}}', "document.field"),
        (
            b'{"format":"healthcode/areas/1","as_of":"2026-11-21T00:00:00Z","areas":{"31":"LOW"}}',
            "areas.code",
        ),
        (b'{"format":"healthcode/areas/1","as_of":"2026-11-21","areas":{}}', "document.field"),
        (areas_2(code="3101１5"), "areas.code"),
        (areas_2({"risk": "HIGH"}), "document.field"),
        (areas_2({"risk": "HIGH", "from": "2026-11-20"}), "document.field"),
        (areas_2({"risk": "HIGH", "from": "2026-11-20T00:00:00Z", "until": "soon"}), "document.field"),
        (areas_2(*[{"risk": "HIGH", "from": "2026-11-20T00:00:00Z"}] * 513), "document.field"),
        (
            b'{"format":"healthcode/areas/2","as_of":"2026-11-21T00:00:00Z","areas":{"310115":"HIGH"}}',
            "document.field",
        ),
    ],
)
def test_broken_areas_are_refused_by_name(data: bytes, detail: str) -> None:
    """Each rule has its own word."""
    with pytest.raises(DecodeError) as caught:
        decode_areas(data)
    assert caught.value.detail == detail


@pytest.mark.parametrize("text", ["31011", "3101155", "31011x", "３１０１１５"])
def test_an_area_code_is_six_digits(text: str) -> None:
    """Anything else is refused, naming the field."""
    with pytest.raises(InvalidInputError) as caught:
        check_area_code(text)
    assert "area_code" in caught.value.fields
