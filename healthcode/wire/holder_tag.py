"""The holder tag: two bytes that let a verifier see whether a code and a card belong together.

    tag = first 2 bytes of Argon2id(type ‖ number, salt16; 19 MiB, t = 2, p = 1, 16 bytes out)
    salt16 = first 16 bytes of SHA-256("healthcode/1/holder-tag" ‖ salt8)

salt8 is drawn once a holder and day. About 21,000 citizens fit any tag, so a tag
tells nobody a number, and a stranger's card fits once in 65,536.

A code does not say from which kind of document its tag was made: that would tell
more about the person than a check needs. The rule is therefore one of issuing: a
holder who has a resident identity card is tagged by it, and others by the document
they are registered with. So a resident identity card that does not fit is a
MISMATCH, and any other document that does not fit is NOT_COMPARABLE, never a
mismatch: the holder may be registered with another one.
"""

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
    """The 2 bytes for `document` under `salt8`. Costs about 36 core-milliseconds and 19 MiB, on purpose.

    Raises InvalidInputError unless the salt is 8 bytes.
    """
    if len(salt8) != SALT_BYTES:
        raise InvalidInputError(f"a holder salt is {SALT_BYTES} bytes, this one has {len(salt8)}")
    secret = document.type.value.encode("ascii") + document.number.encode("ascii")
    salt = hashlib.sha256(_DOMAIN + salt8).digest()[:16]
    return argon2id(secret, salt, length=_OUTPUT_BYTES, operations=_OPERATIONS, memory_bytes=_MEMORY_BYTES)[
        :TAG_BYTES
    ]


def match_holder(claims: CodeClaims, document: IdentityDocument) -> HolderMatch:
    """Whether `document` is the holder's. Call it once the signature holds."""
    if claims.tag is None or claims.salt is None:
        return HolderMatch.NOT_COMPARABLE
    if hmac.compare_digest(holder_tag(document, claims.salt), claims.tag):
        return HolderMatch.MATCH
    if document.type is DocumentType.RESIDENT_ID:
        return HolderMatch.MISMATCH
    return HolderMatch.NOT_COMPARABLE
