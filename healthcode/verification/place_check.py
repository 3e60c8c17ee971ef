"""Whether a place must check codes (requirement R7), by the trust in use. Pure; nothing here names a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from healthcode.clock import rfc3339
from healthcode.policy.area import is_area_code
from healthcode.policy.checks import CheckRequired
from healthcode.policy.requirement import requirement
from healthcode.policy.words import PersonCategory, PlaceType
from healthcode.trust.view import TrustView
from healthcode.verification.render import view_warnings

__all__ = ["PlaceCheck", "check_place"]


@dataclass(frozen=True, slots=True)
class PlaceCheck:
    """The answer. `rule` is the row of the policy's `checks` that decided; empty if none did: then codes are checked.

    `areas_as_of` is in epoch seconds; None if there is no file of area risk.
    """

    required: CheckRequired
    rule: str
    policy_version: str
    areas_as_of: int | None
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "requirement": str(self.required),
            "rule": self.rule,
            "policy_version": self.policy_version,
            "areas_as_of": None if self.areas_as_of is None else rfc3339(self.areas_as_of),
            "warnings": list(self.warnings),
        }


def check_place(view: TrustView, place: str, area_code: str, category: str, now: int) -> PlaceCheck:
    """What the policy in force at `now` (epoch seconds) asks of a place.

    `place` and `category` are words in any case. A place that is not stated (empty), a word that is not known, an
    area that is not stated or not six digits, and areas that may be outdated mean CHECK, never an error.
    """
    policy = view.policy.in_force(now)
    place_type = _known(PlaceType, place)
    person = _known(PersonCategory, category or PersonCategory.GENERAL)
    # a slow clock, or files that were refused or lost here, must not keep old risk in force
    moment = max(now, view.timestamp_signed_at)
    is_current = not view.is_superseded and "areas" not in view.held_back
    expire = view.areas_expires if is_current else None
    found = requirement(policy, place_type, area_code, person, view.areas, moment, areas_expire=expire)
    warnings: tuple[str, ...] = ()
    if place and place_type is None:
        warnings += ("UNKNOWN_PLACE_TYPE",)
    if person is None:
        warnings += ("UNKNOWN_PERSON_CATEGORY",)
    if area_code and not is_area_code(area_code):
        warnings += ("INVALID_AREA_CODE",)
    if view.areas_expires is not None and (expire is None or moment >= expire):
        warnings += ("AREAS_OUTDATED",)
    return PlaceCheck(
        required=found.required,
        rule=found.rule,
        policy_version=found.policy_version,
        areas_as_of=found.areas_as_of,
        warnings=warnings + view_warnings(view, policy, now),
    )


def _known(kind: type[Any], word: str) -> Any:
    return kind.__members__.get(word.upper())
