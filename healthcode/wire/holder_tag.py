"""The holder tag: two bytes by which a verifier compares a code with an identity document (ADR 0004)."""

from __future__ import annotations

import hashlib
import hmac
from enum import StrEnum

from healthcode.errors import InvalidInputError
from healthcode.identity.document import DocumentType, IdentityDocument
from healthcode.signing.kdf import argon2id
from healthcode.wire.claims import SALT_BYTES, TAG_BYTES, CodeClaims

__all__ = ["HolderMatch", "holder_tag", "match_holder"]

_DOMAIN = b"healthcode/1/holder-tag"
_OPERATIONS = 2
_MEMORY_BYTES = 19 * 1024 * 1024
_OUTPUT_BYTES = 16


class HolderMatch(StrEnum):
    """Whether a document belongs to a code."""

    NOT_CHECKED = "NOT_CHECKED"
    MATCH = "MATCH"
    MISMATCH = "MISMATCH"
    NOT_COMPARABLE = "NOT_COMPARABLE"


def holder_tag(document: IdentityDocument, salt8: bytes) -> bytes:
    """The tag of `document`: the first 2 bytes of Argon2id(type ‖ number, salt; 19 MiB, t = 2, p = 1).

    `salt8` is drawn once a holder and day. Costs about 36 core-milliseconds and 19 MiB, so that guessing is slow.
    Raises InvalidInputError unless the salt has 8 bytes.
    """
    if len(salt8) != SALT_BYTES:
        raise InvalidInputError(f"a holder salt is {SALT_BYTES} bytes, this one has {len(salt8)}")
    secret = document.type.value.encode("ascii") + document.number.encode("ascii")
    salt = hashlib.sha256(_DOMAIN + salt8).digest()[:16]
    return argon2id(secret, salt, length=_OUTPUT_BYTES, operations=_OPERATIONS, memory_bytes=_MEMORY_BYTES)[
        :TAG_BYTES
    ]


def match_holder(claims: CodeClaims, document: IdentityDocument) -> HolderMatch:
    """Whether `document` is the holder's. Verify the signature of the code first."""
    if claims.tag is None or claims.salt is None:
        return HolderMatch.NOT_COMPARABLE
    if hmac.compare_digest(holder_tag(document, claims.salt), claims.tag):
        return HolderMatch.MATCH
    # Issuers tag a holder who has a resident identity card by that card. A holder may be registered with any other
    # document, so only a resident card that does not match is a mismatch.
    if document.type is DocumentType.RESIDENT_ID:
        return HolderMatch.MISMATCH
    return HolderMatch.NOT_COMPARABLE
