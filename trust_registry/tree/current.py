"""The current versions of all roles and files in the trust tree, and the versions that come next.

A restored registry may *lack* role versions that nodes have; the snapshot still names them (docs/adr/0016).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from healthcode.errors import ConfigurationError
from healthcode.strict_json import load_json
from healthcode.trust.format.delegation import delegated_participants
from healthcode.trust.format.json_files import ParticipantsFile, decode_json_file
from healthcode.trust.format.layout import PARTICIPANTS_PATH, TrustLimits, metadata_file, target_file
from healthcode.trust.format.metadata import (
    Metadata,
    Root,
    Snapshot,
    Targets,
    Timestamp,
    decode_metadata,
    target_of,
)
from healthcode.trust.format.metadata_fields import realm_of
from healthcode.trust.verify.roots import root_fingerprint
from trust_registry.tree.files import TIMESTAMP_FILE, TreeVersions, TrustTree
from trust_registry.tree.high_water import HighWater, Loss

__all__ = ["LIMITS", "NodeClaim", "Published", "signed_part"]

LIMITS = TrustLimits()


@dataclass(frozen=True, slots=True)
class NodeClaim:
    """What a node reports of itself; nothing proves it."""

    software: str
    root_version: int
    policy_format: int
    areas_format: int


class Published:
    """The current state of the tree: versions are read once, files are decoded on first use.

    `claims` gives what each node says of itself, by node.
    """

    def __init__(
        self,
        tree: TrustTree,
        high_water: HighWater | None = None,
        claims: Callable[[], Mapping[str, NodeClaim]] = dict,
    ) -> None:
        self._tree = tree
        self._claims = claims
        self._high_water = high_water or HighWater()
        self.versions: TreeVersions = tree.versions()
        self._held: dict[str, int] = {}

    @cached_property
    def root(self) -> Metadata[Root]:
        return decode_metadata(self.root_bytes, Root, LIMITS.root_bytes)

    @property
    def root_bytes(self) -> bytes:
        """The current root file."""
        return self._tree.read(metadata_file("root", self.versions.root))

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the current root."""
        return root_fingerprint(self.root_bytes)

    @cached_property
    def targets(self) -> Metadata[Targets]:
        return decode_metadata(self.role_bytes("targets"), Targets, LIMITS.targets_bytes)

    @cached_property
    def timestamp(self) -> Metadata[Timestamp]:
        return decode_metadata(self._tree.read(TIMESTAMP_FILE), Timestamp, LIMITS.timestamp_bytes)

    @cached_property
    def snapshot(self) -> Metadata[Snapshot]:
        data = self._tree.read(metadata_file("snapshot", self.versions.snapshot))
        return decode_metadata(data, Snapshot, LIMITS.snapshot_bytes)

    @cached_property
    def participants(self) -> ParticipantsFile:
        data = self.file(self.targets, PARTICIPANTS_PATH)
        return decode_json_file(ParticipantsFile, data, LIMITS.participants_bytes)

    @cached_property
    def members(self) -> tuple[str, ...]:
        """The participants that targets delegates to. Those who left are not among them, though their chains stay."""
        return tuple(
            sorted(delegated_participants(self.targets.signed) & self.participants.participants.keys())
        )

    @property
    def realm(self) -> str:
        return realm_of(self.root.signed)

    def version_of(self, role: str) -> int:
        """The current version of a role; 0 if it has never published."""
        return self.versions.roles.get(role, 0)

    @cached_property
    def given_out(self) -> Mapping[str, int]:
        """The highest version of each role that any snapshot named; the next snapshot must not name a lower one."""
        return {
            role: max(self.version_of(role), self._high_water.roles.get(role, 0))
            for role in (*self.versions.roles, *self._high_water.roles)
        }

    def held_version(self, role: str) -> int:
        """The newest version of a role whose file is here; 0 if there is none."""
        if role not in self._held:
            newest = self.given_out.get(role, 0)
            self._held[role] = newest and self._tree.newest_version(role, newest)
        return self._held[role]

    @property
    def lacking(self) -> Mapping[str, int]:
        """The roles whose newest published version is lost here, with that version."""
        return {
            role: version for role, version in self.given_out.items() if self.held_version(role) < version
        }

    @cached_property
    def root_claims(self) -> Mapping[str, int]:
        """The newer versions of root that participants' nodes and the gateway claim to have, by node; unproved."""
        newer = {
            node: claim.root_version
            for node, claim in self.claims.items()
            if claim.root_version > self.versions.root
        }
        if not newer:
            return {}
        trusted_reporters = {*self.members, "gateway"}
        return {node: version for node, version in newer.items() if node in trusted_reporters}

    @cached_property
    def claims(self) -> Mapping[str, NodeClaim]:
        """What each node says of itself in its last report, by node; unproved."""
        return self._claims()

    @cached_property
    def reporters(self) -> tuple[str, ...]:
        """The nodes that should report: each participant's, and the gateway if one is published."""
        gateway = ("gateway",) if "gateway" in self.participants.services else ()
        return (*self.members, *gateway)

    @property
    def losses(self) -> Mapping[str, Loss]:
        """The losses that operators accepted, by role."""
        return self._high_water.losses

    def next_version(self, role: str) -> int:
        """The version that a role publishes next: above the current one, and above any that nodes already have."""
        if role == "root":
            return self.versions.root + 1  # roots are a chain without gaps
        return 1 + self.given_out.get(role, 0)

    def may_skip(self, role: str) -> bool:
        """Whether a role's owner may skip versions, because it may have published some that are not proved yet.

        True after a restore from an old copy, until the role publishes above every proved version.
        """
        return self._high_water.timestamp > 0 and self.held_version(role) <= self._high_water.roles.get(
            role, 0
        )

    def signed_as(self, role: str, version: int) -> Mapping[str, Any] | None:
        """The signed part of a version of root or targets; None if that version was never published."""
        newest = self.versions.root if role == "root" else self.given_out.get(role, 0)
        path = metadata_file(role, version)
        if version > newest or not self._tree.has(path):
            return None
        return signed_part(self._tree.read(path))

    @property
    def next_snapshot(self) -> int:
        return 1 + max(self.versions.snapshot, self._high_water.snapshot)

    @property
    def next_timestamp(self) -> int:
        return 1 + max(self.versions.timestamp, self._high_water.timestamp)

    def role_bytes(self, role: str) -> bytes:
        """The newest metadata of a role that is here. Raises NotFoundError if there is none."""
        return self._tree.read(metadata_file(role, self.held_version(role) or 1))

    def role(self, role: str) -> Metadata[Targets] | None:
        """The newest metadata of a delegated role that is here, decoded; None if there is none."""
        if self.held_version(role) == 0:
            return None
        return decode_metadata(self.role_bytes(role), Targets, LIMITS.targets_bytes)

    def file(self, targets: Metadata[Targets], path: str) -> bytes:
        """A file that `targets` lists itself. Raises ConfigurationError if it lists no such file."""
        entry = target_of(targets.signed, path)
        if entry is None:
            raise ConfigurationError(f"the trust tree is damaged: no role lists {path}")
        return self._tree.read(target_file(path, entry.hashes["sha256"]))


def signed_part(metadata: bytes) -> Mapping[str, Any]:
    """The part of a metadata file that its signatures cover."""
    signed = load_json(metadata, LIMITS.targets_bytes)["signed"]
    assert isinstance(signed, dict)  # noqa: S101  it was decoded as metadata before it was stored
    return signed
