"""Whether a place checks codes at all, before any identity is read (requirement R7)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydantic import ConfigDict, Field

from healthcode.policy.json_model import JsonModel, known_words
from healthcode.policy.words import PersonCategory, PlaceType, RiskLevel

__all__ = ["CheckModel", "CheckRequired", "CheckRule"]


class CheckRequired(StrEnum):
    """What a place is told: check codes, or let people in without."""

    CHECK = "CHECK"
    CHECK_NOT_REQUIRED = "CHECK_NOT_REQUIRED"


@dataclass(frozen=True, slots=True)
class CheckRule:
    """One row of `checks`. A condition of None always matches."""

    id: str
    requirement: CheckRequired
    places: frozenset[PlaceType] | None = None
    areas: frozenset[RiskLevel] | None = None
    categories: frozenset[PersonCategory] | None = None


class _WhenModel(JsonModel):
    model_config = ConfigDict(extra="allow")

    place: list[str] | None = None
    area: list[str] | None = None
    category: list[str] | None = None


class CheckModel(JsonModel):
    """A row of `checks` in the file."""

    id: str = Field(pattern=r"^[A-Z0-9][A-Z0-9.-]{0,31}$")
    when: _WhenModel = _WhenModel()
    requirement: str

    def rule(self) -> CheckRule:
        """An unknown requirement is CHECK; a condition that this version does not know is never met."""
        when = self.when
        known = self.requirement in set(CheckRequired)
        places = known_words(PlaceType, when.place)
        return CheckRule(
            id=self.id,
            requirement=CheckRequired(self.requirement) if known else CheckRequired.CHECK,
            places=frozenset() if when.model_extra else places,
            areas=known_words(RiskLevel, when.area),
            categories=known_words(PersonCategory, when.category),
        )
