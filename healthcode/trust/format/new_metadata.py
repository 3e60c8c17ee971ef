"""New TUF metadata, not signed yet: what each role says, about whom, until when.

The registry, the authorities and the nodes all make their metadata here, so that the
roles, patterns and expiries of trust/layout.py hold by construction. `new_…` begins,
`with_…` and `without_…` go on from what is in force, at the next version.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from securesystemslib.signer import Key
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Role,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from healthcode.clock import rfc3339
from healthcode.errors import DecodeError
from healthcode.identity.realm import check_realm
from healthcode.trust.format.layout import (
    AREAS_PATTERN,
    AREAS_ROLE,
    BOOTSTRAPS_FIELD,
    LIVE_POSSESSION_FIELD,
    REALM_FIELD,
    REONBOARDED_FIELD,
    SIGNED_AT_FIELD,
    authority_role,
    expiry_seconds,
    head_path,
    live_pattern,
    live_role,
    province_path,
    province_patterns,
)
from healthcode.trust.format.metadata import (
    bootstraps_in,
    reonboarded_in,
    tuf_key,
)

__all__ = [
    "new_areas_metadata",
    "new_live_metadata",
    "new_province_metadata",
    "new_root",
    "new_snapshot",
    "new_targets",
    "new_timestamp",
    "with_areas_key",
    "with_bootstrap",
    "with_province",
    "with_root",
    "with_targets",
    "without_province",
]


def _expires(role: str, now: int) -> datetime:
    return datetime.fromtimestamp(now + expiry_seconds(role), UTC)


def _role(keys: Sequence[bytes], threshold: int) -> Role:
    return Role([tuf_key(key).keyid for key in keys], threshold)


def _keys(*groups: Sequence[bytes]) -> dict[str, Key]:
    return {key.keyid: key for group in groups for key in map(tuf_key, group)}


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
    """An unsigned root: who holds the top-level roles, in which realm."""
    return Metadata(
        Root(
            version=version,
            expires=_expires("root", now),
            keys=_keys(root_keys, operator_keys, snapshot_keys, timestamp_keys),
            roles={
                "root": _role(root_keys, root_threshold),
                "targets": _role(operator_keys, operator_threshold),
                "snapshot": _role(snapshot_keys, 1),
                "timestamp": _role(timestamp_keys, 1),
            },
            consistent_snapshot=True,
            unrecognized_fields={REALM_FIELD: check_realm(realm)},
        )
    )


def with_root(
    root: Root,
    changes: Mapping[str, tuple[Sequence[bytes], int]],
    *,
    now: int,
    reonboarded: Mapping[str, str] | None = None,
) -> Metadata[Root]:
    """An unsigned next version of `root`: `changes` gives other (keys, threshold) for a role.

    `reonboarded` adds to root's consents (see trust/link.py), which are never taken back.
    """
    changed = copy.deepcopy(root)
    changed.version += 1
    changed.expires = _expires("root", now)
    for role, (keys, threshold) in changes.items():
        changed.roles[role] = _role(keys, threshold)
        changed.keys.update(_keys(keys))
    used = {keyid for role in changed.roles.values() for keyid in role.keyids}
    changed.keys = {keyid: key for keyid, key in changed.keys.items() if keyid in used}
    consents = {**reonboarded_in(root), **(reonboarded or {})}
    if consents:
        changed.unrecognized_fields[REONBOARDED_FIELD] = consents
    return Metadata(changed)


def with_bootstrap(metadata: Metadata[Root], after: str) -> Metadata[Root]:
    """An unsigned root that says of itself that it begins anew, `after` the root of that fingerprint.

    That root's threshold is lost, so this one is good only for those whom people told its fingerprint.
    """
    changed = copy.deepcopy(metadata.signed)
    changed.unrecognized_fields[BOOTSTRAPS_FIELD] = {**bootstraps_in(changed), str(changed.version): after}
    return Metadata(changed)


def new_targets(
    *, version: int, files: Mapping[str, bytes], area_keys: Sequence[bytes], now: int
) -> Metadata[Targets]:
    """Unsigned targets with the national files and the areas role; add provinces by with_province."""
    areas = DelegatedRole(
        AREAS_ROLE, [tuf_key(key).keyid for key in area_keys], 1, terminating=True, paths=[AREAS_PATTERN]
    )
    return Metadata(
        Targets(
            version=version,
            expires=_expires("targets", now),
            targets=_target_files(files),
            delegations=Delegations(_keys(area_keys), {AREAS_ROLE: areas}),
        )
    )


def with_targets(
    targets: Metadata[Targets], *, version: int, files: Mapping[str, bytes], now: int
) -> Metadata[Targets]:
    """An unsigned copy of `targets` at `version`, with `files` replaced, good from `now`."""
    changed = copy.deepcopy(targets.signed)
    changed.version = version
    changed.expires = _expires("targets", now)
    changed.targets.update(_target_files(files))
    return Metadata(changed)


def with_province(
    targets: Metadata[Targets], participant: str, keys: Sequence[bytes], threshold: int
) -> Metadata[Targets]:
    """An unsigned copy of `targets` that delegates to a participant's authority, by exactly these keys.

    Called again for the same participant, it replaces the keys (after a handover).
    """
    changed = copy.deepcopy(targets.signed)
    if changed.delegations is None or changed.delegations.roles is None:
        raise DecodeError("metadata.format", "targets without delegations cannot take a province")
    role = authority_role(participant)
    changed.delegations.roles[role] = DelegatedRole(
        role,
        [tuf_key(key).keyid for key in keys],
        threshold,
        terminating=True,
        paths=list(province_patterns(participant)),
    )
    used = {keyid for each in changed.delegations.roles.values() for keyid in each.keyids}
    known = {**changed.delegations.keys, **_keys(keys)}
    changed.delegations.keys = {keyid: key for keyid, key in known.items() if keyid in used}
    return Metadata(changed)


def without_province(targets: Metadata[Targets], participant: str) -> Metadata[Targets]:
    """An unsigned copy of `targets` that delegates no more to a participant's authority."""
    changed = copy.deepcopy(targets.signed)
    if changed.delegations is None or changed.delegations.roles is None:
        raise DecodeError("metadata.format", "targets without delegations has no province")
    changed.delegations.roles.pop(authority_role(participant), None)
    used = {keyid for each in changed.delegations.roles.values() for keyid in each.keyids}
    changed.delegations.keys = {
        keyid: key for keyid, key in changed.delegations.keys.items() if keyid in used
    }
    return Metadata(changed)


def with_areas_key(targets: Metadata[Targets], public: bytes) -> Metadata[Targets]:
    """An unsigned copy of `targets` that gives the role `areas` to this one key."""
    changed = copy.deepcopy(targets.signed)
    if changed.delegations is None or changed.delegations.roles is None:
        raise DecodeError("metadata.format", "targets without delegations has no areas")
    key = tuf_key(public)
    changed.delegations.roles[AREAS_ROLE].keyids = [key.keyid]
    used = {keyid for each in changed.delegations.roles.values() for keyid in each.keyids}
    known = {**changed.delegations.keys, key.keyid: key}
    changed.delegations.keys = {keyid: found for keyid, found in known.items() if keyid in used}
    return Metadata(changed)


def new_areas_metadata(*, version: int, files: Mapping[str, bytes], now: int) -> Metadata[Targets]:
    """Unsigned metadata of the role `areas`."""
    return Metadata(Targets(version=version, expires=_expires(AREAS_ROLE, now), targets=_target_files(files)))


def new_province_metadata(
    participant: str,
    *,
    version: int,
    province_json: bytes,
    live_public: bytes,
    live_possession: bytes,
    now: int,
) -> Metadata[Targets]:
    """Unsigned metadata of a participant's authority: its one file, its node's live key, and that key's proof.

    The proof is `link.prove_key` for the purpose HEAD.
    """
    key = tuf_key(live_public)
    live = DelegatedRole(
        live_role(participant), [key.keyid], 1, terminating=True, paths=[live_pattern(participant)]
    )
    return Metadata(
        Targets(
            version=version,
            expires=_expires(authority_role(participant), now),
            targets=_target_files({province_path(participant): province_json}),
            delegations=Delegations({key.keyid: key}, {live.name: live}),
            unrecognized_fields={LIVE_POSSESSION_FIELD: {key.keyid: live_possession.hex()}},
        )
    )


def new_live_metadata(participant: str, *, version: int, head: bytes, now: int) -> Metadata[Targets]:
    """Unsigned metadata of a participant's node: its revocation head, and when it was signed."""
    return Metadata(
        Targets(
            version=version,
            expires=_expires(live_role(participant), now),
            targets=_target_files({head_path(participant): head}),
            unrecognized_fields=_signed_at_field(now),
        )
    )


def new_snapshot(*, version: int, versions: Mapping[str, int], now: int) -> Metadata[Snapshot]:
    """Unsigned snapshot: the current version of every role (never drop one, even if retired)."""
    meta = {f"{role}.json": MetaFile(version=current) for role, current in sorted(versions.items())}
    return Metadata(Snapshot(version=version, expires=_expires("snapshot", now), meta=meta))


def new_timestamp(*, version: int, snapshot: bytes, snapshot_version: int, now: int) -> Metadata[Timestamp]:
    """Unsigned timestamp: which snapshot is current, by version, length and hash, and when that was said."""
    return Metadata(
        Timestamp(
            version=version,
            expires=_expires("timestamp", now),
            snapshot_meta=MetaFile.from_data(snapshot_version, snapshot, ["sha256"]),
            unrecognized_fields=_signed_at_field(now),
        )
    )


def _target_files(files: Mapping[str, bytes]) -> dict[str, TargetFile]:
    return {path: TargetFile.from_data(path, data, ["sha256"]) for path, data in files.items()}
