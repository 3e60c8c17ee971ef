"""What one participant publishes, verified: its authority's part and its node's part.

Used by the registry for admission and by every client. Earlier versions are checked in rollback.py and admission.py.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from tuf.api.exceptions import LengthOrHashMismatchError

from healthcode.audit.checkpoint import Checkpoint
from healthcode.errors import DecodeError, Reason, SignatureError, TrustError
from healthcode.revocation.day import day_of
from healthcode.revocation.head import Head, decode_head
from healthcode.signing.ed25519 import is_valid_point
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.format.delegation import verify_live_form, verify_province_form
from healthcode.trust.format.json_files import ProvinceFile, decode_json_file
from healthcode.trust.format.key_possession import verify_key_possession, verify_proof
from healthcode.trust.format.layout import (
    MAX_LIVE_WINDOW_SECONDS,
    MAX_PAPER_WINDOW_SECONDS,
    TrustLimits,
    authority_role,
    head_path,
    live_role,
    province_path,
)
from healthcode.trust.format.metadata import (
    Metadata,
    Targets,
    decode_metadata,
    expires_at,
    signing_keys,
    target_of,
    verify_threshold,
)
from healthcode.trust.format.metadata_fields import audit_checkpoint_in, live_possession_in, signed_at
from healthcode.trust.format.tuf_keys import tuf_key

__all__ = [
    "AuthorityPart",
    "LivePart",
    "verify_authority_content",
    "verify_authority_part",
    "verify_live_part",
    "verify_target",
]

_LIMITS = TrustLimits()

_MAX_WINDOW_SECONDS = {
    KeyPurpose.LIVE: MAX_LIVE_WINDOW_SECONDS,
    KeyPurpose.PAPER: MAX_PAPER_WINDOW_SECONDS,
}


@dataclass(frozen=True, slots=True)
class AuthorityPart:
    """What a participant's authority signed: role province-NN and province.json."""

    participant: str
    targets: Targets
    province: ProvinceFile

    @property
    def province_sha256(self) -> bytes:
        """SHA-256 of province.json, as signed."""
        return bytes.fromhex(self.targets.targets[province_path(self.participant)].hashes["sha256"])

    @property
    def version(self) -> int:
        """Version of the role's metadata."""
        version: int = self.targets.version
        return version

    @property
    def expires(self) -> int:
        """When the role's metadata expires, in seconds."""
        return expires_at(self.targets)


@dataclass(frozen=True, slots=True)
class LivePart:
    """What a participant's node signed: role province-NN-live and its revocation head."""

    participant: str
    targets: Targets
    head: Head
    signed_at: int

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint of the node's audit log; None if there is none that this software reads."""
        # The registry refuses a wrong one. If one comes all the same, the codes and revocations beside it still count.
        with suppress(DecodeError):
            return audit_checkpoint_in(self.targets)
        return None

    @property
    def version(self) -> int:
        """Version of the role's metadata."""
        version: int = self.targets.version
        return version

    @property
    def expires(self) -> int:
        """When the role's metadata expires, in seconds."""
        return expires_at(self.targets)


def verify_target(targets: Targets, path: str, data: bytes) -> None:
    """Check a file against its entry in the role. Raises TrustError(FILE_UNKNOWN | SIGNATURE_INVALID)."""
    listed = target_of(targets, path)
    if listed is None:
        raise TrustError(f"{path} is not listed by its role", reason=Reason.FILE_UNKNOWN)
    if "sha256" not in listed.hashes:
        raise TrustError(f"{path} is listed without a SHA-256", reason=Reason.SIGNATURE_INVALID)
    try:
        listed.verify_length_and_hashes(data)
    except LengthOrHashMismatchError as error:
        raise TrustError(
            f"{path} is not the file that its role signed: length or hash differ",
            reason=Reason.SIGNATURE_INVALID,
        ) from error


def _verify_signed(delegator: Targets, role: str, metadata: Metadata[Targets]) -> None:
    """As verify_threshold, but SIGNATURE_FOREIGN if all signatures are by keys outside the role."""
    try:
        verify_threshold(delegator, role, metadata)
    except SignatureError as error:
        own, _ = signing_keys(delegator, role)
        signers = set(metadata.signatures)
        if not signers or signers & {tuf_key(key).keyid for key in own}:
            raise
        raise SignatureError(
            f"{error.message}; the keys that signed it are not keys of that role now",
            reason=Reason.SIGNATURE_FOREIGN,
        ) from error


def verify_authority_part(
    participant: str,
    delegator: Targets,
    metadata_bytes: bytes,
    province_bytes: bytes,
    realm: str,
    limits: TrustLimits = _LIMITS,
) -> AuthorityPart:
    """Check what a participant's authority published, signatures first.

    `delegator` names the keys that the participant's own authority chain gives, whatever else the
    registry serves. Raises SignatureError (too few signatures, a key without possession),
    TrustError (paths, hash, participant, realm, window), DecodeError.
    """
    role = authority_role(participant)
    metadata = decode_metadata(metadata_bytes, Targets, limits.province_metadata_bytes)
    _verify_signed(delegator, role, metadata)
    return verify_authority_content(participant, metadata.signed, province_bytes, realm, limits)


def verify_authority_content(
    participant: str, targets: Targets, province_bytes: bytes, realm: str, limits: TrustLimits = _LIMITS
) -> AuthorityPart:
    """As verify_authority_part without the signatures: for key holders before they sign."""
    verify_province_form(targets, participant)
    verify_target(targets, province_path(participant), province_bytes)
    province = decode_json_file(ProvinceFile, province_bytes, limits.province_bytes)
    where = province_path(participant)
    if province.realm != realm:
        raise TrustError(f"{where} is of realm {province.realm}, not {realm}", reason=Reason.REALM_MISMATCH)
    if province.participant != participant:
        raise TrustError(
            f"{where} speaks for participant {province.participant}", reason=Reason.PATH_FORBIDDEN
        )
    _verify_keys(province, participant, realm)
    _verify_live_keys(targets, participant, realm)
    return AuthorityPart(participant, targets, province)


def _verify_live_keys(targets: Targets, participant: str, realm: str) -> None:
    """Check that the live keys are valid points, and their proofs of possession if the metadata has any."""
    # The registry demands these proofs (admission.py); clients still accept older metadata without them.
    proofs = live_possession_in(targets)
    keys, _ = signing_keys(targets, live_role(participant))
    for key in keys:
        if not is_valid_point(key):
            raise TrustError(
                f"{authority_role(participant)} delegates to a key that is not a valid Ed25519 key",
                reason=Reason.POSSESSION_UNPROVEN,
            )
        if proofs is not None:
            verify_proof(participant, KeyPurpose.HEAD, key, proofs.get(tuf_key(key).keyid, b""), realm)


def _verify_keys(province: ProvinceFile, participant: str, realm: str) -> None:
    seen: set[bytes] = set()
    for key in province.keys:
        where = f"participant {participant}: {key.purpose} key {key.kid.hex()}"
        if key.kid in seen:
            raise DecodeError(
                "province.kid_twice", f"{where} is listed twice; a key has one purpose and one window"
            )
        seen.add(key.kid)
        longest = _MAX_WINDOW_SECONDS.get(key.purpose)
        length = key.not_after - key.not_before
        if length <= 0 or (longest is not None and length > longest):
            raise DecodeError(
                "province.window",
                f"{where} has a window of {length} seconds; {longest or 'more than 0'} is allowed",
            )
        verify_key_possession(participant, key, realm)


def verify_live_part(
    authority: AuthorityPart,
    metadata_bytes: bytes,
    head_bytes: bytes,
    realm: str,
    limits: TrustLimits = _LIMITS,
) -> LivePart:
    """Check what a participant's node published under the key that its authority delegates to, signature first.

    Raises as verify_authority_part. The lists that the head names are not read here.
    """
    participant = authority.participant
    role = live_role(participant)
    metadata = decode_metadata(metadata_bytes, Targets, limits.province_metadata_bytes)
    _verify_signed(authority.targets, role, metadata)
    verify_live_form(metadata.signed, participant)
    verify_target(metadata.signed, head_path(participant), head_bytes)
    head = decode_head(head_bytes, realm=realm, issuer=participant, max_bytes=limits.head_bytes)
    part = LivePart(participant, metadata.signed, head, signed_at(metadata.signed))
    _verify_head_version(part, role)
    return part


def _verify_head_version(part: LivePart, role: str) -> None:
    """Check that the head is not ahead of its metadata and covers the day on which it was signed."""
    # Nothing goes back, so a head that leapt ahead with a stolen live key would block the province's own node.
    # Metadata versions cannot leap: the registry accepts only the next one.
    newest = max([part.head.version, *(entry.version for entry in part.head.days.values())])
    if newest > part.version:
        raise TrustError(
            f"{head_path(part.participant)} is at version {newest}, ahead of {role} at version {part.version}",
            reason=Reason.TRUST_FAST_FORWARD,
        )
    if part.head.covered_from > day_of(part.signed_at):
        raise TrustError(
            f"{head_path(part.participant)} covers no day before {part.head.covered_from}, "
            f"and was signed on day {day_of(part.signed_at)}",
            reason=Reason.NOT_COVERED,
        )
