"""Status queries: checks the home province's answer, and puts it into the verdict.

The answer replaces what our lists cannot know (VALID, NOT_COVERED, STALE_TRUST); it never heals a bad code.
"""

from __future__ import annotations

import hashlib
import hmac

from healthcode.errors import SignatureError, TrustError
from healthcode.policy.words import Outcome
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import TrustView
from healthcode.verification.context import CheckContext
from healthcode.verification.outcome import effective_expiry
from healthcode.verification.render import Finding, TrustUsed, render_verdict
from healthcode.verification.verdict import Verdict
from healthcode.wire.answer import Answer, CodeStatus, decode_answer
from healthcode.wire.claims import Level
from healthcode.wire.code import DecodedCode
from healthcode.wire.cose import ALG_ED25519, Context, verify_sign1
from healthcode.wire.question import QueryMode, Question

__all__ = ["ASKABLE", "check_answer", "unavailable_verdict", "verdict_from_answer"]

ASKABLE = frozenset({Outcome.VALID, Outcome.NOT_COVERED, Outcome.STALE_TRUST})
"""Offline outcomes that the home's answer can change."""

_OUTCOMES = {
    CodeStatus.ACTIVE: (Outcome.VALID, None),
    CodeStatus.REVOKED: (Outcome.REVOKED, "status.revoked"),
    CodeStatus.EXPIRED: (Outcome.EXPIRED, "status.expired"),
    CodeStatus.NOT_FOUND: (Outcome.NOT_FOUND, "status.not_found"),
}


def check_answer(view: TrustView, data: bytes, question: Question, now: int) -> Answer:
    """The answer to `question`, with its signature, times, and every field that binds it to the question checked.

    Raises DecodeError, SignatureError, or TrustError if the home is not in the trust.
    """
    signed = decode_answer(data)
    answer, message = signed.answer, signed.sign1
    home = view.issuers.get(question.home)
    if home is None:
        raise TrustError(f"participant {question.home} is not in the trust")
    skew = view.policy.in_force(now).skew_seconds
    key = home.keys.get(message.kid)
    if key is None or key.purpose is not KeyPurpose.ANSWER:
        raise SignatureError(f"the answer is under no ANSWER key of participant {question.home}")
    if not key.not_before <= answer.produced_at < key.not_after:
        raise SignatureError("the answer was made outside its key's window")
    if key.alg != "Ed25519" or message.alg != ALG_ED25519:
        raise SignatureError("the answer is signed by another algorithm than its key's")
    if not verify_sign1(message, key.public, Context.ANSWER, view.realm):
        raise SignatureError("the answer's signature is not valid")
    if home.revocations is not None and message.kid in home.revocations.head.killed_kids:
        raise SignatureError("the answer's key was killed by its owner")
    if answer.home != question.home or answer.mode is not question.mode:
        raise SignatureError("the answer is to another question: home or mode differ")
    if not hmac.compare_digest(answer.code_sha256, hashlib.sha256(question.code).digest()):
        raise SignatureError("the answer is to another question: it speaks of another code")
    if question.mode is QueryMode.LIVE and answer.nonce != question.nonce:
        raise SignatureError("the answer is to another question: the nonce differs")
    if answer.produced_at > now + skew:
        raise SignatureError(
            "the answer was made in the future: set the clock that is wrong, this machine's or the home's"
        )
    if now >= answer.expires_at:
        raise SignatureError("the answer has expired")
    return answer


def verdict_from_answer(
    view: TrustView, offline: Verdict, decoded: DecodedCode, answer: Answer, context: CheckContext, now: int
) -> Verdict:
    """The verdict with the home's answer in it; `offline` itself if asking cannot change it."""
    if offline.outcome not in ASKABLE:
        return offline
    outcome, detail = _OUTCOMES[answer.status]
    return _render(view, offline, decoded, context, now, outcome=outcome, detail=detail, level=answer.level)


def unavailable_verdict(
    view: TrustView, offline: Verdict, decoded: DecodedCode, context: CheckContext, now: int, detail: str
) -> Verdict:
    """The verdict if the home could not be asked: no level, never REFUSE.

    `offline` itself if asking cannot change it. `detail` is a stable dotted word for the cause.
    """
    if offline.outcome not in ASKABLE:
        return offline
    outcome = Outcome.TEMPORARILY_UNAVAILABLE
    return _render(view, offline, decoded, context, now, outcome=outcome, detail=detail, level=None)


def _render(
    view: TrustView,
    offline: Verdict,
    decoded: DecodedCode,
    context: CheckContext,
    now: int,
    *,
    outcome: Outcome,
    detail: str | None,
    level: Level | None,
) -> Verdict:
    policy = view.policy.in_force(now)
    issuer = view.issuers.get(decoded.claims.issuer)
    found = Finding(
        outcome=outcome,
        detail=detail,
        decoded=decoded,
        expires_at=effective_expiry(decoded.claims, policy, issuer),
        match=offline.holder_match,
        answered=True,
        answered_level=level,
    )
    trust = TrustUsed(view, policy, issuer, offline.trust_tier, offline.trust_age_seconds)
    return render_verdict(trust, found, context, now)
