"""A problem of a policy or areas file: where it is, which value, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

from healthcode.errors import InvalidInputError

__all__ = ["Problem", "Severity", "check_problems", "nearest", "placed"]

_SHOWN = 10


class Severity(StrEnum):
    """An ERROR is never proposed, signed or published; a WARNING is for people to judge."""

    ERROR = "ERROR"
    WARNING = "WARNING"


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem. `path` leads to the value, e.g. `policies.0.places.3.when.level`; `text` is a sentence."""

    path: str
    text: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


def placed(path: str, problems: Iterable[Problem]) -> list[Problem]:
    """The problems of a part, as problems of the file: `path` leads to the part."""
    return [
        Problem(
            f"{path}{'' if each.path.startswith('[') else '.'}{each.path}" if each.path else path,
            each.text,
            each.severity,
        )
        for each in problems
    ]


def nearest(word: str, known: Sequence[str]) -> str:
    """`did you mean VALID?`, or all known words if none is near."""
    found = get_close_matches(word.upper(), [each.upper() for each in known], n=1, cutoff=0.5)
    if found:
        return f"did you mean {next(each for each in known if each.upper() == found[0])}?"
    return f"known are {', '.join(known)}"


def check_problems(
    what: str, problems: Sequence[Problem], *, advice: str = " (`healthcode policy lint FILE` shows all)"
) -> None:
    """Raises InvalidInputError, which names each ERROR by its path; `what` names the file."""
    errors = [each for each in problems if each.severity is Severity.ERROR]
    if not errors:
        return
    more = f"; and {len(errors) - 1} more" if len(errors) > 1 else ""
    raise InvalidInputError(
        f"{what} is refused: {errors[0]}{more}{advice}",
        fields={each.path: each.text for each in errors[:_SHOWN]},
    )
