"""Role names, path patterns, file names, expiries and size limits of a trust tree (docs/wire-format.md §5)."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = [
    "AREAS_PATTERN",
    "AREAS_ROLE",
    "AUDIT_FIELD",
    "BOOTSTRAPS_FIELD",
    "DAY_SECONDS",
    "EXPIRY_SECONDS",
    "LIVE_POSSESSION_FIELD",
    "MAX_LIVE_WINDOW_SECONDS",
    "MAX_PAPER_WINDOW_SECONDS",
    "PARTICIPANTS_PATH",
    "POLICY_PATH",
    "REALM_FIELD",
    "REONBOARDED_FIELD",
    "REONBOARDING_WAIT_SECONDS",
    "RISK_PATH",
    "SIGNED_AT_FIELD",
    "TrustLimits",
    "authority_role",
    "expiry_seconds",
    "head_path",
    "list_file",
    "live_pattern",
    "live_role",
    "metadata_file",
    "participant_of_role",
    "province_path",
    "province_patterns",
    "target_file",
]

# The names are fixed: a client refuses any other role or path, so no delegation can grow wider (delegation.py).
PARTICIPANTS_PATH = "policy/participants.json"
POLICY_PATH = "policy/national.json"
RISK_PATH = "areas/risk.json"

AREAS_ROLE = "areas"
AREAS_PATTERN = "areas/*"

REALM_FIELD = "healthcode.realm"
REONBOARDED_FIELD = "healthcode.reonboarded"
BOOTSTRAPS_FIELD = "healthcode.bootstraps"
SIGNED_AT_FIELD = "healthcode.signed_at"
AUDIT_FIELD = "healthcode.audit"
LIVE_POSSESSION_FIELD = "healthcode.live_possession"

DAY_SECONDS = 86_400
EXPIRY_SECONDS = {
    "root": 365 * DAY_SECONDS,
    "targets": 90 * DAY_SECONDS,
    "areas": 2 * DAY_SECONDS,
    "snapshot": DAY_SECONDS,
    "timestamp": 3_600,
    "province": 90 * DAY_SECONDS,
    "live": DAY_SECONDS,
}

# How long a client makes an authority wait that root re-onboarded without a handover.
REONBOARDING_WAIT_SECONDS = 72 * 3_600

# The longest window of a key, from not_before to not_after.
MAX_LIVE_WINDOW_SECONDS = 7 * DAY_SECONDS
MAX_PAPER_WINDOW_SECONDS = 30 * DAY_SECONDS

_ROLE = re.compile(r"province-([0-9]{2})(-live)?")
_SHA256_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class TrustLimits:
    """The most bytes, or files, that a client accepts of each kind. Larger ones are refused unread."""

    root_bytes: int = 512_000
    timestamp_bytes: int = 16_384
    snapshot_bytes: int = 262_144
    targets_bytes: int = 524_288
    province_metadata_bytes: int = 65_536
    participants_bytes: int = 1_048_576
    policy_bytes: int = 1_048_576
    risk_bytes: int = 4_194_304
    province_bytes: int = 65_536
    head_bytes: int = 65_536
    list_bytes: int = 67_108_864
    root_rotations: int = 256


def authority_role(participant: str) -> str:
    """Role of a participant's offline authority, e.g. `province-31`. It signs province.json."""
    return f"province-{participant}"


def live_role(participant: str) -> str:
    """Role of a participant's online node, e.g. `province-31-live`. It signs the revocation head."""
    return f"province-{participant}-live"


def participant_of_role(role: str) -> tuple[str, bool] | None:
    """(participant, whether it is the live role) of a province's role name; None for any other role."""
    found = _ROLE.fullmatch(role)
    return None if found is None else (found[1], found[2] is not None)


def province_path(participant: str) -> str:
    """Path of the file with a participant's keys, CA and endpoints."""
    return f"provinces/{participant}/province.json"


def head_path(participant: str) -> str:
    """Path of a participant's revocation head."""
    return f"provinces/{participant}/revocations/head"


def province_patterns(participant: str) -> tuple[str, str]:
    """What `targets` delegates to a participant's authority. Patterns match segment by segment."""
    return (f"provinces/{participant}/*", live_pattern(participant))


def live_pattern(participant: str) -> str:
    """What a participant's authority delegates to its node."""
    return f"provinces/{participant}/revocations/*"


def expiry_seconds(role: str) -> int:
    """How long metadata of `role` is valid after it was signed."""
    province = participant_of_role(role)
    if province is not None:
        return EXPIRY_SECONDS["live" if province[1] else "province"]
    return EXPIRY_SECONDS[role]


def metadata_file(role: str, version: int | None = None) -> str:
    """File of a role's metadata as served: `metadata/7.snapshot.json`, and `metadata/timestamp.json`."""
    return f"metadata/{role}.json" if version is None else f"metadata/{version}.{role}.json"


def target_file(path: str, sha256_hex: str) -> str:
    """File of a target as served, content-addressed: `targets/policy/<hex>.national.json`.

    Raises ValueError unless the digest is 64 hex digits, so that metadata cannot name another path.
    """
    if _SHA256_HEX.fullmatch(sha256_hex) is None:
        raise ValueError("a target is named by 64 lower-case hex digits of SHA-256")
    folder, _, name = path.rpartition("/")
    return f"targets/{folder}/{sha256_hex}.{name}"


def list_file(sha256_hex: str) -> str:
    """File of a revocation list or delta as served: `lists/<hex>`. Raises ValueError unless 64 hex digits."""
    if _SHA256_HEX.fullmatch(sha256_hex) is None:
        raise ValueError("a list is named by 64 lower-case hex digits of SHA-256")
    return f"lists/{sha256_hex}"
