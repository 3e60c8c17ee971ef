"""Reads one source for a rebuild and verifies its roots and national files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from healthcode.errors import DecodeError, Reason, TrustError
from healthcode.trust.format.layout import PARTICIPANTS_PATH, POLICY_PATH, metadata_file, target_file
from healthcode.trust.format.metadata import Snapshot, Targets, Timestamp, decode_metadata, target_of
from healthcode.trust.sources.trust_source import TrustSource
from healthcode.trust.verify.national import NationalFiles, NationalTrust, verify_national
from trust_registry.recovery.node_folder import NodeFolderSource
from trust_registry.recovery.root_chain import complete_chain, proved_roots
from trust_registry.tree.current import LIMITS
from trust_registry.tree.files import TIMESTAMP_FILE
from trust_registry.tree.high_water import HighWater, check_high_water

__all__ = ["FileReader", "Survey", "place_of", "survey"]


@dataclass(slots=True)
class FileReader:
    """Fetches each file of one source once; `files` are those fetched so far."""

    source: TrustSource
    files: dict[str, bytes] = field(default_factory=dict)

    def read(self, path: str, max_bytes: int) -> bytes:
        if path not in self.files:
            self.files[path] = self.source.fetch(path, max_bytes)
        return self.files[path]

    def role(self, role: str, version: int, max_bytes: int) -> tuple[bytes, Targets]:
        data = self.read(metadata_file(role, version), max_bytes)
        return data, decode_metadata(data, Targets, max_bytes).signed

    def target(self, targets: Targets, path: str, max_bytes: int) -> bytes:
        listed = target_of(targets, path)
        if listed is None:
            raise TrustError(f"{path} is not listed by its role", reason=Reason.FILE_UNKNOWN)
        return self.read(place_of(targets, path), min(listed.length, max_bytes))


def place_of(targets: Targets, path: str) -> str:
    """The place in the tree of a file that `targets` lists. Raises DecodeError if it lists no hash."""
    try:
        return target_file(path, targets.targets[path].hashes["sha256"])
    except (KeyError, ValueError) as error:
        raise DecodeError("metadata.format", f"{path} is listed without a hash") from error


@dataclass(slots=True)
class Survey:
    """The verified national part of one source; `high_water` are the versions that its snapshot proves."""

    reader: FileReader
    national: NationalTrust
    high_water: HighWater

    @property
    def order(self) -> tuple[int, int, int]:
        """Sorts sources by age: root version, then snapshot, then timestamp."""
        national = self.national
        return (national.root.version, national.snapshot.version, national.timestamp.version)

    def versions_of(self, role: str) -> set[int]:
        """The versions of a role that this source may have."""
        found = {self.national.version_of(role) or 0}
        if isinstance(self.reader.source, NodeFolderSource):
            found.add(self.reader.source.held_version(role))
        return found - {0}


def survey(
    source: TrustSource,
    fingerprint: str,
    own: Mapping[int, bytes],
    offered: Mapping[int, Sequence[bytes]],
) -> Survey:
    """Verifies the national part of a source. `own` are its roots, `offered` those of all sources.

    Raises RefusedTrustError for another realm's source, TrustError, SignatureError or DecodeError for invalid files.
    """
    # a node's trust folder need not have the first roots: others fill the gap
    chain = complete_chain(source, fingerprint, own, offered)
    roots, adopted = proved_roots(chain, fingerprint)
    places = {metadata_file("root", version): data for version, data in chain.items() if data in roots}
    reader = FileReader(source, places)
    timestamp = reader.read(TIMESTAMP_FILE, LIMITS.timestamp_bytes)
    named = decode_metadata(timestamp, Timestamp, LIMITS.timestamp_bytes).signed.snapshot_meta
    snapshot = reader.read(metadata_file("snapshot", named.version), LIMITS.snapshot_bytes)
    meta = decode_metadata(snapshot, Snapshot, LIMITS.snapshot_bytes).signed.meta.get("targets.json")
    if meta is None:
        raise TrustError("snapshot names no targets", reason=Reason.FILE_UNKNOWN)
    data, targets = reader.role("targets", meta.version, LIMITS.targets_bytes)
    files = NationalFiles(
        tuple(roots),
        timestamp,
        snapshot,
        data,
        reader.target(targets, PARTICIPANTS_PATH, LIMITS.participants_bytes),
        reader.target(targets, POLICY_PATH, LIMITS.policy_bytes),
        adopted,
    )
    national = verify_national(files, LIMITS)
    high_water = check_high_water(
        HighWater(
            timestamp=national.timestamp.version,
            snapshot=national.snapshot.version,
            roles={name.removesuffix(".json"): each.version for name, each in national.snapshot.meta.items()},
        )
    )
    return Survey(reader, national, high_water)
