"""Area risk in a carried file, which operators approve on their own machines, without a registry."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from healthcode.errors import DecodeError, Reason, TrustError
from healthcode.trust.format.layout import AREAS_ROLE, RISK_PATH
from healthcode.trust.format.metadata import Root, Targets, decode_metadata, verify_threshold
from healthcode.trust.format.metadata_fields import realm_of
from healthcode.trust.verify.issuer import verify_target
from healthcode.trust.verify.roots import root_fingerprint
from trust_registry.proposals.areas.approval import AreaApproval, area_changes, area_summary
from trust_registry.proposals.difference import Change, Summary
from trust_registry.tree.current import LIMITS, Published

__all__ = [
    "CarriedAreas",
    "carry_areas",
    "decode_carried_areas",
    "encode_carried_areas",
    "is_carried_areas",
]


_MARK = b'"healthcode/carried-areas/1"'
_MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CarriedAreas:
    """Areas to approve, the root, targets and areas in force, and key holders' names by key id."""

    approval: AreaApproval
    root: Root
    root_bytes: bytes
    targets_bytes: bytes
    areas_bytes: bytes
    risk: bytes
    names: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the root in force; operators compare it with one they know."""
        return root_fingerprint(self.root_bytes)

    @property
    def threshold(self) -> int:
        """How many operators must approve."""
        return int(self.root.roles["targets"].threshold)

    def changes(self) -> list[Change]:
        """Every value that would change."""
        return area_changes(self.approval.data, self.risk)

    def summary(self) -> Summary:
        """What the changes mean."""
        return area_summary(self.approval.data, self.risk)


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    format: Literal["healthcode/carried-areas/1"]
    approval: AreaApproval
    root: str
    targets: str
    areas: str
    risk: str
    names: dict[str, str]


def carry_areas(approval: AreaApproval, published: Published, names: Mapping[str, str]) -> CarriedAreas:
    """The areas with the root, targets and areas in force. Raises TrustError if the registry has no role areas."""
    metadata = published.role(AREAS_ROLE)
    if metadata is None:
        raise TrustError("this registry has no role areas", reason=Reason.PARTICIPANT_UNKNOWN)
    return CarriedAreas(
        approval,
        published.root.signed,
        published.root_bytes,
        published.role_bytes("targets"),
        published.role_bytes(AREAS_ROLE),
        published.file(metadata, RISK_PATH),
        names,
    )


def encode_carried_areas(carried: CarriedAreas) -> bytes:
    body = _File(
        format="healthcode/carried-areas/1",
        approval=carried.approval,
        root=_encode(carried.root_bytes),
        targets=_encode(carried.targets_bytes),
        areas=_encode(carried.areas_bytes),
        risk=_encode(carried.risk),
        names=dict(carried.names),
    )
    return body.model_dump_json(indent=1).encode() + b"\n"


def is_carried_areas(data: bytes) -> bool:
    """Whether these bytes claim to be carried areas."""
    return _MARK in data[:200]


def decode_carried_areas(data: bytes) -> CarriedAreas:
    """The areas in a carried file, with the metadata in force verified from the root down.

    Raises DecodeError, SignatureError, TrustError; TrustError (REALM_MISMATCH) if the areas are for
    another realm than the root.
    """
    if len(data) > _MAX_BYTES:
        raise DecodeError("areas.too_large", f"a file of {len(data)} bytes is too large")
    try:
        file = _File.model_validate_json(data)
        root_bytes, targets_bytes, areas_bytes, risk = (
            base64.b64decode(text, validate=True) for text in (file.root, file.targets, file.areas, file.risk)
        )
        _ = file.approval.id
    except (ValidationError, binascii.Error, ValueError, RecursionError) as error:
        raise DecodeError(
            "areas.malformed",
            "this is not an areas file written by a registry (`trust-registry propose areas`)",
        ) from error
    root = decode_metadata(root_bytes, Root, LIMITS.root_bytes)
    targets = decode_metadata(targets_bytes, Targets, LIMITS.targets_bytes)
    areas = decode_metadata(areas_bytes, Targets, LIMITS.targets_bytes)
    verify_threshold(root.signed, "root", root)
    verify_threshold(root.signed, "targets", targets)
    verify_threshold(targets.signed, AREAS_ROLE, areas)
    verify_target(areas.signed, RISK_PATH, risk)
    if file.approval.realm != realm_of(root.signed):
        raise TrustError(
            f"these areas are for realm {file.approval.realm}, but the root in the file is of "
            f"{realm_of(root.signed)}",
            reason=Reason.REALM_MISMATCH,
        )
    # names are not signed and are shown to signers: control characters could hide what follows
    names = {keyid: name for keyid, name in file.names.items() if name.isprintable()}
    return CarriedAreas(file.approval, root.signed, root_bytes, targets_bytes, areas_bytes, risk, names)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()
