"""Verification: trust, a code, a place and a time in; one Verdict out. Pure, and never raises for a bad code.

Outcomes are looked for in one order, and the first that holds is the answer:

1. MALFORMED         the text breaks a rule of the format (`code.text`)
2. UNKNOWN_ISSUER    the participant it names is not in the trust, or (issuer.retired) no longer,
                     or (issuer.held_back) none of its files held yet; then as for key.held_back
3. UNKNOWN_KEY       no such key of that issuer, or one for another purpose, or iat out of its window.
                     Where the issuer's newest files are held back here, they may have the key: the
                     policy decides as for STALE trust then (key.held_back)
4. BAD_SIGNATURE     the signature does not hold, or alg is not the registered key's
5. KEY_REVOKED       the issuer killed the key, whatever the iat
6. NOT_YET_VALID     iat or nbf ahead of the clock by more than the policy's skew; or the trust's
                     own signed times are, which shows that the clock is behind
7. EXPIRED           now ≥ exp, or now ≥ iat + the policy's cap, or (issuer.retired) now ≥ the end of
                     its issuer's codes; no skew here. Where the last contact
                     showed this clock to be ahead, only what had expired before that much;
                     the rest goes on, and ends as STALE_TRUST when nothing else is found
8. REVOKED           the index is in the list of the day of exp
9. NOT_COVERED       no list of that day is known
10. STALE_TRUST      the issuer's trust is too old for this place, or step 7 was left open
11. HOLDER_MISMATCH  a document was given, and it is not the holder's
12. VALID

Then the policy decides (`policy.decide`). What it says can be done is completed for an issuer
that leaves (`retirement`), also where the code passes: its holder must be told in time.
"""

from __future__ import annotations

from healthcode.errors import DecodeError, Reason
from healthcode.identity.document import IdentityDocument
from healthcode.policy.book import Policy
from healthcode.policy.decide import Facts, decide
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Outcome
from healthcode.revocation.state import RevocationStatus
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import IssuerView, TrustView
from healthcode.verification.context import CheckContext
from healthcode.verification.retirement import retirement_remedy
from healthcode.verification.verdict import Verdict
from healthcode.wire.claims import CodeClaims, Level, Presentation
from healthcode.wire.code import DecodedCode, decode_code
from healthcode.wire.cose import ALG_ED25519, Context, verify_sign1
from healthcode.wire.holder_tag import HolderMatch, match_holder

__all__ = ["render_verdict", "verify_code", "verify_decoded"]

_PURPOSES = {Presentation.LIVE: KeyPurpose.LIVE, Presentation.PAPER: KeyPurpose.PAPER}
_ALGORITHMS = {"Ed25519": ALG_ED25519}
_KEY_HELD_BACK = "key.held_back"
# what the claims say of the person is proven by none of these; a killed key proves nothing either
_UNPROVEN = frozenset(
    {
        Outcome.MALFORMED,
        Outcome.UNKNOWN_ISSUER,
        Outcome.UNKNOWN_KEY,
        Outcome.BAD_SIGNATURE,
        Outcome.KEY_REVOKED,
    }
)


def verify_code(
    view: TrustView,
    text: str,
    context: CheckContext,
    now: int,
    *,
    document: IdentityDocument | None = None,
    holder_match: HolderMatch | None = None,
) -> Verdict:
    """The verdict on the text of a QR code at `now` (seconds since the epoch).

    `document` is matched against the holder tag (about 36 ms) once all else holds;
    `holder_match` says the result of a match made elsewhere. Raises nothing, whatever
    `text` may hold.
    """
    try:
        decoded = decode_code(text, view.realm)
    except DecodeError as error:
        return render_verdict(
            view, None, context, now, Outcome.MALFORMED, error.detail, policy=view.policy.in_force(now)
        )
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
    """The same for a code that was taken apart already."""
    policy = view.policy.in_force(now)
    issuer = view.issuers.get(decoded.claims.issuer)
    if issuer is None:
        return _unknown_issuer(view, decoded, context, now, policy)
    tier, age = view.tier(issuer.code, policy.freshness_at(context.place_type), now)
    outcome, detail = _find(view, issuer, policy, decoded, tier, now)
    if detail == _KEY_HELD_BACK:
        tier = TrustTier.STALE  # however young: it is known not to be current
    match = HolderMatch.NOT_CHECKED
    if outcome is Outcome.VALID and (document is not None or holder_match is not None):
        match = holder_match or HolderMatch.NOT_CHECKED
        if document is not None:
            match = match_holder(decoded.claims, document)
        if match is HolderMatch.MISMATCH:
            outcome, detail = Outcome.HOLDER_MISMATCH, "holder.mismatch"
    return render_verdict(
        view,
        decoded,
        context,
        now,
        outcome,
        detail,
        policy=policy,
        issuer=issuer,
        tier=(tier, age),
        match=match,
    )


def _unknown_issuer(
    view: TrustView, decoded: DecodedCode, context: CheckContext, now: int, policy: Policy
) -> Verdict:
    code = decoded.claims.issuer
    why, tier = "issuer.unknown", None
    if code in view.retirements:
        why = "issuer.retired"
    elif view.held_back.get(code, Reason.PARTICIPANT_UNKNOWN) is not Reason.PARTICIPANT_UNKNOWN:
        why, tier = "issuer.held_back", (TrustTier.STALE, now - view.timestamp_signed_at)
    return render_verdict(view, decoded, context, now, Outcome.UNKNOWN_ISSUER, why, policy=policy, tier=tier)


def effective_expiry(claims: CodeClaims, policy: Policy, issuer: IssuerView | None = None) -> int:
    """When a code stops being good: its exp, or what is earlier of iat + the policy's cap and its issuer's end."""
    capped = min(claims.expires_at, claims.issued_at + policy.max_validity_seconds[claims.presentation])
    return capped if issuer is None or issuer.codes_until is None else min(capped, issuer.codes_until)


def _find(
    view: TrustView, issuer: IssuerView, policy: Policy, decoded: DecodedCode, tier: TrustTier, now: int
) -> tuple[Outcome, str | None]:
    """Steps 3 to 10, and VALID when nothing holds."""
    claims, message = decoded.claims, decoded.sign1
    key = issuer.keys.get(message.kid)
    if key is None:
        return Outcome.UNKNOWN_KEY, _KEY_HELD_BACK if issuer.code in view.held_back else "key.unknown"
    if key.purpose is not _PURPOSES[claims.presentation]:
        return Outcome.UNKNOWN_KEY, "key.purpose"
    issued_at = claims.issued_at
    if not key.not_before <= issued_at < key.not_after:
        return Outcome.UNKNOWN_KEY, "key.window"
    if message.alg != _ALGORITHMS.get(key.alg):
        return Outcome.BAD_SIGNATURE, "signature.algorithm"
    if not verify_sign1(message, key.public, Context.CODE, view.realm):
        return Outcome.BAD_SIGNATURE, "signature.invalid"
    revocations = issuer.revocations
    if revocations is not None and message.kid in revocations.head.killed_kids:
        return Outcome.KEY_REVOKED, "key.killed"
    return _find_in_time(view, issuer, policy, claims, tier, now)


def _find_in_time(
    view: TrustView, issuer: IssuerView, policy: Policy, claims: CodeClaims, tier: TrustTier, now: int
) -> tuple[Outcome, str | None]:
    """Steps 6 to 10."""
    latest = now + policy.skew_seconds
    if (claims.not_before or claims.issued_at) > latest:
        return Outcome.NOT_YET_VALID, "code.not_yet_valid"
    if view.timestamp_signed_at > latest or (issuer.live_signed_at or 0) > latest:
        return Outcome.NOT_YET_VALID, "clock.behind"
    ahead = view.clock_ahead_seconds(now)
    surely = now - ahead if ahead > policy.skew_seconds else now
    if surely >= claims.expires_at:
        return Outcome.EXPIRED, "code.expired"
    expires_at = effective_expiry(claims, policy, issuer)
    if surely >= expires_at:
        is_retired = issuer.codes_until is not None and surely >= issuer.codes_until
        return Outcome.EXPIRED, "issuer.retired" if is_retired else "code.validity_capped"
    if issuer.revocations is None:
        return Outcome.NOT_COVERED, "revocation.no_head"
    status = issuer.revocations.status(claims.index, claims.expires_at)
    if status is RevocationStatus.REVOKED:
        return Outcome.REVOKED, "revocation.listed"
    if status is RevocationStatus.NOT_COVERED:
        return Outcome.NOT_COVERED, "revocation.day"
    if now >= expires_at:
        return Outcome.STALE_TRUST, "clock.ahead"
    if tier is TrustTier.STALE:
        return Outcome.STALE_TRUST, "trust.stale"
    return Outcome.VALID, None


def render_verdict(
    view: TrustView,
    decoded: DecodedCode | None,
    context: CheckContext,
    now: int,
    outcome: Outcome,
    detail: str | None,
    *,
    policy: Policy,
    issuer: IssuerView | None = None,
    tier: tuple[TrustTier, int] | None = None,
    match: HolderMatch = HolderMatch.NOT_CHECKED,
    answered: bool = False,
    level: Level | None = None,
) -> Verdict:
    """The verdict for an outcome that was found.

    With `answered` the home was asked: `level` is its word instead of the code's own, and the
    decision rests on that word being fresh; the verdict still tells the age of our trust.
    """
    if tier is None:
        age = now - view.timestamp_signed_at
        tier = policy.freshness_at(context.place_type).tier(age), age
    claims = None if decoded is None else decoded.claims
    proven = None if outcome in _UNPROVEN else claims
    if proven is not None and not answered:
        level = proven.level
    area = view.areas.risk(context.area_code) if context.area_code else None
    fresh = TrustTier.FRESH if answered else tier[0]
    ruling = decide(policy, Facts(outcome, level, fresh, context.place_type, area, context.person_category))
    expires_at = None if claims is None else effective_expiry(claims, policy, issuer)
    reusable = None
    if outcome is Outcome.VALID and expires_at is not None:
        reusable = min(expires_at, now + policy.reuse_seconds)
    warnings = context.warnings + ruling.warnings
    if detail == "clock.behind" or view.timestamp_signed_at > now + policy.skew_seconds:
        warnings += ("CLOCK_BEHIND",)
    elif view.clock_ahead_seconds(now) > policy.skew_seconds:
        warnings += ("CLOCK_AHEAD",)
    if answered and tier[0] is TrustTier.STALE:
        warnings += ("STALE_TRUST",)
    remedy = ruling.remedy
    if view.retirements and claims is not None and claims.issuer in view.retirements:
        remedy = retirement_remedy(view.retirements[claims.issuer], claims.issuer, outcome, detail, remedy)
        if outcome is Outcome.VALID:
            warnings += ("ISSUER_RETIRES",)
    return Verdict(
        outcome,
        ruling.decision,
        level,
        match,
        None if claims is None else claims.presentation,
        None if proven is None else proven.name,
        None if claims is None else claims.issuer,
        None if decoded is None else decoded.sign1.kid.hex(),
        view.realm,
        expires_at,
        ruling.rule_id,
        policy.version,
        remedy,
        view.snapshot_version,
        tier[0],
        max(0, tier[1]),
        None if issuer is None else issuer.live_signed_at,
        now,
        reusable,
        context.item_id,
        detail,
        proven is not None and proven.shown_by_relative,
        warnings,
    )
