"""The risk of areas by GB/T 2260 code, from `areas/risk.json`, which changes daily.

Only exact codes count: the risk of a district is not that of its city.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from healthcode.clock import rfc3339
from healthcode.errors import DecodeError, InvalidInputError
from healthcode.policy.json_model import JsonModel, Rfc3339, parse_json, write_json
from healthcode.policy.words import RiskLevel

__all__ = ["AREAS_FORMAT", "MAX_AREAS_BYTES", "AreaRisk", "check_area_code", "decode_areas", "encode_areas"]

AREAS_FORMAT = "healthcode/areas/1"
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
    format: str
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
    """Decodes `areas/risk.json`; an unknown risk counts as HIGH. Raises DecodeError: json.…, areas.format, areas.code."""
    document = parse_json(data, _AreasDocument, max_bytes=MAX_AREAS_BYTES)
    if document.format != AREAS_FORMAT:
        raise DecodeError("areas.format", f"format {document.format!r} is not {AREAS_FORMAT}")
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
        {"format": AREAS_FORMAT, "as_of": rfc3339(areas.as_of or 0), "areas": dict(areas.risks)}
    )
