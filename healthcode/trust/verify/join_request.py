"""The join request: the first authority link and the first publication of a new participant.

Whether it is the right authority is for two operators to decide: they compare `join_digest` with it by voice.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationInfo

from healthcode.errors import ConflictError, InvalidInputError, Reason, TrustError
from healthcode.identity.participant import may_join
from healthcode.trust.format.authority_chain import (
    Consents,
    is_without_handover,
    verify_chain,
    verify_link,
    verify_possession,
)
from healthcode.trust.format.delegation import delegator_of
from healthcode.trust.format.json_files import (
    AuthorityLink,
    JsonFile,
    ParticipantCode,
    decode_json_file,
    encode_json_file,
)
from healthcode.trust.verify.admission import CurrentProvince, check_province_publication
from healthcode.trust.verify.issuer import AuthorityPart

__all__ = [
    "MAX_JOIN_BYTES",
    "JoinRequest",
    "decode_join_request",
    "encode_join_request",
    "join_digest",
    "verify_join_request",
]

MAX_JOIN_BYTES = 262_144


def _base64_in(value: object, info: ValidationInfo) -> object:
    if info.mode != "json":
        return value
    if not isinstance(value, str):
        raise ValueError("must be base64 text")  # noqa: TRY004  pydantic reads a ValueError as a bad field
    return base64.b64decode(value, validate=True)


Base64 = Annotated[
    bytes,
    BeforeValidator(_base64_in),
    PlainSerializer(lambda data: base64.b64encode(data).decode(), return_type=str, when_used="json"),
]


class JoinRequest(JsonFile):
    """A request for admission. `metadata` and `province_json` are the first publication."""

    format: Literal["healthcode/join/1"] = "healthcode/join/1"
    realm: str
    participant: ParticipantCode
    link: AuthorityLink
    metadata: Base64 = Field(max_length=65_536)
    province_json: Base64 = Field(max_length=65_536)


def encode_join_request(request: JoinRequest) -> bytes:
    """The bytes of the request file. Write them once: the digest is over them."""
    return encode_json_file(request)


def decode_join_request(data: bytes) -> JoinRequest:
    """Untrusted bytes as a request. Raises DecodeError."""
    return decode_json_file(JoinRequest, data, MAX_JOIN_BYTES)


def join_digest(data: bytes) -> str:
    """SHA-256 of the request file, hex: both sides read it out to each other."""
    return hashlib.sha256(data).hexdigest()


def verify_join_request(
    request: JoinRequest,
    realm: str,
    now: int,
    *,
    accepted: Sequence[AuthorityLink] = (),
    current: CurrentProvince | None = None,
    consents: Consents | None = None,
) -> AuthorityPart:
    """Check a whole request; returns what its first publication says.

    `accepted` is the chain in participants.json, `current` the versions published. With a chain, the
    request's link must be the next one, with a handover or, for a lost authority, with root's
    consent; `consents=None` means that the consent may still come. Raises
    ConflictError(AUTHORITY_EXISTS) for any other authority, TrustError(REALM_MISMATCH),
    InvalidInputError for a participant that the realm cannot have, and as verify_link and
    check_province_publication.
    """
    participant = request.participant
    if request.realm != realm:
        raise TrustError(
            f"the request is for realm {request.realm}; this is {realm}", reason=Reason.REALM_MISMATCH
        )
    if not may_join(realm, participant):
        raise InvalidInputError(
            f"realm {realm} has no participant {participant}", reason=Reason.PARTICIPANT_UNKNOWN
        )
    link = request.link
    if accepted and link.seq != accepted[-1].seq + 1:
        raise ConflictError(
            f"participant {participant} has an authority already; a province keeps one. "
            "To change its keys, the present authority signs a handover",
            reason=Reason.AUTHORITY_EXISTS,
        )
    if not accepted:
        verify_chain(participant, (link,), realm)
    elif consents is None and is_without_handover(link):
        verify_possession(participant, accepted[-1], link, realm)
    else:
        verify_link(participant, accepted[-1], link, realm, consents or {})
    delegator = delegator_of(participant, request.link)
    return check_province_publication(
        participant, current, delegator, request.metadata, request.province_json, realm, now
    )
