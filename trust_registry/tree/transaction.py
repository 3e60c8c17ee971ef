"""One change of the trust tree, made while the writer's lock is taken.

The rename of `metadata/timestamp.json` makes it durable and visible; all other files are written before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from healthcode.errors import ConfigurationError, SignatureError
from healthcode.signing.ed25519 import PrivateKey
from healthcode.storage.files import move_files, save_file, save_files
from healthcode.trust.format.layout import (
    AREAS_ROLE,
    expiry_seconds,
    list_file,
    metadata_file,
    participant_of_role,
    target_file,
)
from healthcode.trust.format.metadata import (
    Metadata,
    Root,
    Snapshot,
    Targets,
    decode_metadata,
    expires_at,
    sign_metadata,
    signing_keys,
    to_bytes,
    verify_threshold,
)
from healthcode.trust.format.new_metadata import new_areas_metadata, new_snapshot, new_timestamp
from trust_registry.tree.current import LIMITS, NodeClaim, Published
from trust_registry.tree.event_log import EventKind, EventLog
from trust_registry.tree.files import TIMESTAMP_FILE, TrustTree
from trust_registry.tree.high_water import HighWater
from trust_registry.tree.online_keys import OnlineKeys

__all__ = ["Receipt", "RoleUpdate", "Transaction", "sign_areas", "signers_of"]


@dataclass(frozen=True, slots=True)
class RoleUpdate:
    """A new version of a role: its metadata, and the target files that the metadata names, by path."""

    version: int
    metadata: bytes
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The versions under which something was published; `is_repeat` if it was published before."""

    version: int
    snapshot_version: int
    timestamp_version: int
    is_repeat: bool = False


def sign_areas(key: PrivateKey, version: int, risk: Mapping[str, bytes], now: int) -> RoleUpdate:
    """Signs a new version of the role `areas`."""
    metadata = new_areas_metadata(version=version, files=risk, now=now)
    sign_metadata(metadata, key)
    return RoleUpdate(version, to_bytes(metadata), risk)


def signers_of(metadata: bytes) -> list[str]:
    """The ids of the keys that signed `metadata`, which the caller has verified."""
    return [entry["keyid"] for entry in json.loads(metadata)["signatures"]]


class Transaction:
    """One change of the tree; made by `Repository.transaction`."""

    def __init__(
        self,
        tree: TrustTree,
        keys: OnlineKeys | None,
        now: int,
        high_water: HighWater,
        claims: Callable[[], Mapping[str, NodeClaim]] = dict,
        *,
        events: EventLog,
        reopen: Callable[[], OnlineKeys] | None = None,
        founding: bool = False,
    ) -> None:
        self.tree = tree
        self.now = now
        self._high_water = high_water
        self._claims = claims
        self.events = events
        self.published = None if founding else Published(tree, high_water, claims)
        self.open_keys = keys
        self._reopen = reopen

    @property
    def current(self) -> Published:
        """The current state, as last read or written by this transaction."""
        if self.published is None:
            raise ConfigurationError(
                "nothing has been published yet: found the realm with `trust-registry init`"
            )
        return self.published

    @property
    def keys(self) -> OnlineKeys:
        """The online keys. Raises ConfigurationError if they are not open."""
        if self.open_keys is None:
            raise ConfigurationError(
                "the registry's online keys are not open here, so nothing can be published from here"
            )
        return self.open_keys

    def sign_risk(self, risk: Mapping[str, bytes], targets: Targets | None = None) -> RoleUpdate:
        """Signs the next version of the role `areas` with the key that `targets` names; does not publish it."""
        key = self._key(AREAS_ROLE, targets or self.current.targets.signed)
        return sign_areas(key, self.current.next_version(AREAS_ROLE), risk, self.now)

    def _key(self, role: str, delegator: Root | Targets) -> PrivateKey:
        """The online key that `delegator` names for a role; opens the key files again if it is a new one."""
        named, _ = signing_keys(delegator, role)
        key = self.keys.among(named)
        if key is None and self._reopen is not None:
            self.open_keys = self._reopen()
            key = self.open_keys.among(named)
        if key is None:
            raise ConfigurationError(
                f"the key that is named for {role} is not in the folder keys/: restore it, "
                f"or let the root holders name another one (`propose rotation {role}`)"
            )
        return key

    @property
    def can_publish(self) -> bool:
        """Whether the online keys are open."""
        return self.open_keys is not None

    def keep_lists(self, lists: Mapping[str, Path]) -> None:
        """Moves uploaded lists into the tree, durably. The caller has checked them against their SHA-256 (hex)."""
        fresh: dict[Path, Path] = {}
        for sha256_hex, spooled in lists.items():
            place = self.tree.locate(list_file(sha256_hex))
            if place.is_file():
                spooled.unlink()
            else:
                fresh[spooled] = place
        move_files(fresh)

    def publish(self, updates: Mapping[str, RoleUpdate]) -> Receipt:
        """Publishes new versions of roles together; durable on return. The caller has checked their signatures."""
        fresh: dict[Path, bytes] = {}
        for role, update in updates.items():
            for path, data in update.files.items():
                fresh[self.tree.locate(target_file(path, hashlib.sha256(data).hexdigest()))] = data
            fresh[self.tree.locate(metadata_file(role, update.version))] = update.metadata
            self._note(role, update)
        # clients refuse a snapshot that names a lower version than before, even if we lost that version's file
        versions = dict(self.published.given_out) if self.published else {}
        versions.update(
            {role: max(update.version, versions.get(role, 0)) for role, update in updates.items()}
        )
        snapshot_version = self.published.next_snapshot if self.published else 1
        snapshot = new_snapshot(version=snapshot_version, versions=versions, now=self.now)
        sign_metadata(
            snapshot,
            self._key("snapshot", self.published.root.signed) if self.published else self.keys.snapshot,
        )
        data = to_bytes(snapshot)
        fresh[self.tree.locate(metadata_file("snapshot", snapshot_version))] = data
        # a crash before the timestamp's rename leaves files that nothing names; the next transaction overwrites them
        save_files(fresh)
        newest = max((update.version for update in updates.values()), default=0)
        return self._publish_timestamp(newest, data, snapshot_version)

    def _note(self, role: str, update: RoleUpdate) -> None:
        """Notes a publication that people signed. Heads are too many, and each is signed by its province's node."""
        participant = participant_of_role(role)
        if participant is None or not participant[1]:
            subject = f"{role} version {update.version}"
            self.events.record(EventKind.PUBLISHED, subject, who=signers_of(update.metadata))

    def publish_root(self, version: int, root: bytes, updates: Mapping[str, RoleUpdate]) -> Receipt:
        """Publishes a new root, checked by the caller, then the roles that must change with it; durable on return.

        The keys that the new root names sign the snapshot and timestamp.
        """
        signed = decode_metadata(root, Root, LIMITS.root_bytes).signed
        self.events.record(EventKind.PUBLISHED, f"root version {version}", who=signers_of(root))
        for role in ("snapshot", "timestamp"):
            self._key(role, signed)
        # the rename of N.root.json makes the root durable; after a crash, publishing it again continues here
        if self.current.versions.root < version:
            save_file(self.tree.locate(metadata_file("root", version)), root)
            self.published = Published(self.tree, self._high_water, self._claims)
        if updates or not self._is_snapshot_valid():
            return self.publish(updates)
        return self._renew_timestamp(version)

    def _is_snapshot_valid(self) -> bool:
        """Whether a key that the current root names signed the snapshot."""
        try:
            verify_threshold(self.current.root.signed, "snapshot", self.current.snapshot)
        except SignatureError:
            return False
        return True

    def renew(self) -> Receipt:
        """Re-signs the timestamp, and before it the areas and snapshot if half of their lifetime is over."""
        updates = {}
        areas = self.current.role(AREAS_ROLE)
        # without the areas key that targets names, renew all the rest
        if areas is not None and self._is_half_over(AREAS_ROLE, areas) and self._has_areas_key():
            updates = self._renewed_areas(areas)
        is_below = self.current.given_out != self.current.versions.roles
        if (
            updates
            or is_below
            or self._is_half_over("snapshot", self.current.snapshot)
            or not self._is_snapshot_valid()
        ):
            return self.publish(updates)
        return self._renew_timestamp(self.current.versions.timestamp + 1)

    def resume(self) -> Receipt:
        """Publishes the registry's own roles above the high-water versions, at once after those were raised."""
        areas = self.current.role(AREAS_ROLE)
        if areas is None or AREAS_ROLE not in self.current.lacking or not self._has_areas_key():
            return self.publish({})
        return self.publish(self._renewed_areas(areas))

    def _has_areas_key(self) -> bool:
        try:
            self._key(AREAS_ROLE, self.current.targets.signed)
        except ConfigurationError:
            return False
        return True

    def _renewed_areas(self, areas: Metadata[Targets]) -> dict[str, RoleUpdate]:
        return {
            AREAS_ROLE: self.sign_risk(
                {path: self.current.file(areas, path) for path in areas.signed.targets}
            )
        }

    def _is_half_over(self, role: str, metadata: Metadata[Targets] | Metadata[Snapshot]) -> bool:
        return expires_at(metadata.signed) - self.now < expiry_seconds(role) / 2

    def _renew_timestamp(self, version: int) -> Receipt:
        snapshot_version = self.current.versions.snapshot
        data = self.tree.read(metadata_file("snapshot", snapshot_version))
        return self._publish_timestamp(version, data, snapshot_version)

    def _publish_timestamp(self, version: int, snapshot: bytes, snapshot_version: int) -> Receipt:
        timestamp_version = self.published.next_timestamp if self.published else 1
        timestamp = new_timestamp(
            version=timestamp_version, snapshot=snapshot, snapshot_version=snapshot_version, now=self.now
        )
        sign_metadata(
            timestamp,
            self._key("timestamp", self.published.root.signed) if self.published else self.keys.timestamp,
        )
        save_file(self.tree.locate(TIMESTAMP_FILE), to_bytes(timestamp))
        if self.tree.exists:
            self.published = Published(self.tree, self._high_water, self._claims)
        return Receipt(version, snapshot_version, timestamp_version)
