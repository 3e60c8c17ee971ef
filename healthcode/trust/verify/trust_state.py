"""The files of a generation, as bytes (`TrustFiles`) and verified (`TrustState`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from healthcode.errors import Reason
from healthcode.policy.area import AreaRisk, decode_areas
from healthcode.trust.format.delegation import verify_areas_form
from healthcode.trust.format.layout import AREAS_ROLE, RISK_PATH, TrustLimits, list_file
from healthcode.trust.format.metadata import (
    Targets,
    decode_metadata,
    expires_at,
    signing_keys,
    verify_threshold,
)
from healthcode.trust.verify.issuer import verify_target
from healthcode.trust.verify.issuer_trust import IssuerFiles, IssuerTrust
from healthcode.trust.verify.national import NationalFiles, NationalTrust
from healthcode.trust.view import TrustView

__all__ = ["AreaFiles", "AreaTrust", "Rejected", "TrustFiles", "TrustState", "Witness", "verify_areas"]

_LIMITS = TrustLimits()


@dataclass(frozen=True, slots=True)
class Rejected:
    """A participant (or "areas") whose newest files were refused; its last good files stay in use."""

    participant: str
    reason: Reason
    message: str


# If the registry serves a chain or a delegation that does not follow from the accepted one, the participant keeps
# its last good files. They are verified under the older signed files below, so nothing unsigned is trusted.
@dataclass(frozen=True, slots=True)
class Witness:
    """Signed evidence of an older authority chain: targets metadata and the participants.json it signs."""

    targets: bytes
    participants: bytes


@dataclass(frozen=True, slots=True)
class AreaFiles:
    """Metadata of the role `areas`, and areas/risk.json."""

    metadata: bytes
    risk: bytes


@dataclass(frozen=True, slots=True)
class TrustFiles:
    """All files of a generation except the lists, which the heads name.

    `witnesses` is by participant, for those whose accepted chain is not in the current national files.
    `rejected` is for an operator to read and decides nothing. `sightings`, by `NN/<digest>`, is
    when an authority link that must wait was first seen: a note of our own, which can only delay.
    """

    national: NationalFiles
    areas: AreaFiles | None
    issuers: Mapping[str, IssuerFiles]
    witnesses: Mapping[str, Witness] = field(default_factory=dict)
    rejected: tuple[Rejected, ...] = ()
    sightings: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AreaTrust:
    """areas/risk.json, verified."""

    files: AreaFiles
    version: int
    expires: int
    risk: AreaRisk


@dataclass(frozen=True, slots=True)
class TrustState:
    """A whole generation, verified."""

    files: TrustFiles
    national: NationalTrust
    areas: AreaTrust | None
    issuers: Mapping[str, IssuerTrust]
    view: TrustView

    @property
    def list_paths(self) -> tuple[str, ...]:
        """The path of every revocation list that the heads name."""
        return tuple(list_file(digest) for issuer in self.issuers.values() for digest in issuer.list_digests)


def verify_areas(
    files: AreaFiles,
    national: NationalTrust,
    previous: AreaTrust | None = None,
    limits: TrustLimits = _LIMITS,
) -> AreaTrust:
    """Check the area risk under the role that targets delegates. Raises SignatureError, TrustError, DecodeError."""
    metadata = decode_metadata(files.metadata, Targets, limits.province_metadata_bytes)
    signing_keys(national.targets, AREAS_ROLE)
    verify_threshold(national.targets, AREAS_ROLE, metadata)
    if previous is not None and previous.files == files:
        return previous
    verify_areas_form(metadata.signed)
    verify_target(metadata.signed, RISK_PATH, files.risk)
    return AreaTrust(files, metadata.signed.version, expires_at(metadata.signed), decode_areas(files.risk))
