"""The Verdict: whether a code may pass here, now.

proto, SDK and JSON have the same fields in the same order; a test compares them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from healthcode.clock import rfc3339
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Decision, Outcome, PersonCategory, PlaceType
from healthcode.wire.claims import Level, Presentation
from healthcode.wire.holder_tag import HolderMatch

__all__ = ["Verdict"]

_TIMES = frozenset({"code_expires_at", "revocations_as_of", "evaluated_at", "reusable_until"})


class Verdict(NamedTuple):
    """One verdict. Times are seconds since the epoch; None means unknown or not applicable. Immutable."""

    # a named tuple: a frozen dataclass of so many fields takes seven times as long to make
    outcome: Outcome
    decision: Decision
    level: Level | None
    """The person's level according to the home province; None without a valid signature."""
    holder_match: HolderMatch
    presentation: Presentation | None
    masked_name: str | None
    issuer: str | None
    """The participant that the code names; not proven without a valid signature."""
    kid: str | None
    """16 hex digits."""
    realm: str
    code_expires_at: int | None
    """The effective expiry: exp, or earlier if the policy or the issuer's retirement limits it."""
    rule: str
    """The id of the rule that decided; empty if none did, for example for an item with an invalid field."""
    policy_version: str
    remedy: str | None
    """What the person or the verifier can do now. None with PASS and CHECK_NOT_REQUIRED, unless the issuer
    is leaving: then when the code ends, and where to get a new one."""
    trust_version: int
    """The version of the TUF snapshot."""
    trust_tier: TrustTier
    trust_age_seconds: int
    revocations_as_of: int | None
    """When the issuer last signed its revocation head."""
    evaluated_at: int
    reusable_until: int | None
    """Until when this verdict may be reused instead of verifying again; VALID only."""
    item_id: str
    detail: str | None
    """The cause as a stable dotted word, for MALFORMED and other refusals."""
    shown_by_relative: bool
    warnings: tuple[str, ...]
    """Stable words, e.g. UNKNOWN_PLACE_TYPE."""
    place_type: PlaceType | None
    """The place that decided: OTHER if none was given, or an unknown one. None from a node that does not tell."""
    area_code: str
    """The area that decided; empty if none was given."""
    person_category: PersonCategory | None
    """The category that decided: GENERAL if none was given, or an unknown one. None as for the place."""
    areas_version: int
    """The version of the role areas; 0 if no risk of areas was published."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON: words for enums, RFC 3339 for times, null for None."""
        return {name: _plain(name, value) for name, value in self._asdict().items()}


def _plain(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _TIMES:
        return rfc3339(value)
    if name == "warnings":
        return list(value)
    return value.value if hasattr(value, "value") else value
