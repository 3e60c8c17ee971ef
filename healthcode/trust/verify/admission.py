"""What the registry checks before it accepts a publication: its version, expiry and size, and all that clients check.

Pure. A refused publication changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from healthcode.errors import ConflictError, PreconditionError, Reason, SignatureError
from healthcode.trust.format.layout import TrustLimits, authority_role, live_role
from healthcode.trust.format.metadata import Targets
from healthcode.trust.format.metadata_fields import audit_checkpoint_in, live_possession_in
from healthcode.trust.verify.issuer import AuthorityPart, LivePart, verify_authority_part, verify_live_part
from healthcode.trust.verify.tls_ca import decode_tls_ca

__all__ = ["CurrentProvince", "check_live_publication", "check_province_publication"]

_LIMITS = TrustLimits()
_SKEW_SECONDS = 300


@dataclass(frozen=True, slots=True)
class CurrentProvince:
    """The versions of a participant's two roles that the registry serves now (0: none yet).

    `live_gap`: how many versions of the live role may be skipped. It is above 0 only after a restore,
    when the registry no longer knows the last versions; the node's signature gives the number.
    """

    authority_version: int = 0
    live_version: int = 0
    live_gap: int = 0


def check_province_publication(
    participant: str,
    current: CurrentProvince | None,
    targets: Targets,
    metadata_bytes: bytes,
    province_bytes: bytes,
    realm: str,
    now: int,
    limits: TrustLimits = _LIMITS,
) -> AuthorityPart:
    """What an authority wants to publish, verified.

    Raises ConflictError(VERSION_CONFLICT) unless the version is current + 1, PreconditionError if it
    has expired, SignatureError(POSSESSION_UNPROVEN) if the live key has no proof,
    DecodeError(tls_ca.…) for an entry of `tls_ca` that is no CA certificate, and as
    verify_authority_part.
    """
    part = verify_authority_part(participant, targets, metadata_bytes, province_bytes, realm, limits)
    if live_possession_in(part.targets) is None:
        raise SignatureError(
            f"{authority_role(participant)} has no proof of possession of its live key; make the request again with "
            "`province-node request`, and the bundle with `province-node authority sign`",
            reason=Reason.POSSESSION_UNPROVEN,
        )
    for pem in part.province.tls_ca:
        decode_tls_ca(pem)
    _check_version(
        authority_role(participant), 0 if current is None else current.authority_version, part.version
    )
    _check_expiry(authority_role(participant), part.expires, now)
    return part


def check_live_publication(
    authority: AuthorityPart,
    current: CurrentProvince | None,
    metadata_bytes: bytes,
    head_bytes: bytes,
    realm: str,
    now: int,
    limits: TrustLimits = _LIMITS,
) -> LivePart:
    """What a node wants to publish, verified; `authority` is the part that its authority published last.

    Raises as check_province_publication (a version above current + 1 passes within `live_gap`),
    PreconditionError if it was signed in the future by more than the skew, and DecodeError(checkpoint.…) for an audit
    checkpoint of a wrong form.
    """
    part = verify_live_part(authority, metadata_bytes, head_bytes, realm, limits)
    audit_checkpoint_in(part.targets)
    role = live_role(authority.participant)
    current = current or CurrentProvince()
    _check_version(role, current.live_version, part.version, gap=current.live_gap)
    _check_expiry(role, part.expires, now)
    if part.signed_at > now + _SKEW_SECONDS:
        raise PreconditionError(
            f"{role} was signed {part.signed_at - now} seconds in the future; set the node's clock",
            reason=Reason.INVALID_REQUEST,
        )
    return part


def _check_version(role: str, current: int, version: int, *, gap: int = 0) -> None:
    if not current < version <= current + 1 + gap:
        raise ConflictError(
            f"{role} is at version {current}, so the next is {current + 1}, not {version}",
            reason=Reason.VERSION_CONFLICT,
        )


def _check_expiry(role: str, expires: int, now: int) -> None:
    if expires <= now:
        raise PreconditionError(
            f"this metadata of {role} has expired; sign it again", reason=Reason.INVALID_REQUEST
        )
