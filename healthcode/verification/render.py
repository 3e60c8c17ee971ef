"""Builds the Verdict from what was found and the trust that was used; the policy decides."""

from __future__ import annotations

from typing import NamedTuple

from healthcode.policy.book import Policy
from healthcode.policy.decide import Facts
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Outcome
from healthcode.trust.view import IssuerView, TrustView
from healthcode.verification.context import CheckContext
from healthcode.verification.outcome import CLOCK_AHEAD, CLOCK_UNCHECKED
from healthcode.verification.retirement import retirement_remedy
from healthcode.verification.verdict import Verdict
from healthcode.wire.claims import Level
from healthcode.wire.code import DecodedCode
from healthcode.wire.holder_tag import HolderMatch

__all__ = ["Finding", "TrustUsed", "render_verdict", "view_warnings"]

# with these outcomes nothing proves what the claims say of the person; a killed key proves nothing either
_UNPROVEN = frozenset(
    {
        Outcome.MALFORMED,
        Outcome.UNKNOWN_ISSUER,
        Outcome.UNKNOWN_KEY,
        Outcome.BAD_SIGNATURE,
        Outcome.KEY_REVOKED,
    }
)


# STALE_TRUST by the clock alone: the policy's remedy, to refresh the trust, would not help
_CLOCK_REMEDIES = {
    CLOCK_AHEAD: "Signed times show that this verifier's clock is ahead. Set the clock, then verify again.",
    CLOCK_UNCHECKED: "By this verifier's clock the code has expired, but the clock was not compared with a signed "
    "time yet. Verify again in a moment; if this stays, set the clock, and reach the registry.",
}


class Finding(NamedTuple):
    """What was found about a code.

    `decoded` and `expires_at` (the effective expiry) are None if the text could not be decoded. With `answered` the
    home province was asked, and `answered_level` replaces the level in the code (None if it gave none).
    """

    outcome: Outcome
    detail: str | None = None
    decoded: DecodedCode | None = None
    expires_at: int | None = None
    match: HolderMatch = HolderMatch.NOT_CHECKED
    answered: bool = False
    answered_level: Level | None = None


class TrustUsed(NamedTuple):
    """The trust that a finding rests on. `issuer` is None if it is not in the view; `age_seconds` may be negative."""

    view: TrustView
    policy: Policy
    issuer: IssuerView | None
    tier: TrustTier
    age_seconds: int


def render_verdict(trust: TrustUsed, found: Finding, context: CheckContext, now: int) -> Verdict:
    """The verdict at `now` (epoch seconds) for a finding. Pure."""
    view, policy, issuer, tier, age_seconds = trust
    outcome, detail, decoded, expires_at, match, answered, level = found
    claims = None if decoded is None else decoded.claims
    proven = None if outcome in _UNPROVEN else claims
    if proven is not None and not answered:
        level = proven.level
    area = view.areas.risk(context.area_code, now) if context.area_code else None
    # an answer of the home is fresh, whatever the age of our own trust
    decisive_tier = TrustTier.FRESH if answered else tier
    ruling = policy.decide(
        Facts(outcome, level, decisive_tier, context.place_type, area, context.person_category)
    )
    reusable_until = None
    if outcome is Outcome.VALID and expires_at is not None:
        reusable_until = min(expires_at, now + policy.reuse_seconds)
    warnings = context.warnings + ruling.warnings
    warnings += view_warnings(view, policy, now, is_behind=detail == "clock.behind")
    if answered and tier is TrustTier.STALE:
        warnings += ("STALE_TRUST",)
    remedy = ruling.remedy
    if remedy is not None:
        remedy = _CLOCK_REMEDIES.get(detail or "", remedy)
    if view.retirements and claims is not None and claims.issuer in view.retirements:
        remedy = retirement_remedy(view.retirements[claims.issuer], claims.issuer, outcome, detail, remedy)
        if outcome is Outcome.VALID:
            warnings += ("ISSUER_RETIRES",)
    return Verdict(
        outcome=outcome,
        decision=ruling.decision,
        level=level,
        holder_match=match,
        presentation=None if claims is None else claims.presentation,
        masked_name=None if proven is None else proven.name,
        issuer=None if claims is None else claims.issuer,
        kid=None if decoded is None else decoded.sign1.kid.hex(),
        realm=view.realm,
        code_expires_at=expires_at,
        rule=ruling.rule_id,
        policy_version=policy.version,
        remedy=remedy,
        trust_version=view.snapshot_version,
        trust_tier=tier,
        trust_age_seconds=max(0, age_seconds),
        revocations_as_of=None if issuer is None else issuer.live_signed_at,
        evaluated_at=now,
        reusable_until=reusable_until,
        item_id=context.item_id,
        detail=detail,
        shown_by_relative=proven is not None and proven.shown_by_relative,
        warnings=warnings,
        place_type=context.place_type,
        area_code=context.area_code,
        person_category=context.person_category,
        areas_version=view.areas_version or 0,
    )


def view_warnings(view: TrustView, policy: Policy, now: int, *, is_behind: bool = False) -> tuple[str, ...]:
    """The faults of this machine's clock or trust folder, as stable words. `is_behind`: a code proves the first."""
    warnings: tuple[str, ...] = ()
    if is_behind or view.timestamp_signed_at > now + policy.skew_seconds:
        warnings += ("CLOCK_BEHIND",)
    elif view.clock_ahead_seconds(now) > policy.skew_seconds:
        warnings += ("CLOCK_AHEAD",)
    if view.is_clock_unchecked:
        warnings += ("CLOCK_UNCHECKED",)
    if view.is_damaged:
        warnings += ("TRUST_DAMAGED",)
    return warnings + tuple(view.kept_until)
