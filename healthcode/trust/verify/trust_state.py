"""The files of a generation, as bytes (`TrustFiles`) and verified (`TrustState`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from healthcode.clock import rfc3339
from healthcode.errors import DecodeError, Reason
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
from healthcode.trust.verify.national import NationalFiles, NationalTrust, Newer
from healthcode.trust.view import TrustView

__all__ = [
    "AreaFiles",
    "AreaTrust",
    "Rejected",
    "TrustFiles",
    "TrustState",
    "Witness",
    "newer_files",
    "verify_areas",
]

_LIMITS = TrustLimits()


@dataclass(frozen=True, slots=True)
class Rejected:
    """A participant (or "areas", "policy") whose newest files were refused; its last good files stay in use."""

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
    """Metadata of the role `areas`, and areas/risk.json.

    `kept` are the last ones that could be read, if these are of a newer format than this software reads.
    """

    metadata: bytes
    risk: bytes
    kept: AreaFiles | None = None


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
    """areas/risk.json, verified. With `newer` it cannot be read, and `risk` is what the kept one says."""

    files: AreaFiles
    version: int
    expires: int
    risk: AreaRisk
    newer: Newer | None = None


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

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        """Everything whose newest files were refused."""
        return (*newer_files(self.national, self.areas), *self.files.rejected)


def newer_files(national: NationalTrust, areas: AreaTrust | None) -> Iterator[Rejected]:
    """The policy and the areas, if they are of a newer format than this software reads."""
    found = {"policy": national.newer_policy, AREAS_ROLE: None if areas is None else areas.newer}
    for what, newer in found.items():
        if newer is None:
            continue
        until = f"the last one before it serves, and counts as STALE from {rfc3339(newer.kept_until)} on"
        serves = until if newer.kept_until else "there is none before it, so all trust counts as STALE"
        yield Rejected(what, Reason.FORMAT_NEWER, f"{newer.why}; {serves}")


def verify_areas(
    files: AreaFiles,
    national: NationalTrust,
    previous: AreaTrust | None = None,
    limits: TrustLimits = _LIMITS,
) -> AreaTrust:
    """Check the area risk under the role that targets delegates. Raises SignatureError, TrustError, DecodeError.

    Areas of a newer format are no error: then the kept ones are checked, under the same role.
    """
    signed = _signed_areas(files.metadata, national, limits)
    if files.kept is not None:
        _signed_areas(files.kept.metadata, national, limits)
    if previous is not None and previous.files == files:
        return previous
    verify_areas_form(signed)
    verify_target(signed, RISK_PATH, files.risk)
    newer: Newer | None = None
    try:
        risk = decode_areas(files.risk)
    except DecodeError as error:
        if error.reason is not Reason.FORMAT_NEWER:
            raise
        kept = None if files.kept is None else verify_areas(files.kept, national, limits=limits)
        risk = AreaRisk() if kept is None else kept.risk
        newer = Newer(error.message, 0 if kept is None else kept.expires)
    return AreaTrust(files, signed.version, expires_at(signed), risk, newer)


def _signed_areas(data: bytes, national: NationalTrust, limits: TrustLimits) -> Targets:
    """Metadata of the role `areas`, signed by the keys that targets names now."""
    metadata = decode_metadata(data, Targets, limits.province_metadata_bytes)
    signing_keys(national.targets, AREAS_ROLE)
    verify_threshold(national.targets, AREAS_ROLE, metadata)
    return metadata.signed
