"""A small realm with fixed keys for the gateway's tests: who may ask, who answers, and what they say."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from healthcode.policy.area import AreaRisk
from healthcode.policy.book_file import decode_policy, default_policy_bytes
from healthcode.signing.ed25519 import PrivateKey, kid
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import (
    IssuerKey,
    IssuerView,
    TrustView,
)
from healthcode.wire.answer import Answer, CodeStatus, sign_answer
from healthcode.wire.claims import Level
from healthcode.wire.question import QueryMode, QueryPurpose, Question, decode_question, sign_question

REALM = "test-gateway"
NOW = 1_800_000_000
CODE = bytes(range(200))


def private_key(participant: str, purpose: KeyPurpose) -> PrivateKey:
    """The one key that a participant has for a purpose."""
    return PrivateKey(hashlib.sha256(f"{participant} {purpose}".encode()).digest())


def issuer(participant: str, *, endpoint: str | None = None, tls_ca: tuple[str, ...] = ("CA",)) -> IssuerView:
    """A participant as its published file describes it."""
    keys = {}
    for purpose in (KeyPurpose.ANSWER, KeyPurpose.QUESTION):
        public = private_key(participant, purpose).public
        keys[kid(public)] = IssuerKey(
            kid(public), public, "Ed25519", purpose, NOW - 86400, NOW + 10 * 365 * 86400
        )
    return IssuerView(
        code=participant,
        keys=keys,
        tls_ca=tls_ca,
        endpoints={} if endpoint is None else {"federation": endpoint},
        revocations=None,
        live_signed_at=NOW,
        live_expires=NOW + 86400,
        province_version=1,
        province_expires=NOW + 86400,
        live_version=1,
        head_version=1,
    )


def view(*issuers: IssuerView) -> TrustView:
    """The trust that a gateway holds of these participants."""
    return TrustView(
        realm=REALM,
        root_version=1,
        timestamp_version=1,
        snapshot_version=1,
        targets_version=1,
        timestamp_signed_at=NOW,
        issuers={one.code: one for one in issuers},
        policy=decode_policy(default_policy_bytes()),
        areas=AreaRisk(),
        services={},
        earliest_expiry=NOW + 3600,
    )


def question(
    asker: str = "44",
    home: str = "31",
    *,
    mode: QueryMode = QueryMode.CACHED,
    code: bytes = CODE,
    number: int = 0,
    now: int = NOW,
) -> bytes:
    """A signed question."""
    asked = Question(
        asker=asker,
        home=home,
        mode=mode,
        code=code,
        purpose=QueryPurpose.ENTRY_CHECK,
        question_id=number.to_bytes(16),
        issued_at=now,
        expires_at=now + 30,
        nonce=number.to_bytes(16) if mode is QueryMode.LIVE else None,
    )
    return sign_question(asked, private_key(asker, KeyPurpose.QUESTION), REALM)


def answer(asked: bytes, *, key: PrivateKey | None = None, now: int = NOW, **changes: object) -> bytes:
    """What an honest home says to a question; `changes` make it dishonest."""
    given = decode_question(asked).question
    honest = Answer(
        home=given.home,
        code_sha256=hashlib.sha256(given.code).digest(),
        mode=given.mode,
        level=Level.GREEN,
        rule="R1",
        status=CodeStatus.ACTIVE,
        sequence=1,
        produced_at=now,
        expires_at=now + 60,
        nonce=given.nonce,
    )
    said = replace(honest, **changes)
    return sign_answer(said, key or private_key(said.home, KeyPurpose.ANSWER), REALM)
