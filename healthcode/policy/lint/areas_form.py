"""`areas/risk.json` as we write it, in both formats."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from healthcode.policy.json_model import Rfc3339
from healthcode.policy.lint.written_model import WrittenModel, one_of
from healthcode.policy.words import RiskLevel

__all__ = ["AreasForm1", "AreasForm2"]

_Risk = Annotated[str, one_of(RiskLevel)]


def _printable(value: str) -> str:
    if not value.isprintable():
        raise PydanticCustomError("not_printable", "has characters that cannot be printed: leave them out")
    return value


class AreasForm1(WrittenModel):
    """A file of format healthcode/areas/1."""

    format: Literal["healthcode/areas/1"]
    as_of: Rfc3339
    areas: dict[str, _Risk]


class _Interval(WrittenModel):
    risk: _Risk
    starts: Annotated[Rfc3339, Field(alias="from")]
    until: Rfc3339 | None = None
    retroactive: bool = False
    instrument: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)] | None = None


class AreasForm2(WrittenModel):
    """A file of format healthcode/areas/2."""

    format: Literal["healthcode/areas/2"]
    as_of: Rfc3339
    areas: dict[str, Annotated[list[_Interval], Field(min_length=1)]]
