"""Where, and for whom, a code is checked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from healthcode.errors import InvalidInputError
from healthcode.policy.area import check_area_code
from healthcode.policy.words import PersonCategory, PlaceType

__all__ = ["MAX_ITEM_ID_BYTES", "CheckContext"]

MAX_ITEM_ID_BYTES = 64


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What a verdict depends on besides code, trust and time.

    `area_code` is the place's, six digits of GB/T 2260 or empty; `item_id` and `warnings` are copied into the verdict.
    """

    place_type: PlaceType = PlaceType.OTHER
    area_code: str = ""
    person_category: PersonCategory = PersonCategory.GENERAL
    item_id: str = ""
    warnings: tuple[str, ...] = ()

    @staticmethod
    def of(
        place: str | None = None, area: str | None = None, category: str | None = None, item_id: str = ""
    ) -> CheckContext:
        """A context from words in any case; an empty word means "not given", and no place is flagged.

        Raises InvalidInputError naming the field, for an area code that is not six digits, or an item id over 64 bytes.
        """
        for name, text in (("area_code", area or ""), ("item_id", item_id)):
            if not isinstance(text, str):
                raise InvalidInputError(
                    f"{name} is text, not {type(text).__name__}", fields={name: "not a str"}
                )
        if len(item_id.encode()) > MAX_ITEM_ID_BYTES:
            raise InvalidInputError(
                f"an item id has at most {MAX_ITEM_ID_BYTES} bytes", fields={"item_id": "too long"}
            )
        return _context(place or "", check_area_code(area or ""), category or "", item_id)


@lru_cache(maxsize=256)
def _known(place: str, category: str) -> tuple[PlaceType, PersonCategory, tuple[str, ...]]:
    # an unknown word is flagged, not refused: an integrator may be newer than the node
    warnings = []
    place_type, person_category = PlaceType.OTHER, PersonCategory.GENERAL
    if place in PlaceType.__members__:
        place_type = PlaceType(place)
    else:
        # a library of the client's may have dropped a word that it did not know
        warnings.append("UNKNOWN_PLACE_TYPE" if place else "NO_PLACE_TYPE")
    if category in PersonCategory.__members__:
        person_category = PersonCategory(category)
    elif category:
        warnings.append("UNKNOWN_PERSON_CATEGORY")
    return place_type, person_category, tuple(warnings)


def _context(place: str, area: str, category: str, item_id: str) -> CheckContext:
    place_type, person_category, warnings = _known(str(place).upper(), str(category).upper())
    return CheckContext(place_type, area, person_category, item_id, warnings)
