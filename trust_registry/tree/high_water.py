"""Versions that were given out before this tree: never given out again.

A registry that was rebuilt from a mirror, or restored from a backup, may stand behind
what nodes hold already; they would refuse whatever it publishes below that. So it
resumes above the highest version that any mirror or node holds. Evidence is the
registry's own signature alone: a timestamp, and the snapshot that it names, as a
mirror serves them or a node reports them. Nobody can raise the floor by a claim.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from healthcode.errors import ConfigurationError, Reason, TrustError
from healthcode.storage.files import save_file
from healthcode.storage.reading import read_file
from healthcode.trust.format.layout import TrustLimits
from healthcode.trust.format.metadata import (
    Root,
    Snapshot,
    Timestamp,
    decode_metadata,
    verify_threshold,
)

__all__ = ["HighWater", "Loss", "check_high_water", "read_high_water", "verify_evidence", "write_high_water"]

_HIGHEST = 10**9
"""No registry gets there by publishing; a version above would use up the numbers that file names have."""
_LIMITS = TrustLimits()


class Loss(BaseModel):
    """What people gave up (standing.py): of targets up to `version`; of root what was newer than our `version`.

    `lost` is the version that was known of then, `accepted` epoch seconds.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    version: int
    lost: int
    why: str
    accepted: int


class HighWater(BaseModel):
    """The highest versions that were ever seen; `roles` are those of a snapshot, by role; `losses` by role."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    format: Literal["healthcode/floor/1"] = "healthcode/floor/1"
    timestamp: int = 0
    snapshot: int = 0
    roles: Mapping[str, int] = {}
    losses: Mapping[str, Loss] = {}

    def raised(self, other: HighWater) -> HighWater:
        """The higher of both, each version by itself."""
        roles = dict(self.roles)
        for role, version in other.roles.items():
            roles[role] = max(version, roles.get(role, 0))
        return HighWater(
            timestamp=max(self.timestamp, other.timestamp),
            snapshot=max(self.snapshot, other.snapshot),
            roles=roles,
            losses={**other.losses, **self.losses},
        )


def verify_evidence(root: Root, timestamp: bytes, snapshot: bytes) -> HighWater:
    """What a signed timestamp, and its snapshot if it is there, prove was given out.

    Only the keys of the root in force count: with other online keys versions begin anew,
    for clients too. Raises SignatureError, TrustError (VERSION_CONFLICT), DecodeError.
    """
    signed = decode_metadata(timestamp, Timestamp, _LIMITS.timestamp_bytes)
    verify_threshold(root, "timestamp", signed)
    named = signed.signed.snapshot_meta
    versions: dict[str, int] = {}
    if snapshot:
        if hashlib.sha256(snapshot).hexdigest() != (named.hashes or {}).get("sha256"):
            raise TrustError(
                "that is not the snapshot which the timestamp names", reason=Reason.VERSION_CONFLICT
            )
        found = decode_metadata(snapshot, Snapshot, _LIMITS.snapshot_bytes)
        verify_threshold(root, "snapshot", found)
        versions = {name.removesuffix(".json"): meta.version for name, meta in found.signed.meta.items()}
    return check_high_water(
        HighWater(timestamp=signed.signed.version, snapshot=named.version, roles=versions)
    )


def check_high_water(high_water: HighWater) -> HighWater:
    """The floor, if a registry can have got there. Raises TrustError (VERSION_CONFLICT)."""
    if max(high_water.timestamp, high_water.snapshot, *high_water.roles.values()) > _HIGHEST:
        raise TrustError("a version beyond all that was ever published", reason=Reason.VERSION_CONFLICT)
    return high_water


def read_high_water(path: Path) -> HighWater:
    """The floor in force; zeros where none was ever needed. Raises ConfigurationError for a damaged file."""
    data = read_file(path)
    if data is None:
        return HighWater()
    try:
        return HighWater.model_validate_json(data)
    except ValidationError as error:
        raise ConfigurationError(
            f"{path} is damaged: restore it, or remove it if no node ever held more than this registry publishes"
        ) from error


def write_high_water(path: Path, high_water: HighWater) -> None:
    """Keeps the floor, durably. Raises UnavailableError (STORAGE_FULL)."""
    save_file(path, high_water.model_dump_json(indent=1).encode())
