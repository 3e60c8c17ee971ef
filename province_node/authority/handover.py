"""An authority's own files: authority.json says whose it is, handover.json carries it to a new authority."""

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
    "AuthorityFile",
    "HandoverFile",
    "decode_authority",
    "decode_handover",
    "decode_link",
    "encode_handover",
    "encode_link",
]

MAX_HANDOVER_BYTES = 131_072


class AuthorityFile(JsonFile):
    """authority.json, beside the keys: whose authority this is, and its link of the chain. No secrets."""

    format: Literal["healthcode/authority/1"] = "healthcode/authority/1"
    realm: str
    participant: ParticipantCode
    link: AuthorityLink
    previous: AuthorityLink | None = None


class HandoverFile(JsonFile):
    """handover.json, old → new authority: the new link, with the consents of the old authority so far."""

    format: Literal["healthcode/handover/1"] = "healthcode/handover/1"
    realm: str
    participant: ParticipantCode
    previous: AuthorityLink
    link: AuthorityLink

    @property
    def missing(self) -> int:
        """How many consents are missing."""
        return max(0, self.previous.threshold - len(self.link.handover))


def decode_authority(data: bytes) -> AuthorityFile:
    """The bytes of authority.json. Raises DecodeError."""
    return decode_json_file(AuthorityFile, data, MAX_HANDOVER_BYTES)


def decode_handover(data: bytes) -> HandoverFile:
    """Untrusted bytes as a handover: handover.json, or authority.json of an authority that follows another.

    Raises DecodeError, and InvalidInputError for an authority that follows none.
    """
    if b'"healthcode/authority/1"' not in data:
        return decode_json_file(HandoverFile, data, MAX_HANDOVER_BYTES)
    file = decode_json_file(AuthorityFile, data, MAX_HANDOVER_BYTES)
    if file.previous is None:
        raise InvalidInputError(
            "this is a first authority, so there is nothing to hand over: to replace one, make it with `authority init --after FILE`"
        )
    return HandoverFile(
        realm=file.realm,
        participant=file.participant,
        previous=file.previous,
        link=file.link,
    )


def decode_link(data: bytes, *, realm: str, participant: str) -> AuthorityLink:
    """The link of an authority, from its authority.json or from what `province-node chain` wrote.

    Raises DecodeError, InvalidInputError for another realm or participant.
    """
    file = decode_json_file(AuthorityFile, data, MAX_HANDOVER_BYTES)
    if (file.realm, file.participant) != (realm, participant):
        raise InvalidInputError(
            f"the file is of participant {file.participant} in realm {file.realm}, not of {participant} "
            f"in {realm}"
        )
    return file.link


def encode_link(link: AuthorityLink, *, realm: str, participant: str) -> bytes:
    """A link as a file, for `authority init --after`."""
    return encode_json_file(AuthorityFile(realm=realm, participant=participant, link=link))


def encode_handover(handover: HandoverFile) -> bytes:
    """The bytes of handover.json."""
    return encode_json_file(handover)
