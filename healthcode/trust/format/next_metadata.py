"""The next version of root and of targets, unsigned, made from the version in force."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, Targets

from healthcode.errors import DecodeError
from healthcode.trust.format.layout import (
    AREAS_ROLE,
    BOOTSTRAPS_FIELD,
    REONBOARDED_FIELD,
    authority_role,
    province_patterns,
)
from healthcode.trust.format.metadata_fields import bootstraps_in, reonboarded_in
from healthcode.trust.format.new_metadata import expiry_from, target_files
from healthcode.trust.format.tuf_keys import tuf_key, tuf_keys, tuf_role

__all__ = [
    "with_areas_key",
    "with_bootstrap",
    "with_province",
    "with_root",
    "with_targets",
    "without_province",
]


def with_root(
    root: Root,
    changes: Mapping[str, tuple[Sequence[bytes], int]],
    *,
    now: int,
    reonboarded: Mapping[str, str] | None = None,
) -> Metadata[Root]:
    """The version after `root`. `changes` gives the new (keys, threshold) of a role.

    `reonboarded` adds to root's consents (`reonboarded_in`), which are never withdrawn.
    """
    changed = copy.deepcopy(root)
    changed.version += 1
    changed.expires = expiry_from("root", now)
    for role, (keys, threshold) in changes.items():
        changed.roles[role] = tuf_role(keys, threshold)
        changed.keys.update(tuf_keys(keys))
    used = {keyid for role in changed.roles.values() for keyid in role.keyids}
    changed.keys = {keyid: key for keyid, key in changed.keys.items() if keyid in used}
    consents = {**reonboarded_in(root), **(reonboarded or {})}
    if consents:
        changed.unrecognized_fields[REONBOARDED_FIELD] = consents
    return Metadata(changed)


def with_bootstrap(metadata: Metadata[Root], after: str) -> Metadata[Root]:
    """A copy of `metadata` that declares itself a new bootstrap after the root of fingerprint `after`.

    The old root cannot sign it, so only clients whose people adopted its fingerprint accept it.
    """
    changed = copy.deepcopy(metadata.signed)
    changed.unrecognized_fields[BOOTSTRAPS_FIELD] = {**bootstraps_in(changed), str(changed.version): after}
    return Metadata(changed)


def with_targets(
    targets: Metadata[Targets], *, version: int, files: Mapping[str, bytes], now: int
) -> Metadata[Targets]:
    """A copy of `targets` at `version` that replaces `files` and expires counted from `now`."""
    changed = copy.deepcopy(targets.signed)
    changed.version = version
    changed.expires = expiry_from("targets", now)
    changed.targets.update(target_files(files))
    return Metadata(changed)


def with_province(
    targets: Metadata[Targets], participant: str, keys: Sequence[bytes], threshold: int
) -> Metadata[Targets]:
    """A copy of `targets` that delegates to a participant's authority, by exactly these keys.

    For a participant that is delegated to already, these keys replace the old ones.
    """
    changed, delegations, roles = _copy_of(targets, "cannot take a province")
    role = authority_role(participant)
    roles[role] = DelegatedRole(
        role,
        [tuf_key(key).keyid for key in keys],
        threshold,
        terminating=True,
        paths=list(province_patterns(participant)),
    )
    delegations.keys.update(tuf_keys(keys))
    _drop_unused_keys(delegations)
    return Metadata(changed)


def without_province(targets: Metadata[Targets], participant: str) -> Metadata[Targets]:
    """A copy of `targets` that no longer delegates to a participant's authority."""
    changed, delegations, roles = _copy_of(targets, "has no province")
    roles.pop(authority_role(participant), None)
    _drop_unused_keys(delegations)
    return Metadata(changed)


def with_areas_key(targets: Metadata[Targets], public: bytes) -> Metadata[Targets]:
    """A copy of `targets` in which this key alone signs for `areas`."""
    changed, delegations, roles = _copy_of(targets, "has no areas")
    roles[AREAS_ROLE].keyids = [tuf_key(public).keyid]
    delegations.keys.update(tuf_keys([public]))
    _drop_unused_keys(delegations)
    return Metadata(changed)


def _copy_of(targets: Metadata[Targets], fault: str) -> tuple[Targets, Delegations, dict[str, DelegatedRole]]:
    """A deep copy of the signed part, its delegations and their roles. Raises DecodeError if it has none."""
    changed = copy.deepcopy(targets.signed)
    if changed.delegations is None or changed.delegations.roles is None:
        raise DecodeError("metadata.format", f"targets without delegations {fault}")
    return changed, changed.delegations, changed.delegations.roles


def _drop_unused_keys(delegations: Delegations) -> None:
    used = {keyid for each in (delegations.roles or {}).values() for keyid in each.keyids}
    delegations.keys = {keyid: key for keyid, key in delegations.keys.items() if keyid in used}
