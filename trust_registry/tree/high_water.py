"""The highest versions published before this tree was restored or rebuilt: never published again.

A restored registry resumes above them, because nodes refuse any version below one they have.
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
from healthcode.trust.format.metadata import Root, Snapshot, Timestamp, decode_metadata, verify_threshold

__all__ = ["HighWater", "Loss", "check_high_water", "read_high_water", "verify_evidence", "write_high_water"]

_HIGHEST = 10**9  # no registry publishes so often; a higher version would use up the digits of file names
_LIMITS = TrustLimits()


class Loss(BaseModel):
    """A loss that operators accepted (lost_versions.py).

    `version`: for targets, the highest version given up; for root, our version at that time, above which all
    is given up. `lost`: the highest version known then. `accepted`: epoch seconds.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    version: int
    lost: int
    why: str
    accepted: int


class HighWater(BaseModel):
    """The highest versions that are proved to have been published, and accepted losses; both by role."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    format: Literal["healthcode/floor/1"] = "healthcode/floor/1"
    timestamp: int = 0
    snapshot: int = 0
    roles: Mapping[str, int] = {}
    losses: Mapping[str, Loss] = {}

    def raised(self, other: HighWater) -> HighWater:
        """The higher version of both, for each role separately."""
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
    """The versions that a signed timestamp, with its snapshot if given, proves were published.

    Raises SignatureError, TrustError (VERSION_CONFLICT), DecodeError.
    """
    # Only our own signature is evidence: a claim cannot raise versions. Only the keys of the current root
    # count: when online keys change, clients restart version numbers too.
    signed = decode_metadata(timestamp, Timestamp, _LIMITS.timestamp_bytes)
    verify_threshold(root, "timestamp", signed)
    named = signed.signed.snapshot_meta
    versions: dict[str, int] = {}
    if snapshot:
        if hashlib.sha256(snapshot).hexdigest() != (named.hashes or {}).get("sha256"):
            raise TrustError(
                "this snapshot is not the one that the timestamp names", reason=Reason.VERSION_CONFLICT
            )
        found = decode_metadata(snapshot, Snapshot, _LIMITS.snapshot_bytes)
        verify_threshold(root, "snapshot", found)
        versions = {name.removesuffix(".json"): meta.version for name, meta in found.signed.meta.items()}
    return check_high_water(
        HighWater(timestamp=signed.signed.version, snapshot=named.version, roles=versions)
    )


def check_high_water(high_water: HighWater) -> HighWater:
    """Returns the versions if they are plausible. Raises TrustError (VERSION_CONFLICT) if one is too high."""
    if max(high_water.timestamp, high_water.snapshot, *high_water.roles.values()) > _HIGHEST:
        raise TrustError(
            f"a version above {_HIGHEST} cannot have been published", reason=Reason.VERSION_CONFLICT
        )
    return high_water


def read_high_water(path: Path) -> HighWater:
    """Reads the file; zeros if there is none. Raises ConfigurationError if it is damaged."""
    data = read_file(path)
    if data is None:
        return HighWater()
    try:
        return HighWater.model_validate_json(data)
    except ValidationError as error:
        raise ConfigurationError(
            f"{path} is damaged: restore it, or remove it if no node has newer versions than this registry publishes"
        ) from error


def write_high_water(path: Path, high_water: HighWater) -> None:
    """Writes the file durably. Raises UnavailableError (STORAGE_FULL)."""
    save_file(path, high_water.model_dump_json(indent=1).encode())
