"""The risk of areas by GB/T 2260 code, from `areas/risk.json`, which changes daily.

Only exact codes count: the risk of a district is not that of its city.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from healthcode.clock import rfc3339
from healthcode.errors import DecodeError, InvalidInputError
from healthcode.policy.json_model import JsonModel, Rfc3339, load_versioned, parse_model, write_json
from healthcode.policy.words import RiskLevel

__all__ = [
    "MAX_AREAS_BYTES",
    "NEWEST_AREAS_FORMAT",
    "AreaRisk",
    "check_area_code",
    "decode_areas",
    "encode_areas",
]

NEWEST_AREAS_FORMAT = 1
"""This software reads `healthcode/areas/1` to `/N`. Nodes report it, and `propose` asks all of them."""
MAX_AREAS_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class AreaRisk:
    """`risks` by six-digit area code; `as_of` in epoch seconds, None if nothing was published."""

    as_of: int | None = None
    risks: Mapping[str, RiskLevel] = field(default_factory=lambda: MappingProxyType({}))

    def risk(self, area_code: str) -> RiskLevel | None:
        """The risk of an area; None if it is not listed."""
        return self.risks.get(area_code)


class _AreasDocument(JsonModel):
    as_of: Rfc3339
    areas: dict[str, str]


def check_area_code(text: str) -> str:
    """`text` if it is empty or six digits. Raises InvalidInputError naming the field."""
    if text and not (len(text) == 6 and text.isascii() and text.isdigit()):
        raise InvalidInputError(
            "an area is named by the six digits of GB/T 2260", fields={"area_code": "not six digits"}
        )
    return text


def decode_areas(data: bytes) -> AreaRisk:
    """Decodes `areas/risk.json`; an unknown risk counts as HIGH.

    Raises DecodeError: json.…, document.field, areas.format, areas.format_newer, areas.code.
    """
    _, value = load_versioned(data, "areas", newest=NEWEST_AREAS_FORMAT, max_bytes=MAX_AREAS_BYTES)
    document = parse_model(value, _AreasDocument)
    known = set(RiskLevel)
    for code in document.areas:
        if not (len(code) == 6 and code.isascii() and code.isdigit()):
            raise DecodeError("areas.code", "an area code is not the six digits of GB/T 2260")
    risks = {
        code: RiskLevel(word) if word in known else RiskLevel.HIGH for code, word in document.areas.items()
    }
    return AreaRisk(document.as_of, MappingProxyType(risks))


def encode_areas(areas: AreaRisk) -> bytes:
    """The bytes to sign."""
    return write_json(
        {"format": "healthcode/areas/1", "as_of": rfc3339(areas.as_of or 0), "areas": dict(areas.risks)}
    )
