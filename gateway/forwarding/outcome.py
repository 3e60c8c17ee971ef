"""How a question ends at the gateway: answered, refused by its home, or the home could not be asked."""

from __future__ import annotations

from dataclasses import dataclass, field

from healthcode.errors import HealthcodeError, Reason

__all__ = ["Answered", "HomeDown", "Outcome", "Refused"]


@dataclass(frozen=True, slots=True)
class Answered:
    """The home's signed answer, unchanged.

    `proven_until` is the answer's expiry, if its signature was verified under a published ANSWER key.
    """

    answer: bytes
    proven_until: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class HomeDown:
    """The home could not be asked: the reason, and when to try again."""

    reason: Reason
    retry_after_seconds: float


@dataclass(frozen=True, slots=True)
class Refused:
    """The home rejected the question itself."""

    error: HealthcodeError


Outcome = Answered | HomeDown | Refused
