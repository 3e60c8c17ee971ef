"""Whether what a home sent back is an answer to the question that was asked.

The asker checks everything itself; the gateway looks so that a home which sends
garbage counts as down, and so that nothing enters the cache that is not proven.
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
    """An answer that is bound to its question. `proven`: under an ANSWER key of the home that we know."""

    expires_at: int
    proven: bool


def verify_binding(view: TrustView, question: Question, answer_bytes: bytes) -> BoundAnswer:
    """Raises DecodeError for garbage, SignatureError for an answer to something else or by somebody else.

    An answer under a key that our trust data does not show yet is not proven, and
    is still carried: the home may have rotated its keys a moment ago.
    """
    signed = decode_answer(answer_bytes)
    answer = signed.answer
    if (
        answer.home != question.home
        or answer.mode != question.mode
        or answer.nonce != question.nonce
        or answer.code_sha256 != hashlib.sha256(question.code).digest()
    ):
        raise SignatureError("the answer belongs to another question")
    home = view.issuers[question.home]
    key = home.keys.get(signed.sign1.kid)
    if key is None:
        return BoundAnswer(answer.expires_at, proven=False)
    if key.purpose is not KeyPurpose.ANSWER or not verify_sign1(
        signed.sign1, key.public, Context.ANSWER, view.realm
    ):
        raise SignatureError("the answer's signature does not hold")
    return BoundAnswer(answer.expires_at, proven=key in home.keys_for(KeyPurpose.ANSWER, answer.produced_at))
