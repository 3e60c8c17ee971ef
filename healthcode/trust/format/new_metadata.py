"""New, unsigned TUF metadata: what each role lists and delegates, and until when it is valid.

Registry, authorities and nodes all use it, so every role, pattern and expiry follows layout.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from healthcode.audit.checkpoint import Checkpoint
from healthcode.clock import rfc3339, utc
from healthcode.identity.realm import check_realm
from healthcode.trust.format.layout import (
    AREAS_PATTERN,
    AREAS_ROLE,
    AUDIT_FIELD,
    LIVE_POSSESSION_FIELD,
    REALM_FIELD,
    SIGNED_AT_FIELD,
    authority_role,
    expiry_seconds,
    head_path,
    live_pattern,
    live_role,
    province_path,
)
from healthcode.trust.format.tuf_keys import tuf_key, tuf_keys, tuf_role

__all__ = [
    "expiry_from",
    "new_areas_metadata",
    "new_live_metadata",
    "new_province_metadata",
    "new_root",
    "new_snapshot",
    "new_targets",
    "new_timestamp",
    "target_files",
]


def expiry_from(role: str, now: int) -> datetime:
    """When metadata of `role` expires if it is signed at `now`."""
    return utc(now + expiry_seconds(role))


def target_files(files: Mapping[str, bytes]) -> dict[str, TargetFile]:
    """The entries of a targets role for these files, by path."""
    return {path: TargetFile.from_data(path, data, ["sha256"]) for path, data in files.items()}


def _signed_at_field(now: int) -> dict[str, Any]:
    return {SIGNED_AT_FIELD: rfc3339(now)}


def new_root(
    realm: str,
    *,
    root_keys: Sequence[bytes],
    root_threshold: int,
    operator_keys: Sequence[bytes],
    operator_threshold: int,
    snapshot_keys: Sequence[bytes],
    timestamp_keys: Sequence[bytes],
    now: int,
    version: int = 1,
) -> Metadata[Root]:
    """Root: the realm, and the keys of the top-level roles."""
    return Metadata(
        Root(
            version=version,
            expires=expiry_from("root", now),
            keys=tuf_keys(root_keys, operator_keys, snapshot_keys, timestamp_keys),
            roles={
                "root": tuf_role(root_keys, root_threshold),
                "targets": tuf_role(operator_keys, operator_threshold),
                "snapshot": tuf_role(snapshot_keys, 1),
                "timestamp": tuf_role(timestamp_keys, 1),
            },
            consistent_snapshot=True,
            unrecognized_fields={REALM_FIELD: check_realm(realm)},
        )
    )


def new_targets(
    *, version: int, files: Mapping[str, bytes], area_keys: Sequence[bytes], now: int
) -> Metadata[Targets]:
    """Targets with the national files and the areas role; `with_province` adds provinces."""
    areas = DelegatedRole(
        AREAS_ROLE, [tuf_key(key).keyid for key in area_keys], 1, terminating=True, paths=[AREAS_PATTERN]
    )
    return Metadata(
        Targets(
            version=version,
            expires=expiry_from("targets", now),
            targets=target_files(files),
            delegations=Delegations(tuf_keys(area_keys), {AREAS_ROLE: areas}),
        )
    )


def new_areas_metadata(*, version: int, files: Mapping[str, bytes], now: int) -> Metadata[Targets]:
    """Metadata of the role `areas`."""
    return Metadata(
        Targets(version=version, expires=expiry_from(AREAS_ROLE, now), targets=target_files(files))
    )


def new_province_metadata(
    participant: str,
    *,
    version: int,
    province_json: bytes,
    live_public: bytes,
    live_possession: bytes,
    now: int,
) -> Metadata[Targets]:
    """Metadata of a participant's authority: its province.json and its node's live key.

    `live_possession` is what `prove_key` returns for the live key and the purpose HEAD.
    """
    key = tuf_key(live_public)
    live = DelegatedRole(
        live_role(participant), [key.keyid], 1, terminating=True, paths=[live_pattern(participant)]
    )
    return Metadata(
        Targets(
            version=version,
            expires=expiry_from(authority_role(participant), now),
            targets=target_files({province_path(participant): province_json}),
            delegations=Delegations({key.keyid: key}, {live.name: live}),
            unrecognized_fields={LIVE_POSSESSION_FIELD: {key.keyid: live_possession.hex()}},
        )
    )


def new_live_metadata(
    participant: str, *, version: int, head: bytes, now: int, checkpoint: Checkpoint | None = None
) -> Metadata[Targets]:
    """Metadata of a participant's node: its revocation head, its audit checkpoint, and the time of signing."""
    fields = _signed_at_field(now)
    if checkpoint is not None:
        fields[AUDIT_FIELD] = checkpoint.to_json()
    return Metadata(
        Targets(
            version=version,
            expires=expiry_from(live_role(participant), now),
            targets=target_files({head_path(participant): head}),
            unrecognized_fields=fields,
        )
    )


def new_snapshot(*, version: int, versions: Mapping[str, int], now: int) -> Metadata[Snapshot]:
    """Snapshot: the current version of every role. Never drop a role, not even a retired one."""
    meta = {f"{role}.json": MetaFile(version=current) for role, current in sorted(versions.items())}
    return Metadata(Snapshot(version=version, expires=expiry_from("snapshot", now), meta=meta))


def new_timestamp(*, version: int, snapshot: bytes, snapshot_version: int, now: int) -> Metadata[Timestamp]:
    """Timestamp: version, length and hash of the current snapshot, and the time of signing."""
    return Metadata(
        Timestamp(
            version=version,
            expires=expiry_from("timestamp", now),
            snapshot_meta=MetaFile.from_data(snapshot_version, snapshot, ["sha256"]),
            unrecognized_fields=_signed_at_field(now),
        )
    )
