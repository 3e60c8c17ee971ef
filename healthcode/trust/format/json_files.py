"""The JSON files that TUF signs: participants.json and province.json. In memory, keys are bytes and times are seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
)

from healthcode.clock import parse_rfc3339, rfc3339
from healthcode.errors import DecodeError
from healthcode.signing.purpose import KeyPurpose
from healthcode.strict_json import load_json

__all__ = [
    "ALG_NAME",
    "MAX_LINKS",
    "PUBLISHED_PURPOSES",
    "AuthorityLink",
    "JsonFile",
    "KeyProof",
    "OfficersReference",
    "ParticipantEntry",
    "ParticipantsFile",
    "ProvinceFile",
    "ProvinceKey",
    "Retirement",
    "ServiceEntry",
    "decode_json_file",
    "encode_json_file",
]

ALG_NAME = "Ed25519"
MAX_LINKS = 256
"""Authorities that a participant may have, one after another."""
PUBLISHED_PURPOSES = frozenset({KeyPurpose.LIVE, KeyPurpose.PAPER, KeyPurpose.ANSWER, KeyPurpose.QUESTION})

_Model = TypeVar("_Model", bound=BaseModel)


def _hex_in(value: Any, info: ValidationInfo) -> Any:
    if info.mode != "json":
        return value
    if not isinstance(value, str) or value != value.lower():
        raise ValueError("must be lower-case hex digits")
    return bytes.fromhex(value)


def _time_in(value: Any, info: ValidationInfo) -> Any:
    if info.mode != "json":
        return value
    if not isinstance(value, str):
        raise ValueError("must be an RFC 3339 time, like 2026-11-21T08:00:00Z")  # noqa: TRY004  pydantic reads a ValueError as a bad field
    return parse_rfc3339(value)


_HEX = (BeforeValidator(_hex_in), PlainSerializer(lambda data: data.hex(), return_type=str, when_used="json"))
Key32 = Annotated[bytes, Field(min_length=32, max_length=32), *_HEX]
Kid = Annotated[bytes, Field(min_length=8, max_length=8), *_HEX]
Signature64 = Annotated[bytes, Field(min_length=64, max_length=64), *_HEX]
Time = Annotated[int, BeforeValidator(_time_in), PlainSerializer(rfc3339, return_type=str, when_used="json")]
ParticipantCode = Annotated[str, Field(pattern=r"^[0-9]{2}$")]
HostPort = Annotated[str, Field(pattern=r"^[A-Za-z0-9._\-\[\]:]{1,255}:[0-9]{1,5}$")]
Pem = Annotated[str, Field(pattern=r"^-----BEGIN CERTIFICATE-----\n", max_length=16_384)]


class JsonFile(BaseModel):
    """Base of all signed JSON files: frozen, strict types, unknown fields ignored."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class KeyProof(JsonFile):
    """A signature by `key` over a statement that the context gives."""

    key: Key32
    signature: Signature64


class AuthorityLink(JsonFile):
    """One set of authority keys in a participant's append-only chain; the newest link is in force.

    `possession` has a proof by each key of this set, `handover` proofs by keys of the set before
    (empty in the first link). authority_chain.py makes the signed bytes.
    """

    seq: int = Field(ge=1, le=1_000_000)
    keys: tuple[Key32, ...] = Field(min_length=1, max_length=16)
    threshold: int = Field(ge=1, le=16)
    created: Time
    possession: tuple[KeyProof, ...] = Field(default=(), max_length=16)
    handover: tuple[KeyProof, ...] = Field(default=(), max_length=16)


class ServiceEntry(JsonFile):
    """The endpoint of a national service, and the CA of its certificates."""

    ca_pem: Pem
    endpoint: HostPort
    public_endpoint: HostPort | None = None


class Retirement(JsonFile):
    """When a participant leaves: it signs no code from `signs_until` on, and its codes end by `codes_until`."""

    signs_until: Time
    codes_until: Time


class ParticipantEntry(JsonFile):
    """One participant's authority chain, oldest link first, and its retirement, if any."""

    chain: tuple[AuthorityLink, ...] = Field(min_length=1, max_length=MAX_LINKS)
    retirement: Retirement | None = None


class ParticipantsFile(JsonFile):
    """policy/participants.json: the participants with their authorities, and the national services."""

    format: Literal["healthcode/participants/1"] = "healthcode/participants/1"
    realm: str
    participants: Mapping[ParticipantCode, ParticipantEntry] = Field(default_factory=dict)
    services: Mapping[str, ServiceEntry] = Field(default_factory=dict)


class ProvinceKey(JsonFile):
    """A key that a participant uses online, for things made at a time t with not_before ≤ t < not_after.

    `possession` is the key's own signature over (participant, purpose, public); see key_possession.py.
    """

    kid: Kid
    public: Key32
    alg: Literal["Ed25519"] = "Ed25519"
    purpose: KeyPurpose
    not_before: Time
    not_after: Time
    possession: Signature64


def _known_keys(value: Any, info: ValidationInfo) -> Any:
    """Drop keys of an unknown algorithm or purpose, so that a newer writer may add some."""
    if info.mode != "json" or not isinstance(value, list):
        return value
    # a tuple, not a set: the value may be of any type, also one that cannot be hashed
    words = tuple(purpose.value for purpose in PUBLISHED_PURPOSES)
    return tuple(
        item
        for item in value
        if not isinstance(item, dict) or (item.get("alg") == ALG_NAME and item.get("purpose") in words)
    )


class OfficersReference(JsonFile):
    """Which officers file of the province is in force: its version, and the SHA-256 of its signed content."""

    version: int = Field(ge=1, le=1_000_000)
    sha256: Key32


def _known_reference(value: Any, info: ValidationInfo) -> Any:
    """Drop a reference that this software cannot read: it stops officers' acts, and must not stop the codes."""
    if info.mode != "json" or value is None:
        return value
    try:
        return OfficersReference.model_validate_json(json.dumps(value))
    except ValidationError:
        return None


class ProvinceFile(JsonFile):
    """provinces/NN/province.json: what a participant's authority publishes about its node."""

    format: Literal["healthcode/province/1"] = "healthcode/province/1"
    realm: str
    participant: ParticipantCode
    name: str | None = Field(default=None, max_length=64)
    keys: Annotated[tuple[ProvinceKey, ...], BeforeValidator(_known_keys)] = Field(max_length=128)
    tls_ca: tuple[Pem, ...] = Field(default=(), max_length=8)
    endpoints: Mapping[str, HostPort] = Field(default_factory=dict)
    officers: Annotated[OfficersReference | None, BeforeValidator(_known_reference)] = None


def decode_json_file(model: type[_Model], data: bytes, max_bytes: int) -> _Model:
    """The file in `data`, of type `model`.

    Raises DecodeError: those of load_json, and document.field, which names the field.
    """
    load_json(data, max_bytes)
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DecodeError("document.field", f"{model.__name__}: {where}: {first['msg']}") from error


def encode_json_file(file: BaseModel) -> bytes:
    """The bytes of a file: sorted keys, no spaces, UTF-8. Write them once: TUF hashes them."""
    return json.dumps(
        file.model_dump(mode="json", exclude_none=True),
        sort_keys=True,
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()
