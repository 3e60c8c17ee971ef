"""An officer's act: a COSE_Sign1 by the officer's own key over a proposal or decision (docs/wire-format.md 9.2)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from healthcode.errors import DecodeError, PermissionDeniedError, Reason, SignatureError
from healthcode.identity.role import Role
from healthcode.signing.ed25519 import PrivateKey
from healthcode.wire import cbor
from healthcode.wire.cose import ALG_ED25519, Context, decode_sign1, sign1, verify_sign1
from province_node.officers.officers_file import OfficersFile

__all__ = ["MAX_ACT_BYTES", "Act", "Verb", "sign_act", "verify_act", "verify_act_for"]

MAX_ACT_BYTES = 512
DIGEST_BYTES = 32
_VERSION = 1
_ISS, _AUD, _IAT, _CTI, _ACT = 1, 3, 6, 7, -65541
_KEYS = (_ISS, _AUD, _IAT, _CTI, _ACT)
_LAST_SECOND = 2**40


class Verb(StrEnum):
    """What an officer does to the subject of an act."""

    PROPOSE = "PROPOSE"
    APPROVE = "APPROVE"
    REJECT = "REJECT"
    WITHDRAW = "WITHDRAW"


_ROLE_FOR = MappingProxyType(
    {
        Verb.PROPOSE: Role.HEALTH_OFFICER,
        Verb.APPROVE: Role.APPROVER,
        Verb.REJECT: Role.APPROVER,
        Verb.WITHDRAW: Role.HEALTH_OFFICER,
    }
)


@dataclass(frozen=True, slots=True)
class Act:
    """One act. `subject` is the SHA-256 of the whole content that the officer saw, `officers` the digest of the officers file."""

    home: str
    officer: str
    verb: Verb
    subject: bytes
    officers: bytes
    time: int
    request_id: str


def sign_act(key: PrivateKey, act: Act, realm: str) -> bytes:
    """The act, signed with the officer's key."""
    fields = [_VERSION, act.verb.value, act.subject, act.officers]
    claims = {_ISS: act.officer, _AUD: act.home, _IAT: act.time, _CTI: act.request_id, _ACT: fields}
    return sign1(cbor.encode(claims), key, Context.OFFICER_ACT, realm)


def verify_act(data: bytes, file: OfficersFile) -> Act:
    """The act in `data`, if an officer of `file` signed it under that file, with a role that permits the verb.

    Raises DecodeError, SignatureError (ACT_INVALID, OFFICER_UNKNOWN), PermissionDeniedError (ROLE_MISSING,
    OFFICER_REMOVED, OFFICERS_FILE_EXPIRED). A removed officer's key is not in the file.
    """
    message = decode_sign1(data, max_bytes=MAX_ACT_BYTES)
    act = _decode(message.payload)
    officer = file.find_signer(message.kid)
    if officer is None or officer.name != act.officer:
        raise SignatureError(
            f"no officer of officers file version {file.version} has this sign key and name",
            reason=Reason.OFFICER_UNKNOWN,
        )
    if message.alg != ALG_ED25519 or not verify_sign1(
        message, officer.sign_key, Context.OFFICER_ACT, file.realm
    ):
        raise _invalid("the signature is not of this officer, realm and content")
    if act.home != file.participant:
        raise _invalid(f"the act is for participant {act.home}, not for {file.participant}")
    if not hmac.compare_digest(act.officers, file.digest):
        raise _invalid(f"the act was signed under another officers file than version {file.version}")
    if act.time >= file.expires:
        raise PermissionDeniedError(
            "the officers file had expired when the act was signed", reason=Reason.OFFICERS_FILE_EXPIRED
        )
    if act.time >= officer.until:
        raise PermissionDeniedError(
            f"the appointment of {officer.name} had ended", reason=Reason.OFFICER_REMOVED
        )
    if _ROLE_FOR[act.verb] not in officer.roles:
        raise PermissionDeniedError(
            f"{officer.name} may not {act.verb}: this needs {_ROLE_FOR[act.verb]}", reason=Reason.ROLE_MISSING
        )
    return act


def verify_act_for(data: bytes, file: OfficersFile, *, officer: str, verb: Verb, subject: bytes) -> Act:
    """`verify_act`, and it is the act of this officer, verb and subject. Raises as it does."""
    act = verify_act(data, file)
    if act.officer != officer or act.verb is not verb or not hmac.compare_digest(act.subject, subject):
        raise _invalid(
            f"the signed act is not {verb} by {officer} of this content: look at it, and sign again"
        )
    return act


def _decode(payload: bytes) -> Act:
    claims = cbor.decode(payload, max_bytes=MAX_ACT_BYTES, max_depth=2)
    if type(claims) is not dict or tuple(claims) != _KEYS:
        raise DecodeError("act.keys", "an act has the claims 1, 3, 6, 7 and -65541, and no other")
    officer, home, time, request_id, fields = claims.values()
    for text, longest in ((officer, 63), (home, 2), (request_id, 64)):
        if type(text) is not str or not 0 < len(text) <= longest:
            raise DecodeError(
                "act.text", "officer, home and request id are texts of 63, 2 and 64 characters at most"
            )
    if type(time) is not int or not 0 <= time < _LAST_SECOND:
        raise DecodeError("act.time", "a time is whole seconds since 1970")
    if type(fields) is not list or len(fields) != 4:
        raise DecodeError("act.structure", "the private claim has four elements")
    version, word, subject, officers = fields
    if type(version) is not int or version != _VERSION:
        raise DecodeError("act.version", f"this software understands version {_VERSION}")
    if type(word) is not str or word not in set(Verb):
        raise DecodeError("act.verb", "the verb is " + ", ".join(Verb))
    for digest in (subject, officers):
        if type(digest) is not bytes or len(digest) != DIGEST_BYTES:
            raise DecodeError("act.digest", f"a digest is {DIGEST_BYTES} bytes")
    return Act(home, officer, Verb(word), subject, officers, time, request_id)


def _invalid(message: str) -> SignatureError:
    return SignatureError(message, reason=Reason.ACT_INVALID)
