"""Answers of the home: what counts as one, and the verdict with its word in it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from healthcode.errors import HealthcodeError, SignatureError, TrustError
from healthcode.policy.words import Decision, Outcome
from healthcode.signing.ed25519 import PrivateKey, kid
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import TrustView
from healthcode.verification.context import CheckContext
from healthcode.verification.status import check_answer, unavailable_verdict, verdict_from_answer
from healthcode.verification.verdict import Verdict
from healthcode.verification.verify import verify_decoded
from healthcode.wire.answer import Answer, CodeStatus, sign_answer
from healthcode.wire.claims import Level
from healthcode.wire.code import decode_code
from healthcode.wire.question import QueryMode, QueryPurpose, Question
from tests.unit.verification.realm import (
    ANSWER,
    FOREIGN,
    LIVE,
    NOW,
    REALM,
    REVOKED_INDEX,
    code,
    issuer,
    issuer_key,
    revocations,
    view,
)

DECODED = decode_code(code(), REALM)
CONTEXT = CheckContext.of("STATION")
QUESTION = Question(
    "44", "31", QueryMode.LIVE, DECODED.cose, QueryPurpose.TRAVEL, b"q" * 16, NOW, NOW + 30, b"n" * 16
)
GOOD = Answer(
    "31",
    hashlib.sha256(DECODED.cose).digest(),
    QueryMode.LIVE,
    Level.GREEN,
    "G1",
    CodeStatus.ACTIVE,
    3,
    NOW,
    NOW + 30,
    b"n" * 16,
)


def answer(key: PrivateKey = ANSWER, realm: str = REALM, **changes: Any) -> bytes:
    return sign_answer(replace(GOOD, **changes), key, realm)


def test_the_homes_answer_counts() -> None:
    """Signed by the home's ANSWER key, to this question, in its time."""
    assert check_answer(view(), answer(), QUESTION, NOW) == GOOD


@pytest.mark.parametrize(
    ("data", "trust", "now"),
    [
        (answer(FOREIGN), view(), NOW),
        (answer(LIVE), view(), NOW),
        (answer(realm="test-other"), view(), NOW),
        (answer(home="00"), view(), NOW),
        (answer(code_sha256=b"x" * 32), view(), NOW),
        (answer(nonce=b"m" * 16), view(), NOW),
        (answer(mode=QueryMode.CACHED, nonce=None), view(), NOW),
        (answer(), view(), NOW + 30),
        (answer(), view(), NOW - 301),
        (answer(), view(issuer("31", issuer_key(ANSWER, KeyPurpose.ANSWER, not_after=NOW))), NOW),
        (answer(), view(issuer("31", issuer_key(ANSWER, KeyPurpose.ANSWER, public=FOREIGN.public))), NOW),
        (answer(), view(issuer(revocations=revocations(killed=frozenset({kid(ANSWER.public)})))), NOW),
    ],
    ids=[
        "foreign key",
        "key of another purpose",
        "other realm",
        "other home",
        "other code",
        "other nonce",
        "other mode",
        "expired",
        "from the future",
        "out of the key's window",
        "bad signature",
        "killed key",
    ],
)
def test_everything_else_is_refused(data: bytes, trust: TrustView, now: int) -> None:
    """Whoever carries an answer can neither forge nor swap nor keep it."""
    with pytest.raises(SignatureError):
        check_answer(trust, data, QUESTION, now)


def test_an_unknown_home_and_garbage_are_refused_as_ours() -> None:
    """A home outside the trust is a TrustError, garbage a DecodeError; nothing else leaves."""
    with pytest.raises(TrustError):
        check_answer(view(issuer("00")), answer(), QUESTION, NOW)
    for size in range(0, len(answer()), 7):
        with pytest.raises(HealthcodeError):
            check_answer(view(), answer()[:size], QUESTION, NOW)


def merged(trust: TrustView, **changes: Any) -> Verdict:
    offline = verify_decoded(trust, DECODED, CONTEXT, NOW)
    return verdict_from_answer(trust, offline, DECODED, replace(GOOD, **changes), CONTEXT, NOW)


@pytest.mark.parametrize(
    ("changes", "outcome", "level", "decision"),
    [
        ({}, Outcome.VALID, Level.GREEN, Decision.PASS),
        ({"level": Level.RED}, Outcome.VALID, Level.RED, Decision.REFUSE),
        ({"status": CodeStatus.REVOKED, "level": None}, Outcome.REVOKED, None, Decision.REFUSE),
        ({"status": CodeStatus.EXPIRED, "level": None}, Outcome.EXPIRED, None, Decision.REFUSE),
        ({"status": CodeStatus.NOT_FOUND, "level": None}, Outcome.NOT_FOUND, None, Decision.REFUSE),
    ],
)
def test_the_homes_word_is_in_the_verdict(
    changes: dict[str, Any], outcome: Outcome, level: Level | None, decision: Decision
) -> None:
    """Its status becomes the outcome, and its level replaces the code's own."""
    verdict = merged(view(), **changes)
    assert (verdict.outcome, verdict.level, verdict.decision) == (outcome, level, decision)


def test_the_home_knows_what_our_lists_could_not() -> None:
    """NOT_COVERED and STALE_TRUST give way to ACTIVE, and old trust is flagged."""
    uncovered = merged(view(issuer(revocations=None)))
    assert (uncovered.outcome, uncovered.warnings) == (Outcome.VALID, ())
    stale = merged(view(timestamp_signed_at=NOW - 90_000))
    assert (stale.outcome, stale.decision, stale.warnings) == (Outcome.VALID, Decision.PASS, ("STALE_TRUST",))


def test_an_answer_never_heals_a_bad_code() -> None:
    """What was refused offline stays refused, whatever the home says, and when it says nothing."""
    revoked = decode_code(code(index=REVOKED_INDEX), REALM)
    for decoded, trust in [
        (revoked, view()),
        (DECODED, view(issuer("31", issuer_key(LIVE, KeyPurpose.LIVE, public=FOREIGN.public)))),
    ]:
        offline = verify_decoded(trust, decoded, CONTEXT, NOW)
        assert verdict_from_answer(trust, offline, decoded, GOOD, CONTEXT, NOW) is offline
        assert unavailable_verdict(trust, offline, decoded, CONTEXT, NOW, "home.unreachable") is offline


def test_a_home_that_is_down_gives_no_level_and_no_refusal() -> None:
    """TEMPORARILY_UNAVAILABLE, no level, UNDECIDED."""
    offline = verify_decoded(view(), DECODED, CONTEXT, NOW)
    verdict = unavailable_verdict(view(), offline, DECODED, CONTEXT, NOW, "home.unreachable")
    assert verdict.outcome is Outcome.TEMPORARILY_UNAVAILABLE
    assert (verdict.level, verdict.decision, verdict.detail) == (None, Decision.UNDECIDED, "home.unreachable")
