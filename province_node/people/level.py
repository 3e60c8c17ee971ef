"""What a back end may say of a holder, and on what ground (domain: closed reason list).

A RED level cites an A reason, a YELLOW one a B reason; the other levels cite
none. A8 and B6, the "other" reasons, also need the number of a legal instrument
and a time at which the level ends. NO_ABNORMALITY belongs to participant 00.
A level never outlives its end: a code's expiry is cut to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from healthcode.errors import InvalidInputError, PreconditionError, Reason
from healthcode.wire.claims import Level

__all__ = ["NATIONAL_PLATFORM", "LevelReason", "LevelStatement", "check_level"]

NATIONAL_PLATFORM = "00"
_MAX_INSTRUMENT_BYTES = 128


class LevelReason(StrEnum):
    """Reasons after Guangxi's published rules; A for RED, B for YELLOW."""

    A1 = "A1"
    A2 = "A2"
    A3 = "A3"
    A4 = "A4"
    A5 = "A5"
    A6 = "A6"
    A7 = "A7"
    A8 = "A8"
    B1 = "B1"
    B2 = "B2"
    B3 = "B3"
    B4 = "B4"
    B5 = "B5"
    B6 = "B6"


_OTHER = frozenset({LevelReason.A8, LevelReason.B6})
_LETTER = {Level.RED: "A", Level.YELLOW: "B"}


@dataclass(frozen=True, slots=True)
class LevelStatement:
    """A level with its ground. `until`: seconds since the epoch, or None for no stated end."""

    level: Level
    reason: LevelReason | None = None
    legal_instrument: str = ""
    until: int | None = None


def check_level(statement: LevelStatement, *, issuer: str, now: int) -> None:
    """Raises unless `issuer` may give this level on this ground at `now`.

    PreconditionError(LEVEL_FORBIDDEN) for a level that is not the issuer's to
    give; InvalidInputError naming the field for a wrong or missing ground.
    """
    level, reason = statement.level, statement.reason
    if level is Level.NO_ABNORMALITY and issuer != NATIONAL_PLATFORM:
        raise PreconditionError(
            f"only participant {NATIONAL_PLATFORM} issues NO_ABNORMALITY; this node is participant {issuer}",
            reason=Reason.LEVEL_FORBIDDEN,
        )
    if level is Level.UNKNOWN:
        raise _refusal("level", "say GREEN, YELLOW, RED, PENDING or NO_ABNORMALITY")
    _check_reason(level, reason)
    _check_instrument(statement)
    if statement.until is not None and statement.until <= now:
        raise _refusal("level_until", "lies in the past")


def _check_reason(level: Level, reason: LevelReason | None) -> None:
    letter = _LETTER.get(level)
    if letter is None and reason is not None:
        raise _refusal(
            "reason", f"{level} takes no reason; {reason} is a ground for another level", forbidden=True
        )
    if letter is not None and reason is None:
        raise _refusal("reason", f"{level} needs a reason from {letter}1 to {letter}{_last(letter)}")
    if letter is not None and reason is not None and not reason.startswith(letter):
        raise _refusal(
            "reason", f"{reason} is no ground for {level}; its reasons begin with {letter}", forbidden=True
        )


def _check_instrument(statement: LevelStatement) -> None:
    reason, instrument = statement.reason, statement.legal_instrument
    if reason in _OTHER and not instrument.strip():
        raise _refusal("legal_instrument", f"{reason} needs the number of the legal instrument")
    if reason in _OTHER and statement.until is None:
        raise _refusal("level_until", f"{reason} needs the time at which the level ends")
    if reason not in _OTHER and instrument:
        raise _refusal("legal_instrument", "only A8 and B6 cite a legal instrument")
    if len(instrument.encode()) > _MAX_INSTRUMENT_BYTES:
        raise _refusal("legal_instrument", f"longer than {_MAX_INSTRUMENT_BYTES} bytes")


def _last(letter: str) -> int:
    return max(int(reason[1:]) for reason in LevelReason if reason.startswith(letter))


def _refusal(field: str, message: str, *, forbidden: bool = False) -> InvalidInputError:
    reason = Reason.LEVEL_FORBIDDEN if forbidden else Reason.INVALID_REQUEST
    return InvalidInputError(f"{field}: {message}", reason=reason, fields={field: message})
