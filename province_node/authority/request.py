"""request.json, node → authority: the keys, CA and endpoints that a node asks its authority to sign."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from healthcode.errors import InvalidInputError
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.format.json_files import (
    JsonFile,
    Key32,
    ParticipantCode,
    ProvinceFile,
    Signature64,
    Time,
    decode_json_file,
    encode_json_file,
)
from healthcode.trust.format.key_possession import verify_key_possession, verify_proof

__all__ = ["MAX_REQUEST_BYTES", "ProvinceRequest", "decode_request", "encode_request", "verify_request"]

MAX_REQUEST_BYTES = 131_072
_BUNDLE_MARK = b'"format":"healthcode/join/1"'


class ProvinceRequest(JsonFile):
    """request.json: a node's province file, to be signed as version `version` of its role.

    `live_possession` is the node's proof of possession of the live key.
    """

    # without that proof, somebody could insert a live key of their own, and revoke the province's codes

    format: Literal["healthcode/province-request/1"] = "healthcode/province-request/1"
    realm: str
    participant: ParticipantCode
    version: int = Field(ge=1)
    live_public: Key32
    live_possession: Signature64
    created: Time
    province: ProvinceFile


def encode_request(request: ProvinceRequest) -> bytes:
    """The bytes of request.json."""
    return encode_json_file(request)


def decode_request(data: bytes) -> ProvinceRequest:
    """Untrusted bytes as a request. Raises DecodeError; InvalidInputError for a bundle, which is signed already."""
    if _BUNDLE_MARK in data:
        raise InvalidInputError(
            "this is a bundle with signatures, not a request: `province-node authority sign --bundle FILE` adds another "
            "signature"
        )
    return decode_json_file(ProvinceRequest, data, MAX_REQUEST_BYTES)


def verify_request(request: ProvinceRequest, *, participant: str, realm: str) -> None:
    """Verifies the participant and realm of a request, and the proof of possession of each key.

    Raises InvalidInputError (another participant or realm), SignatureError (POSSESSION_UNPROVEN).
    """
    if (request.realm, request.participant) != (realm, participant):
        raise InvalidInputError(
            f"the request is for participant {request.participant} in realm {request.realm}; this is the "
            f"authority of participant {participant} in realm {realm}"
        )
    province = request.province
    if (province.realm, province.participant) != (realm, participant):
        raise InvalidInputError("the province.json inside the request is for another participant or realm")
    verify_proof(participant, KeyPurpose.HEAD, request.live_public, request.live_possession, realm)
    for key in province.keys:
        verify_key_possession(participant, key, realm)
