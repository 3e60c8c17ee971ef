"""Checks that a home's reply answers the question. The asker verifies every answer itself too.

Here the check counts a home that sends garbage as down, and keeps unproven answers out of the cache.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from healthcode.errors import SignatureError
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import TrustView
from healthcode.wire.answer import decode_answer
from healthcode.wire.cose import Context, verify_sign1
from healthcode.wire.question import Question

__all__ = ["BoundAnswer", "verify_binding"]


@dataclass(frozen=True, slots=True)
class BoundAnswer:
    """An answer bound to its question. `proven`: its signature verifies under a published ANSWER key."""

    expires_at: int
    proven: bool


def verify_binding(view: TrustView, question: Question, answer_bytes: bytes) -> BoundAnswer:
    """Raises DecodeError if it is no answer, SignatureError if it answers another question or has a bad signature."""
    signed = decode_answer(answer_bytes)
    answer = signed.answer
    if (
        answer.home != question.home
        or answer.mode != question.mode
        or answer.nonce != question.nonce
        or answer.code_sha256 != hashlib.sha256(question.code).digest()
    ):
        raise SignatureError("the answer is for another question")
    home = view.issuers[question.home]
    key = home.keys.get(signed.sign1.kid)
    if key is None:  # not proven, but still forwarded: the home may have just rotated its keys
        return BoundAnswer(answer.expires_at, proven=False)
    if key.purpose is not KeyPurpose.ANSWER or not verify_sign1(
        signed.sign1, key.public, Context.ANSWER, view.realm
    ):
        raise SignatureError("the answer's signature is invalid")
    return BoundAnswer(answer.expires_at, proven=key in home.keys_for(KeyPurpose.ANSWER, answer.produced_at))
