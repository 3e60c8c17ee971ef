"""The home's signed word that its log has only grown: a consistency proof as a COSE message (docs/wire-format.md 4.4).

The signature tells a wrong proof of the home from one that was changed on its way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from healthcode.audit.checkpoint import PADDED_TO, Checkpoint, continues
from healthcode.audit.entry import HASH_BYTES, LOG_BYTES, MAX_SEQ
from healthcode.clock import LAST_SECOND
from healthcode.errors import DecodeError, InvalidInputError
from healthcode.identity.realm import Realm
from healthcode.signing.ed25519 import PrivateKey
from healthcode.wire import cbor
from healthcode.wire.cose import Context, Sign1, decode_sign1, sign1

__all__ = [
    "MAX_PROOF_BYTES",
    "ConsistencyProof",
    "GrowthQuestion",
    "SignedConsistency",
    "decode_consistency",
    "sign_consistency",
]

MAX_PROOF_BYTES = 3072
_VERSION = 1
_MAX_PATH = 64  # a log of 2^53 entries needs 54
_ISS, _IAT, _PROOF = 1, 6, -65541
_PARTICIPANT = re.compile(r"[0-9]{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class GrowthQuestion:
    """What a consistency proof is about: a log, the size of an earlier checkpoint, and that of a later one."""

    log: bytes
    first: int
    second: int

    def check(self) -> None:
        """Raises InvalidInputError, which names the field, unless a proof can exist."""
        if len(self.log) != LOG_BYTES:
            raise InvalidInputError(
                f"a log is named by {LOG_BYTES} bytes", fields={"log": "has another length"}
            )
        if not 0 < self.first < self.second <= MAX_SEQ + 1:
            raise InvalidInputError(
                "a proof goes from the size of an earlier checkpoint to that of a later one",
                fields={"first_size": "not between 0 and second_size"},
            )
        if self.first % PADDED_TO or self.second % PADDED_TO:
            raise InvalidInputError(
                f"the size of a checkpoint is a multiple of {PADDED_TO}",
                fields={"first_size": "or second_size is no multiple"},
            )


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """The statement of `home`: what `question` asks for is proved by `path`. `produced_at` in seconds."""

    home: str
    question: GrowthQuestion
    path: tuple[bytes, ...]
    produced_at: int

    def proves(self, earlier: Checkpoint, later: Checkpoint) -> bool:
        """Whether the later checkpoint contains all of the earlier one."""
        return self.question == GrowthQuestion(earlier.log, earlier.size, later.size) and continues(
            earlier, later, list(self.path)
        )


@dataclass(frozen=True, slots=True)
class SignedConsistency:
    """A decoded proof. Its signature is not verified yet."""

    proof: ConsistencyProof
    sign1: Sign1


def sign_consistency(proof: ConsistencyProof, key: PrivateKey, realm: Realm) -> bytes:
    """The COSE message of a proof. Raises DecodeError when it breaks a rule of the format."""
    question = proof.question
    payload = cbor.encode(
        {
            _ISS: proof.home,
            _IAT: proof.produced_at,
            _PROOF: [_VERSION, question.log, question.first, question.second, list(proof.path)],
        }
    )
    _decode_payload(payload)
    return sign1(payload, key, Context.AUDIT, realm)


def decode_consistency(data: bytes) -> SignedConsistency:
    """Decodes a proof; verify it with `cose.verify_sign1` and Context.AUDIT.

    Raises DecodeError: those of cose and cbor, and growth.keys, growth.home, growth.time, growth.structure,
    growth.version, growth.log, growth.size, growth.path.
    """
    message = decode_sign1(data, max_bytes=MAX_PROOF_BYTES)
    return SignedConsistency(_decode_payload(message.payload), message)


def _decode_payload(data: bytes) -> ConsistencyProof:
    payload = cbor.decode(data, max_bytes=MAX_PROOF_BYTES, max_depth=3)
    if type(payload) is not dict or tuple(payload) != (_ISS, _IAT, _PROOF):
        raise DecodeError("growth.keys", "a proof has the claims 1, 6 and -65541, and no other")
    home, produced_at, fields = payload.values()
    if type(home) is not str or _PARTICIPANT.fullmatch(home) is None:
        raise DecodeError("growth.home", "the home is two digits")
    if type(produced_at) is not int or not 0 <= produced_at <= LAST_SECOND:
        raise DecodeError("growth.time", "expected seconds since 1970")
    if type(fields) is not list or len(fields) != 5:
        raise DecodeError("growth.structure", "the claim -65541 is an array of five")
    version, log, first, second, path = fields
    if type(version) is not int or version != _VERSION:
        raise DecodeError("growth.version", f"this software knows version {_VERSION} only")
    if type(log) is not bytes or len(log) != LOG_BYTES:
        raise DecodeError("growth.log", f"a log is named by {LOG_BYTES} bytes")
    for size in (first, second):
        if type(size) is not int or not 0 < size <= MAX_SEQ + 1 or size % PADDED_TO:
            raise DecodeError("growth.size", f"the sizes are multiples of {PADDED_TO}, above 0")
    if first >= second:
        raise DecodeError("growth.size", "the first size is below the second")
    return ConsistencyProof(home, GrowthQuestion(log, first, second), _decode_path(path), produced_at)


def _decode_path(path: Any) -> tuple[bytes, ...]:
    if type(path) is not list or len(path) > _MAX_PATH:
        raise DecodeError("growth.path", f"the path is an array of at most {_MAX_PATH} hashes")
    if any(type(each) is not bytes or len(each) != HASH_BYTES for each in path):
        raise DecodeError("growth.path", f"each hash of the path has {HASH_BYTES} bytes")
    return tuple(path)
