"""Verification: trust, a code, a place and a time in; one Verdict out. Pure, and never raises for a bad code."""

from __future__ import annotations

from healthcode.errors import DecodeError, Reason
from healthcode.identity.document import IdentityDocument
from healthcode.policy.book import Policy
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Outcome
from healthcode.trust.view import TrustView
from healthcode.verification.context import CheckContext
from healthcode.verification.outcome import KEY_HELD_BACK, effective_expiry, find_outcome
from healthcode.verification.render import Finding, TrustUsed, render_verdict
from healthcode.verification.verdict import Verdict
from healthcode.wire.code import DecodedCode, decode_code
from healthcode.wire.holder_tag import HolderMatch, match_holder

__all__ = ["verify_code", "verify_decoded"]


def verify_code(
    view: TrustView,
    text: str,
    context: CheckContext,
    now: int,
    *,
    document: IdentityDocument | None = None,
    holder_match: HolderMatch | None = None,
) -> Verdict:
    """The verdict on the text of a QR code at `now` (epoch seconds). Raises nothing, whatever `text` is.

    `document` is matched against the holder tag (about 36 ms) if the code is VALID otherwise;
    `holder_match` is the result of a match made elsewhere.
    """
    try:
        decoded = decode_code(text, view.realm)
    except DecodeError as error:
        trust = _trust_without_issuer(view, view.policy.in_force(now), context, now)
        return render_verdict(trust, Finding(Outcome.MALFORMED, error.detail), context, now)
    return verify_decoded(view, decoded, context, now, document=document, holder_match=holder_match)


def verify_decoded(
    view: TrustView,
    decoded: DecodedCode,
    context: CheckContext,
    now: int,
    *,
    document: IdentityDocument | None = None,
    holder_match: HolderMatch | None = None,
) -> Verdict:
    """`verify_code` for a code that is already decoded."""
    policy = view.policy.in_force(now)
    issuer = view.issuers.get(decoded.claims.issuer)
    if issuer is None:
        return _unknown_issuer(view, policy, decoded, context, now)
    tier, age = view.tier(issuer.code, policy.freshness_at(context.place_type), now)
    expires_at = effective_expiry(decoded.claims, policy, issuer)
    outcome, detail = find_outcome(view, issuer, policy, decoded, expires_at=expires_at, tier=tier, now=now)
    if detail == KEY_HELD_BACK:
        tier = TrustTier.STALE  # whatever its age, this trust is known not to be current
    match = HolderMatch.NOT_CHECKED
    if outcome is Outcome.VALID and (document is not None or holder_match is not None):
        match = holder_match or HolderMatch.NOT_CHECKED
        if document is not None:
            match = match_holder(decoded.claims, document)
        if match is HolderMatch.MISMATCH:
            outcome, detail = Outcome.HOLDER_MISMATCH, "holder.mismatch"
    found = Finding(outcome, detail, decoded, expires_at, match)
    return render_verdict(TrustUsed(view, policy, issuer, tier, age), found, context, now)


def _unknown_issuer(
    view: TrustView, policy: Policy, decoded: DecodedCode, context: CheckContext, now: int
) -> Verdict:
    code = decoded.claims.issuer
    trust, detail = _trust_without_issuer(view, policy, context, now), "issuer.unknown"
    if code in view.retirements:
        detail = "issuer.retired"
    elif view.held_back.get(code, Reason.PARTICIPANT_UNKNOWN) is not Reason.PARTICIPANT_UNKNOWN:
        # none of its files was acceptable yet, so this trust is known not to be current
        trust, detail = trust._replace(tier=TrustTier.STALE), "issuer.held_back"
    found = Finding(Outcome.UNKNOWN_ISSUER, detail, decoded, effective_expiry(decoded.claims, policy))
    return render_verdict(trust, found, context, now)


def _trust_without_issuer(view: TrustView, policy: Policy, context: CheckContext, now: int) -> TrustUsed:
    return TrustUsed(view, policy, None, *view.registry_tier(policy.freshness_at(context.place_type), now))
