"""An authority's own papers: whose it is, and how one authority follows another.

authority.json   beside the keys: whose authority this is, and its link of the chain
handover.json    old authority → new authority: the new link, with the consents it has so far
"""

from __future__ import annotations

from typing import Literal

from healthcode.errors import InvalidInputError
from healthcode.trust.format.json_files import (
    AuthorityLink,
    JsonFile,
    ParticipantCode,
    decode_json_file,
    encode_json_file,
)

__all__ = [
    "AuthorityDocument",
    "HandoverDocument",
    "decode_authority",
    "decode_handover",
    "decode_link",
    "encode_handover",
    "encode_link",
]

MAX_HANDOVER_BYTES = 131_072


class AuthorityDocument(JsonFile):
    """authority.json: whose authority this is, and its link of the chain. Nothing in it is secret."""

    format: Literal["healthcode/authority/1"] = "healthcode/authority/1"
    realm: str
    participant: ParticipantCode
    link: AuthorityLink
    previous: AuthorityLink | None = None


class HandoverDocument(JsonFile):
    """handover.json: the link of a new authority, with the consents that it has so far of the one before."""

    format: Literal["healthcode/handover/1"] = "healthcode/handover/1"
    realm: str
    participant: ParticipantCode
    previous: AuthorityLink
    link: AuthorityLink

    @property
    def missing(self) -> int:
        """How many consents it still needs."""
        return max(0, self.previous.threshold - len(self.link.handover))


def decode_authority(data: bytes) -> AuthorityDocument:
    """The bytes of authority.json. Raises DecodeError."""
    return decode_json_file(AuthorityDocument, data, MAX_HANDOVER_BYTES)


def decode_handover(data: bytes) -> HandoverDocument:
    """Untrusted bytes as a handover: handover.json, or authority.json of an authority that follows another.

    Raises DecodeError, and InvalidInputError for an authority that follows none.
    """
    if b'"healthcode/authority/1"' not in data:
        return decode_json_file(HandoverDocument, data, MAX_HANDOVER_BYTES)
    document = decode_json_file(AuthorityDocument, data, MAX_HANDOVER_BYTES)
    if document.previous is None:
        raise InvalidInputError("this authority follows no other: make it with `authority init --after FILE`")
    return HandoverDocument(
        realm=document.realm,
        participant=document.participant,
        previous=document.previous,
        link=document.link,
    )


def decode_link(data: bytes, *, realm: str, participant: str) -> AuthorityLink:
    """The link of an authority, from its authority.json or from what `province-node chain` wrote.

    Raises DecodeError, InvalidInputError for another realm or participant.
    """
    document = decode_json_file(AuthorityDocument, data, MAX_HANDOVER_BYTES)
    if (document.realm, document.participant) != (realm, participant):
        raise InvalidInputError(
            f"the file is of participant {document.participant} in realm {document.realm}, not of {participant} "
            f"in {realm}"
        )
    return document.link


def encode_link(link: AuthorityLink, *, realm: str, participant: str) -> bytes:
    """A link as a file, for `authority init --after`."""
    return encode_json_file(AuthorityDocument(realm=realm, participant=participant, link=link))


def encode_handover(handover: HandoverDocument) -> bytes:
    """The bytes of handover.json."""
    return encode_json_file(handover)
