"""Which level a back end may state, and for which reason, where levels are not derived.

A level never outlives its end: the expiry of a code is cut to it (`province_node.codes.order`).
"""

from __future__ import annotations

from healthcode.errors import InvalidInputError, PreconditionError, Reason
from healthcode.identity.participant import NATIONAL_PLATFORM
from healthcode.policy.words import LevelReason
from healthcode.wire.claims import Level
from province_node.store.records import LevelStatement

__all__ = ["check_level", "check_stated_level"]

_MAX_INSTRUMENT_BYTES = 128

# the "other" reasons: they need the number of a legal instrument, and an end
_OTHER = frozenset({LevelReason.A8, LevelReason.B6})
_LETTER = {Level.RED: "A", Level.YELLOW: "B"}


def check_level(statement: LevelStatement, *, issuer: str, now: int) -> None:
    """Raises unless `issuer` may state this level for this reason at `now`.

    PreconditionError (LEVEL_FORBIDDEN) if the level is not this issuer's to state; InvalidInputError naming
    the field if a reason, an instrument or an end is wrong or missing.
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
        raise _refusal("level_until", "is in the past")


def check_stated_level(statement: LevelStatement | None, derived: Level) -> None:
    """Raises PreconditionError (LEVEL_FORBIDDEN) if an order states another level than the derived one."""
    if statement is not None and statement.level is not derived:
        raise PreconditionError(
            f"level: it is derived from evidence, and it is {derived}, not {statement.level}: leave level unset, or "
            "ask ExplainLevel why",
            reason=Reason.LEVEL_FORBIDDEN,
            fields={"level": f"unset, or {derived}"},
            info={"derived_level": derived.value},
        )


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
