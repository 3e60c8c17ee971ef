"""Finds the outcome for a code whose issuer is known. The first that applies, in a fixed order, is the answer."""

from __future__ import annotations

from healthcode.policy.book import Policy
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Outcome
from healthcode.revocation.state import RevocationStatus
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import IssuerView, TrustView
from healthcode.wire.claims import CodeClaims, Presentation
from healthcode.wire.code import DecodedCode
from healthcode.wire.cose import ALG_ED25519, Context, verify_sign1

__all__ = ["CLOCK_AHEAD", "CLOCK_UNCHECKED", "KEY_HELD_BACK", "effective_expiry", "find_outcome"]

CLOCK_AHEAD = "clock.ahead"
CLOCK_UNCHECKED = "clock.unchecked"
KEY_HELD_BACK = "key.held_back"
_PURPOSES = {Presentation.LIVE: KeyPurpose.LIVE, Presentation.PAPER: KeyPurpose.PAPER}
_ALGORITHMS = {"Ed25519": ALG_ED25519}


def effective_expiry(claims: CodeClaims, policy: Policy, issuer: IssuerView | None = None) -> int:
    """When a code ends: the earliest of its exp, iat + the policy's cap, and the end of its issuer's codes."""
    capped = min(claims.expires_at, claims.issued_at + policy.max_validity_seconds[claims.presentation])
    return capped if issuer is None or issuer.codes_until is None else min(capped, issuer.codes_until)


def find_outcome(
    view: TrustView,
    issuer: IssuerView,
    policy: Policy,
    decoded: DecodedCode,
    *,
    expires_at: int,
    tier: TrustTier,
    now: int,
) -> tuple[Outcome, str | None]:
    """The outcome and its detail: UNKNOWN_KEY to STALE_TRUST, else VALID. `expires_at` is the effective expiry."""
    claims, message = decoded.claims, decoded.sign1
    key = issuer.keys.get(message.kid)
    if key is None:
        # the issuer's newest files are refused here, and may have the key
        return Outcome.UNKNOWN_KEY, KEY_HELD_BACK if issuer.code in view.held_back else "key.unknown"
    if key.purpose is not _PURPOSES[claims.presentation]:
        return Outcome.UNKNOWN_KEY, "key.purpose"
    issued_at = claims.issued_at
    if not key.not_before <= issued_at < key.not_after:
        return Outcome.UNKNOWN_KEY, "key.window"
    # the algorithm is the registered key's, never the one that the token names
    if message.alg != _ALGORITHMS.get(key.alg):
        return Outcome.BAD_SIGNATURE, "signature.algorithm"
    if not verify_sign1(message, key.public, Context.CODE, view.realm):
        return Outcome.BAD_SIGNATURE, "signature.invalid"
    revocations = issuer.revocations
    # the iat does not matter: a thief of the key can choose it
    if revocations is not None and message.kid in revocations.head.killed_kids:
        return Outcome.KEY_REVOKED, "key.killed"
    return _find_by_time(view, issuer, policy, claims, expires_at, tier, now)


def _find_by_time(
    view: TrustView,
    issuer: IssuerView,
    policy: Policy,
    claims: CodeClaims,
    expires_at: int,
    tier: TrustTier,
    now: int,
) -> tuple[Outcome, str | None]:
    """NOT_YET_VALID to STALE_TRUST, else VALID."""
    latest = now + policy.skew_seconds
    if (claims.not_before or claims.issued_at) > latest:
        return Outcome.NOT_YET_VALID, "code.not_yet_valid"
    if view.timestamp_signed_at > latest or (issuer.live_signed_at or 0) > latest:
        return Outcome.NOT_YET_VALID, "clock.behind"
    # our clock may be ahead: expired for certain is only what expired before that difference
    ahead = view.clock_ahead_seconds(now)
    certain = now - ahead if ahead > policy.skew_seconds else now
    if view.is_clock_unchecked:
        certain = min(certain, view.timestamp_signed_at)  # it is later than that, whatever our clock says
    if certain >= claims.expires_at:  # no skew: it would extend every code
        return Outcome.EXPIRED, "code.expired"
    if certain >= expires_at:
        is_retired = issuer.codes_until is not None and certain >= issuer.codes_until
        return Outcome.EXPIRED, "issuer.retired" if is_retired else "code.validity_capped"
    if issuer.revocations is None:
        return Outcome.NOT_COVERED, "revocation.no_head"
    status = issuer.revocations.status(claims.index, claims.expires_at)
    if status is RevocationStatus.REVOKED:
        return Outcome.REVOKED, "revocation.listed"
    if status is RevocationStatus.NOT_COVERED:
        return Outcome.NOT_COVERED, "revocation.day"
    if now >= expires_at:
        return Outcome.STALE_TRUST, CLOCK_UNCHECKED if view.is_clock_unchecked else CLOCK_AHEAD
    if tier is TrustTier.STALE:
        return Outcome.STALE_TRUST, "trust.stale"
    return Outcome.VALID, None
