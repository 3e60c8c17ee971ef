"""The risk of areas."""

from __future__ import annotations

import pytest

from healthcode.errors import DecodeError, InvalidInputError
from healthcode.policy.area import AreaRisk, check_area_code, decode_areas, encode_areas
from healthcode.policy.words import RiskLevel


def test_areas_come_back_as_they_were() -> None:
    """Writing and reading lose nothing."""
    areas = AreaRisk(1_795_248_000, {"310115": RiskLevel.HIGH, "440106": RiskLevel.LOW})
    assert decode_areas(encode_areas(areas)) == areas


def test_only_exact_codes_count() -> None:
    """The risk of a district is not that of its city, and an unlisted area has none."""
    areas = AreaRisk(0, {"310115": RiskLevel.HIGH})
    assert areas.risk("310115") is RiskLevel.HIGH
    assert areas.risk("310000") is None
    assert AreaRisk().risk("310115") is None


def test_a_risk_of_a_newer_version_counts_as_high() -> None:
    """Caution where the word is not known."""
    data = b'{"format":"healthcode/areas/1","as_of":"2026-11-21T00:00:00Z","areas":{"310115":"EXTREME"}}'
    assert decode_areas(data).risk("310115") is RiskLevel.HIGH


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
