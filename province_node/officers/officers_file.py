"""officers.json: who may act for the province, by public key. The authority's offline keys sign it.

One spelling: sorted keys, no spaces. The digest and the signatures are over the file without `signatures`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from healthcode.errors import DecodeError, InvalidInputError, Reason, SignatureError
from healthcode.identity.role import Role
from healthcode.signing.ed25519 import PrivateKey, is_valid_point, kid
from healthcode.strict_json import load_json
from healthcode.trust.format.json_files import (
    AuthorityLink,
    Key32,
    KeyProof,
    ParticipantCode,
    Time,
    encode_json_file,
)
from healthcode.wire.cose import Context, sign_detached, verify_detached

__all__ = [
    "MAX_OFFICERS_BYTES",
    "OFFICER_NAME",
    "Officer",
    "OfficersFile",
    "check_officers",
    "decode_officers_file",
    "encode_officers_file",
    "missing_officer_signatures",
    "sign_officers_file",
    "verify_officers_file",
]

MAX_OFFICERS_BYTES = 256 * 1024
_MAX_OFFICERS = 500
OFFICER_NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
_PRINTABLE = re.compile(r"\S(?:.*\S)?")


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Officer(_Strict):
    """One officer. `spki_sha256` is of the certificate's public key, `sign_key` signs the acts.

    `unit` is the office that answers for the officer; `until` is when the appointment ends.
    """

    name: str = Field(pattern=OFFICER_NAME)
    spki_sha256: Key32
    sign_key: Key32
    # words, since a strict file has no enums
    roles: tuple[Annotated[Role, Field(strict=False)], ...] = Field(min_length=1, max_length=len(Role))
    unit: str = Field(min_length=1, max_length=64)
    until: Time

    @property
    def kid(self) -> bytes:
        """The key id of `sign_key`."""
        return kid(self.sign_key)


class OfficersFile(_Strict):
    """One version of officers.json. `link` is the authority whose keys sign it, without its own proofs."""

    format: Literal["healthcode/officers/1"] = "healthcode/officers/1"
    realm: str
    participant: ParticipantCode
    version: int = Field(ge=1, le=1_000_000)
    expires: Time
    link: AuthorityLink
    officers: tuple[Officer, ...] = Field(max_length=_MAX_OFFICERS)
    signatures: tuple[KeyProof, ...] = Field(default=(), max_length=16)

    # no cached properties: a model's copy would keep them
    @property
    def content(self) -> bytes:
        """The bytes that are signed."""
        return encode_json_file(self.model_copy(update={"signatures": ()}))

    @property
    def digest(self) -> bytes:
        """SHA-256 of the signed bytes, which province.json carries."""
        return hashlib.sha256(self.content).digest()

    def find(self, name: str) -> Officer | None:
        """The officer of this name."""
        return next((each for each in self.officers if each.name == name), None)

    def find_signer(self, key_id: bytes) -> Officer | None:
        """The officer whose sign key has this id."""
        return next((each for each in self.officers if each.kid == key_id), None)


def encode_officers_file(file: OfficersFile) -> bytes:
    """The bytes of officers.json."""
    return encode_json_file(file)


def decode_officers_file(data: bytes) -> OfficersFile:
    """Untrusted bytes as an officers file; its signatures are not verified.

    Raises DecodeError: those of load_json, officers.field, officers.not_canonical, officers.duplicate, officers.key.
    """
    load_json(data, MAX_OFFICERS_BYTES)
    try:
        file = OfficersFile.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DecodeError("officers.field", f"officers file: {where}: {first['msg']}") from error
    if encode_officers_file(file) != data.rstrip(b"\n"):
        raise DecodeError(
            "officers.not_canonical", "an officers file has sorted keys, no spaces, and no more"
        )
    check_officers(file.officers)
    return file


def check_officers(officers: Sequence[Officer]) -> None:
    """Raises DecodeError for a name or key that occurs twice, a key that is none, a role twice, a unit that cannot be read."""
    for what, values in (
        ("name", [each.name for each in officers]),
        ("certificate key", [each.spki_sha256 for each in officers]),
        ("sign key", [each.sign_key for each in officers]),
        # an act finds its officer by the key id
        ("sign key id", [each.kid for each in officers]),
    ):
        if twice := _first_twice(values):
            names = [each.name for each, value in zip(officers, values, strict=True) if value == twice]
            raise DecodeError("officers.duplicate", f"the same {what} twice: {', '.join(names)}")
    for each in officers:
        if not is_valid_point(each.sign_key):
            raise DecodeError("officers.key", f"{each.name}: sign_key is not a valid Ed25519 key")
        if len(set(each.roles)) != len(each.roles):
            raise DecodeError("officers.duplicate", f"{each.name}: the same role twice")
        if not each.unit.isprintable() or _PRINTABLE.fullmatch(each.unit) is None:
            raise DecodeError("officers.field", f"{each.name}: a unit is 1 to 64 printable characters")


def sign_officers_file(file: OfficersFile, keys: Iterable[PrivateKey]) -> OfficersFile:
    """The file with the signatures of `keys` added. Raises SignatureError for a key of another authority."""
    proofs = {proof.key: proof for proof in file.signatures}
    for key in keys:
        if key.public not in file.link.keys:
            raise SignatureError(f"key {kid(key.public).hex()} is not of the authority that this file names")
        signature = sign_detached(file.content, key, Context.OFFICERS, file.realm)
        proofs[key.public] = KeyProof(key=key.public, signature=signature)
    return file.model_copy(update={"signatures": tuple(proofs[each] for each in sorted(proofs))})


def missing_officer_signatures(file: OfficersFile) -> int:
    """How many valid signatures of the file's authority are missing; 0 when it is complete."""
    signed = {
        proof.key
        for proof in file.signatures
        if proof.key in file.link.keys
        and verify_detached(file.content, proof.signature, proof.key, Context.OFFICERS, file.realm)
    }
    return max(0, file.link.threshold - len(signed))


def verify_officers_file(file: OfficersFile, *, realm: str, participant: str) -> None:
    """Verifies that this is a file of this province, and signed by the keys of the authority that it names.

    Whether that is the province's authority says the digest in province.json. Raises InvalidInputError
    (OFFICERS_FILE_FOREIGN), SignatureError (OFFICERS_FILE_UNSIGNED).
    """
    if (file.realm, file.participant) != (realm, participant):
        raise InvalidInputError(
            f"the officers file is of participant {file.participant} in realm {file.realm}, and this is {participant} in "
            f"{realm}",
            reason=Reason.OFFICERS_FILE_FOREIGN,
        )
    if missing := missing_officer_signatures(file):
        raise SignatureError(
            f"officers file version {file.version} needs {missing} more signatures by keys of the authority: "
            "`province-node authority officers sign` adds them",
            reason=Reason.OFFICERS_FILE_UNSIGNED,
        )


def _first_twice(values: Sequence[object]) -> object | None:
    seen: set[object] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None
