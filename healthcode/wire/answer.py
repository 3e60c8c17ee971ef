"""Answers: the home's signed word on one of its codes (docs/wire-format.md 4.2).

An answer is bound to the code's SHA-256, and in LIVE mode to the question's nonce; it is valid for at most 60 s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from healthcode.errors import DecodeError, InvalidInputError
from healthcode.identity.participant import NATIONAL_PLATFORM
from healthcode.identity.realm import Realm
from healthcode.signing.ed25519 import PrivateKey
from healthcode.wire import cbor
from healthcode.wire.claims import LEVEL_BY_NUMBER, NUMBER_BY_LEVEL, Level
from healthcode.wire.cose import Context, Sign1, decode_sign1, sign1
from healthcode.wire.question import NUMBER_BY_MODE, QueryMode, check_lifetime, check_version, decode_mode

__all__ = ["Answer", "CodeStatus", "SignedAnswer", "decode_answer", "sign_answer"]

VERSION = 1
MAX_ANSWER_BYTES = 512


class CodeStatus(StrEnum):
    """The state of a code at its home."""

    ACTIVE = "ACTIVE"
    REVOKED = "REVOKED"
    EXPIRED = "EXPIRED"
    NOT_FOUND = "NOT_FOUND"


_NUMBER_BY_STATUS = {
    CodeStatus.ACTIVE: 1,
    CodeStatus.REVOKED: 2,
    CodeStatus.EXPIRED: 3,
    CodeStatus.NOT_FOUND: 4,
}
_STATUS_BY_NUMBER = {number: status for status, number in _NUMBER_BY_STATUS.items()}


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. Times are seconds since the epoch.

    `level` and `rule` are the holder's present ones: set with ACTIVE, None with NOT_FOUND, optional otherwise.
    `sequence` grows with each change of the holder's level, so that a newer answer can be told from an older one.
    """

    home: str
    code_sha256: bytes
    mode: QueryMode
    level: Level | None
    rule: str | None
    status: CodeStatus
    sequence: int
    produced_at: int
    expires_at: int
    nonce: bytes | None = None


@dataclass(frozen=True, slots=True)
class SignedAnswer:
    """A decoded answer. Its signature is not verified yet."""

    answer: Answer
    sign1: Sign1


_ISS, _EXP, _IAT, _ANSWER = 1, 4, 6, -65539
_KEYS = (_ISS, _EXP, _IAT, _ANSWER)
_PARTICIPANT = re.compile(r"[0-9]{2}")
_RULE = re.compile(r"[A-Z0-9.-]{1,16}")
_MAX_DEPTH = 2


def sign_answer(answer: Answer, key: PrivateKey, realm: Realm) -> bytes:
    """The COSE message of an answer. Raises InvalidInputError when it breaks a rule of the format."""
    number = None if answer.level is None else NUMBER_BY_LEVEL.get(answer.level)
    if answer.level is not None and number is None:
        raise InvalidInputError(f"an answer cannot say {answer.level}")
    payload = cbor.encode(
        {
            _ISS: answer.home,
            _EXP: answer.expires_at,
            _IAT: answer.produced_at,
            _ANSWER: [
                VERSION,
                NUMBER_BY_MODE[answer.mode],
                answer.code_sha256,
                _NUMBER_BY_STATUS[answer.status],
                number,
                answer.rule,
                answer.sequence,
                answer.nonce,
            ],
        }
    )
    _decode_payload(payload)
    return sign1(payload, key, Context.ANSWER, realm)


def decode_answer(data: bytes) -> SignedAnswer:
    """Decodes an answer; verify it with `cose.verify_sign1` and Context.ANSWER.

    Raises DecodeError: those of cose and cbor, and answer.keys, answer.home,
    answer.time, answer.structure, answer.version, answer.mode, answer.nonce,
    answer.code, answer.status, answer.level, answer.level_forbidden, answer.rule,
    answer.sequence.
    """
    message = decode_sign1(data, max_bytes=MAX_ANSWER_BYTES)
    return SignedAnswer(_decode_payload(message.payload), message)


def _decode_payload(data: bytes) -> Answer:
    payload = cbor.decode(data, max_bytes=MAX_ANSWER_BYTES, max_depth=_MAX_DEPTH)
    if type(payload) is not dict or tuple(payload) != _KEYS:
        raise DecodeError("answer.keys", "an answer has the claims 1, 4, 6 and -65539, and no other")
    home, expires_at, produced_at, fields = payload.values()
    if type(home) is not str or _PARTICIPANT.fullmatch(home) is None:
        raise DecodeError("answer.home", "the home is two digits")
    check_lifetime("answer", produced_at, expires_at)
    check_version("answer", fields, 8)
    _, mode_number, code_sha256, status_number, level_number, rule, sequence, nonce = fields
    mode = decode_mode("answer", mode_number, nonce)
    if type(code_sha256) is not bytes or len(code_sha256) != 32:
        raise DecodeError("answer.code", "the code is bound by a SHA-256 of 32 bytes")
    status = _STATUS_BY_NUMBER.get(status_number) if type(status_number) is int else None
    if status is None:
        raise DecodeError("answer.status", "the status is 1 to 4")
    level = _decode_level(level_number, rule, status, home)
    if type(sequence) is not int or not 0 <= sequence < 2**63:
        raise DecodeError("answer.sequence", "the sequence is an integer from 0, below 2^63")
    return Answer(home, code_sha256, mode, level, rule, status, sequence, produced_at, expires_at, nonce)


def _decode_level(number: Any, rule: Any, status: CodeStatus, home: str) -> Level | None:
    level = None
    if number is not None:
        level = LEVEL_BY_NUMBER.get(number) if type(number) is int else None
        if level is None:
            raise DecodeError("answer.level", "the level is 1 to 5, or null")
        if level is Level.NO_ABNORMALITY and home != NATIONAL_PLATFORM:
            raise DecodeError("answer.level_forbidden", "only participant 00 may say NO_ABNORMALITY")
    if (level is None and status is CodeStatus.ACTIVE) or (level and status is CodeStatus.NOT_FOUND):
        raise DecodeError("answer.level", "ACTIVE needs a level, and NOT_FOUND must have none")
    if (rule is None) != (level is None) or (
        rule is not None and (type(rule) is not str or _RULE.fullmatch(rule) is None)
    ):
        raise DecodeError(
            "answer.rule", "the rule is 1 to 16 of A-Z, 0-9, . and -, and is set together with the level"
        )
    return level
