"""The Verdict: the answer to "may this code pass here, now?".

The same fields, by the same names and in the same order, stand in
protos/healthcode/v1/verdict.proto, in the SDK and in JSON; a test holds it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from healthcode.clock import rfc3339
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Decision, Outcome
from healthcode.wire.claims import Level, Presentation
from healthcode.wire.holder_tag import HolderMatch

__all__ = ["Verdict"]

_TIMES = frozenset({"code_expires_at", "revocations_as_of", "evaluated_at", "reusable_until"})


class Verdict(NamedTuple):
    """One verdict. Times are seconds since the epoch; None means "not known" or "does not apply".

    Immutable. A named tuple, because a frozen dataclass of so many fields takes seven
    times as long to make, which shows beside a signature check.
    """

    outcome: Outcome
    decision: Decision
    level: Level | None
    """What the home says of the person; None until a good signature proves it."""
    holder_match: HolderMatch
    presentation: Presentation | None
    masked_name: str | None
    issuer: str | None
    """The participant that the code names; proven only once the signature holds."""
    kid: str | None
    """16 hex digits."""
    realm: str
    code_expires_at: int | None
    """When the code stops being good: its exp, or earlier where policy caps its life."""
    rule: str
    """The id of the rule that decided; empty when none did, as for an item with a wrong field."""
    policy_version: str
    remedy: str | None
    """What the person or the verifier can do now; None with PASS and CHECK_NOT_REQUIRED, but
    for a code whose issuer leaves: when it ends, and where a new one is had."""
    trust_version: int
    """The version of the TUF snapshot."""
    trust_tier: TrustTier
    trust_age_seconds: int
    revocations_as_of: int | None
    """When the issuer last signed its revocation head."""
    evaluated_at: int
    reusable_until: int | None
    """Until when this verdict may be shown again instead of verifying anew; VALID only."""
    item_id: str
    detail: str | None
    """Why, for MALFORMED and other refusals: a stable dotted word."""
    shown_by_relative: bool
    warnings: tuple[str, ...]
    """Stable words, e.g. UNKNOWN_PLACE_TYPE."""

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
