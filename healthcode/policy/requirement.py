"""requirement: whether a place must check codes, answered before any identity is read. Pure (requirement R7)."""

from __future__ import annotations

from dataclasses import dataclass

from healthcode.policy.area import AreaRisk, is_area_code
from healthcode.policy.book import Policy
from healthcode.policy.checks import CheckRequired
from healthcode.policy.words import PersonCategory, PlaceType

__all__ = ["CheckRequirement", "requirement"]


@dataclass(frozen=True, slots=True)
class CheckRequirement:
    """The answer, and what it rests on. `rule` is empty if no row of `checks` matches: then codes are checked.

    `areas_as_of` is in epoch seconds; None if no areas were published.
    """

    required: CheckRequired
    rule: str
    policy_version: str
    areas_as_of: int | None


def requirement(
    policy: Policy,
    place: PlaceType | None,
    area_code: str,
    category: PersonCategory | None,
    areas: AreaRisk,
    now: int,
    *,
    areas_expire: int | None,
) -> CheckRequirement:
    """The requirement of the first row of `checks` that matches.

    `place` is None if it was not stated or is not a known word; `category` is None if its word is not known.
    `areas_expire` is when the signature of `areas` ends (`TrustView.areas_expires`).
    """
    # a place that is left out decides as OTHER and an unlisted area as the default, so that a row that waives the
    # check could match a mistake: it is passed over unless everything was stated, known and in force
    is_certain = (
        place is not None
        and category is not None
        and is_area_code(area_code)
        and areas_expire is not None
        and now < areas_expire
    )
    risk = (areas.risk(area_code, now) if area_code else None) or policy.area_default
    for row in policy.checks:
        if (
            (is_certain or row.requirement is CheckRequired.CHECK)
            and (row.places is None or (place or PlaceType.OTHER) in row.places)
            and (row.areas is None or risk in row.areas)
            and (row.categories is None or (category or PersonCategory.GENERAL) in row.categories)
        ):
            return CheckRequirement(row.requirement, row.id, policy.version, areas.as_of)
    return CheckRequirement(CheckRequired.CHECK, "", policy.version, areas.as_of)
