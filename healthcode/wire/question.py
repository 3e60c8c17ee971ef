"""Questions: a node asks another participant about one of its codes (docs/wire-format.md 4.1).

A question carries the whole code, so that the home checks its own signature first and indices cannot be enumerated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from healthcode.clock import LAST_SECOND
from healthcode.errors import DecodeError
from healthcode.identity.realm import Realm
from healthcode.signing.ed25519 import PrivateKey
from healthcode.wire import cbor
from healthcode.wire.cose import MAX_BYTES as MAX_CODE_BYTES
from healthcode.wire.cose import Context, Sign1, decode_sign1, sign1

__all__ = [
    "ID_BYTES",
    "MAX_LIFETIME_SECONDS",
    "MAX_QUESTION_BYTES",
    "NONCE_BYTES",
    "QueryMode",
    "QueryPurpose",
    "Question",
    "SignedQuestion",
    "decode_question",
    "sign_question",
]

VERSION = 1
ID_BYTES = 16
NONCE_BYTES = 16
MAX_LIFETIME_SECONDS = 60
MAX_QUESTION_BYTES = 2048


class QueryMode(StrEnum):
    """How fresh the answer must be."""

    CACHED = "CACHED"  # up to 60 seconds old
    LIVE = "LIVE"  # bound to this question by a nonce; each question gets a new answer


class QueryPurpose(StrEnum):
    """Why the question is asked. The home counts it by asker."""

    ENTRY_CHECK = "ENTRY_CHECK"
    TRAVEL = "TRAVEL"
    MEDICAL = "MEDICAL"
    INSPECTION = "INSPECTION"


NUMBER_BY_MODE = {QueryMode.CACHED: 0, QueryMode.LIVE: 1}
MODE_BY_NUMBER = {number: mode for mode, number in NUMBER_BY_MODE.items()}
_NUMBER_BY_PURPOSE = {
    QueryPurpose.ENTRY_CHECK: 1,
    QueryPurpose.TRAVEL: 2,
    QueryPurpose.MEDICAL: 3,
    QueryPurpose.INSPECTION: 4,
}
_PURPOSE_BY_NUMBER = {number: purpose for purpose, number in _NUMBER_BY_PURPOSE.items()}


@dataclass(frozen=True, slots=True)
class Question:
    """One question, valid for at most 60 seconds. `code` is the code's COSE bytes; times are seconds since the epoch."""

    asker: str
    home: str
    mode: QueryMode
    code: bytes = field(repr=False)
    purpose: QueryPurpose
    question_id: bytes
    issued_at: int
    expires_at: int
    nonce: bytes | None = None


@dataclass(frozen=True, slots=True)
class SignedQuestion:
    """A decoded question. Its signature is not verified yet."""

    question: Question
    sign1: Sign1


_ISS, _AUD, _EXP, _IAT, _CTI, _QUESTION = 1, 3, 4, 6, 7, -65538
_KEYS = (_ISS, _AUD, _EXP, _IAT, _CTI, _QUESTION)
_PARTICIPANT = re.compile(r"[0-9]{2}")
_MAX_DEPTH = 2


def sign_question(question: Question, key: PrivateKey, realm: Realm) -> bytes:
    """The COSE message of a question. Raises InvalidInputError when it breaks a rule of the format."""
    payload = cbor.encode(
        {
            _ISS: question.asker,
            _AUD: question.home,
            _EXP: question.expires_at,
            _IAT: question.issued_at,
            _CTI: question.question_id,
            _QUESTION: [
                VERSION,
                NUMBER_BY_MODE[question.mode],
                question.code,
                _NUMBER_BY_PURPOSE[question.purpose],
                question.nonce,
            ],
        }
    )
    _decode_payload(payload)
    return sign1(payload, key, Context.QUESTION, realm)


def decode_question(data: bytes) -> SignedQuestion:
    """Decodes a question; verify it with `cose.verify_sign1` and Context.QUESTION.

    Raises DecodeError: those of cose and cbor, and question.keys, question.participant,
    question.time, question.id, question.structure, question.version, question.mode,
    question.code, question.purpose, question.nonce.
    """
    message = decode_sign1(data, max_bytes=MAX_QUESTION_BYTES)
    return SignedQuestion(_decode_payload(message.payload), message)


def _decode_payload(data: bytes) -> Question:
    payload = cbor.decode(data, max_bytes=MAX_QUESTION_BYTES, max_depth=_MAX_DEPTH)
    if type(payload) is not dict or tuple(payload) != _KEYS:
        raise DecodeError("question.keys", "a question has the claims 1, 3, 4, 6, 7 and -65538, and no other")
    asker, home, expires_at, issued_at, question_id, fields = payload.values()
    for code in (asker, home):
        if type(code) is not str or _PARTICIPANT.fullmatch(code) is None:
            raise DecodeError("question.participant", "asker and home are two digits each")
    check_lifetime("question", issued_at, expires_at)
    if type(question_id) is not bytes or len(question_id) != ID_BYTES:
        raise DecodeError("question.id", f"the id is {ID_BYTES} bytes")
    check_version("question", fields, 5)
    _, number, cose, purpose_number, nonce = fields[:5]
    mode = decode_mode("question", number, nonce)
    if type(cose) is not bytes or not 0 < len(cose) <= MAX_CODE_BYTES:
        raise DecodeError("question.code", f"the code is 1 to {MAX_CODE_BYTES} bytes of COSE")
    purpose = _PURPOSE_BY_NUMBER.get(purpose_number) if type(purpose_number) is int else None
    if purpose is None:
        raise DecodeError("question.purpose", "the purpose is 1 to 4")
    return Question(asker, home, mode, cose, purpose, question_id, issued_at, expires_at, nonce)


def check_lifetime(kind: str, issued_at: Any, expires_at: Any) -> None:
    """Refuses times that are not integers, or are more than 60 seconds apart (`<kind>.time`)."""
    if type(issued_at) is not int or type(expires_at) is not int:
        raise DecodeError(f"{kind}.time", "a time is whole seconds since 1970")
    if not 0 <= issued_at < expires_at <= issued_at + MAX_LIFETIME_SECONDS or expires_at > LAST_SECOND:
        raise DecodeError(f"{kind}.time", f"it expires 1 to {MAX_LIFETIME_SECONDS} seconds after it was made")


def check_version(kind: str, fields: Any, count: int) -> None:
    """Refuses an array that is not of version 1, or has not `count` elements."""
    if type(fields) is not list or not fields:
        raise DecodeError(f"{kind}.structure", "the private claim is an array that begins with its version")
    if type(fields[0]) is not int or fields[0] != VERSION:
        raise DecodeError(f"{kind}.version", f"this software understands version {VERSION}")
    if len(fields) != count:
        raise DecodeError(f"{kind}.structure", f"the private claim has {count} elements")


def decode_mode(kind: str, number: Any, nonce: Any) -> QueryMode:
    """The mode, if it agrees with the nonce: LIVE has one of 16 bytes, CACHED has none."""
    mode = MODE_BY_NUMBER.get(number) if type(number) is int else None
    if mode is None:
        raise DecodeError(f"{kind}.mode", "the mode is 0 (CACHED) or 1 (LIVE)")
    if mode is QueryMode.CACHED and nonce is not None:
        raise DecodeError(f"{kind}.nonce", "CACHED carries no nonce")
    if mode is QueryMode.LIVE and (type(nonce) is not bytes or len(nonce) != NONCE_BYTES):
        raise DecodeError(f"{kind}.nonce", f"LIVE carries a nonce of {NONCE_BYTES} bytes")
    return mode
