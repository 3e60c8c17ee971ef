"""Where everything stands in a trust tree: role names, path patterns, file names, expiries and limits.

The names are fixed. A client refuses a role or a path that is not one of these, so
that no delegation can grow wider than it is meant to be (docs/wire-format.md §5).

| role               | signs                                          |
|--------------------|------------------------------------------------|
| targets            | policy/participants.json, policy/national.json |
| areas              | areas/risk.json                                |
| province-NN        | provinces/NN/province.json                     |
| province-NN-live   | provinces/NN/revocations/head                  |
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = [
    "AREAS_PATTERN",
    "AREAS_ROLE",
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

PARTICIPANTS_PATH = "policy/participants.json"
POLICY_PATH = "policy/national.json"
RISK_PATH = "areas/risk.json"

AREAS_ROLE = "areas"
AREAS_PATTERN = "areas/*"

REALM_FIELD = "healthcode.realm"
REONBOARDED_FIELD = "healthcode.reonboarded"
BOOTSTRAPS_FIELD = "healthcode.bootstraps"
SIGNED_AT_FIELD = "healthcode.signed_at"
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

# How long a client lets an authority wait that came back without a handover, by root's word.
REONBOARDING_WAIT_SECONDS = 72 * 3_600

# A key's window, from not_before to not_after (design: LIVE keys live 7 days, PAPER keys 30).
MAX_LIVE_WINDOW_SECONDS = 7 * DAY_SECONDS
MAX_PAPER_WINDOW_SECONDS = 30 * DAY_SECONDS

_ROLE = re.compile(r"province-([0-9]{2})(-live)?")
_SHA256_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class TrustLimits:
    """The most bytes, or files, that a client takes of each kind; more is refused unread."""

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
    """Role of a participant's offline authority, e.g. `province-31`."""
    return f"province-{participant}"


def live_role(participant: str) -> str:
    """Role of a participant's online node, e.g. `province-31-live`."""
    return f"province-{participant}-live"


def participant_of_role(role: str) -> tuple[str, bool] | None:
    """(participant, whether it is the live role) of a province's role name, or None for any other."""
    found = _ROLE.fullmatch(role)
    return None if found is None else (found[1], found[2] is not None)


def province_path(participant: str) -> str:
    """Path of the file with a participant's keys, CA and endpoints."""
    return f"provinces/{participant}/province.json"


def head_path(participant: str) -> str:
    """Path of a participant's revocation head."""
    return f"provinces/{participant}/revocations/head"


def province_patterns(participant: str) -> tuple[str, str]:
    """What `targets` delegates to a participant's authority; patterns match segment by segment."""
    return (f"provinces/{participant}/*", live_pattern(participant))


def live_pattern(participant: str) -> str:
    """What a participant's authority delegates to its node."""
    return f"provinces/{participant}/revocations/*"


def expiry_seconds(role: str) -> int:
    """How long metadata of `role` is good for after it was signed."""
    province = participant_of_role(role)
    if province is not None:
        return EXPIRY_SECONDS["live" if province[1] else "province"]
    return EXPIRY_SECONDS[role]


def metadata_file(role: str, version: int | None = None) -> str:
    """File of a role's metadata as served: `metadata/7.snapshot.json`, and `metadata/timestamp.json`."""
    return f"metadata/{role}.json" if version is None else f"metadata/{version}.{role}.json"


def target_file(path: str, sha256_hex: str) -> str:
    """File of a target as served, content-addressed: `targets/policy/<hex>.national.json`.

    Raises ValueError unless the digest is 64 hex digits, so that no metadata can name another place.
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
