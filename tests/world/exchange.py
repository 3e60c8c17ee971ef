"""Signed questions and answers: honest by default, dishonest by `changes`."""

from __future__ import annotations

import hashlib
from typing import Any

from healthcode.signing.ed25519 import PrivateKey
from healthcode.wire.answer import Answer, CodeStatus, sign_answer
from healthcode.wire.claims import Level
from healthcode.wire.question import QueryMode, QueryPurpose, Question, decode_question, sign_question

__all__ = ["signed_answer", "signed_question"]


def signed_question(
    realm: str,
    key: PrivateKey,
    *,
    asker: str,
    home: str,
    now: int,
    mode: QueryMode = QueryMode.CACHED,
    code: bytes = b"a code",
    number: int = 0,
) -> bytes:
    """What `asker` asks `home` about a code; `number` tells questions apart."""
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
    return sign_question(asked, key, realm)


def signed_answer(realm: str, key: PrivateKey, question: bytes, *, now: int, **changes: Any) -> bytes:
    """What the home answers to a signed question: GREEN and ACTIVE."""
    asked = decode_question(question).question
    fields: dict[str, Any] = {
        "home": asked.home,
        "code_sha256": hashlib.sha256(asked.code).digest(),
        "mode": asked.mode,
        "level": Level.GREEN,
        "rule": "R1",
        "status": CodeStatus.ACTIVE,
        "sequence": 1,
        "produced_at": now,
        "expires_at": now + 60,
        "nonce": asked.nonce,
    }
    return sign_answer(Answer(**{**fields, **changes}), key, realm)
