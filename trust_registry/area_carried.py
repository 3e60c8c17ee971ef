"""Area risk that is carried: operators approve it on machines of their own, without a registry.

Beside the areas stands all that says what is in force: root, targets, areas.json and the
risk that this names. It is verified from the root down when the file is read, and the
root's fingerprint is shown, to be compared with a known one; so the difference that an
operator reads is the whole difference to what was published.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from healthcode.errors import DecodeError, Reason, TrustError
from healthcode.trust.issuer import verify_target
from healthcode.trust.layout import AREAS_ROLE, RISK_PATH
from healthcode.trust.metadata import Root, Targets, decode_metadata, realm_of, verify_threshold
from healthcode.trust.national import root_fingerprint
from trust_registry.area_approval import AreaApproval, area_changes
from trust_registry.difference import Change
from trust_registry.published import LIMITS, Published

__all__ = ["CarriedAreas", "carry_areas", "decode_carried_areas", "encode_carried_areas", "is_carried_areas"]

_MARK = b'"healthcode/carried-areas/1"'
MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CarriedAreas:
    """Areas to be approved, what was in force when they were carried away, and who holds a key, by its id."""

    approval: AreaApproval
    root: Root
    root_bytes: bytes
    targets_bytes: bytes
    areas_bytes: bytes
    risk: bytes
    names: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """Of the root in force: what its holders compare with what they know."""
        return root_fingerprint(self.root_bytes)

    @property
    def threshold(self) -> int:
        """How many operators must approve."""
        return int(self.root.roles["targets"].threshold)

    def changes(self) -> list[Change]:
        """All that would change, value by value."""
        return area_changes(self.approval.data, self.risk)


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
    """The areas, ready to be carried to the operators."""
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
    """The file."""
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
    """Whether these bytes mean to be areas that were carried."""
    return _MARK in data[:200]


def decode_carried_areas(data: bytes) -> CarriedAreas:
    """The file that was carried, with what is in force verified from the root down.

    Raises DecodeError, SignatureError, TrustError; TrustError (REALM_MISMATCH) when it would be
    approved for another realm than its root's.
    """
    if len(data) > MAX_BYTES:
        raise DecodeError("areas.too_large", f"a file of {len(data)} bytes is too large")
    try:
        file = _File.model_validate_json(data)
        root_bytes, targets_bytes, areas_bytes, risk = (
            base64.b64decode(text, validate=True) for text in (file.root, file.targets, file.areas, file.risk)
        )
        _ = file.approval.id
    except (ValidationError, binascii.Error, ValueError, RecursionError) as error:
        raise DecodeError(
            "areas.malformed", "this file is no area risk that was carried from a registry"
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
            f"these areas are for realm {file.approval.realm}, and the root beside them is of another",
            reason=Reason.REALM_MISMATCH,
        )
    names = {keyid: name for keyid, name in file.names.items() if name.isprintable()}
    return CarriedAreas(file.approval, root.signed, root_bytes, targets_bytes, areas_bytes, risk, names)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()
