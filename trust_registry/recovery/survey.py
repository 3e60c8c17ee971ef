"""One source looked through for a rebuild: its roots, and its national files, verified from the root down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from healthcode.errors import (
    DecodeError,
    HealthcodeError,
    NotFoundError,
    Reason,
    RefusedTrustError,
    TrustError,
)
from healthcode.trust.format.layout import (
    PARTICIPANTS_PATH,
    POLICY_PATH,
    metadata_file,
    target_file,
)
from healthcode.trust.format.metadata import (
    Snapshot,
    Targets,
    Timestamp,
    decode_metadata,
    target_of,
)
from healthcode.trust.sources.trust_source import TrustSource
from healthcode.trust.verify.national import (
    National,
    NationalFiles,
    verify_national,
)
from healthcode.trust.verify.roots import (
    bootstrap_fingerprints,
    root_fingerprint,
    verify_roots,
)
from trust_registry.recovery.node_folder import NodeFolderSource
from trust_registry.tree.current import LIMITS
from trust_registry.tree.files import TIMESTAMP_FILE
from trust_registry.tree.high_water import HighWater, check_high_water

__all__ = ["FileReader", "Survey", "candidates", "fetch_roots", "place_of", "survey"]


@dataclass(slots=True)
class FileReader:
    """Reads the files of one source once, and keeps them."""

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


def fetch_roots(source: TrustSource) -> dict[int, bytes]:
    """Every root that a source holds, by version; verified later, as a chain."""
    if isinstance(source, NodeFolderSource):
        return dict(source.roots)
    found: dict[int, bytes] = {}
    for version in range(1, LIMITS.root_rotations + 1):
        try:
            found[version] = source.fetch(metadata_file("root", version), LIMITS.root_bytes)
        except NotFoundError:
            if found:
                break
    return found


def _row(
    source: TrustSource, fingerprint: str, own: Mapping[int, bytes], together: Mapping[int, Sequence[bytes]]
) -> dict[int, bytes]:
    """The row of roots of a source, by version: its own, and where it has none, what holds beside its neighbour.

    Built from the root with the known fingerprint, forwards up to the newest that the source has, and back.
    """
    newest = max(own, default=0)
    offered = {version: found for version, found in together.items() if version <= newest}
    offered |= {version: (data,) for version, data in own.items()}
    known = [
        (version, data)
        for version, found in offered.items()
        for data in found
        if root_fingerprint(data) == fingerprint
    ]
    if not known:
        has_it = any(root_fingerprint(data) == fingerprint for found in together.values() for data in found)
        why = (
            "another source has it"
            if has_it
            else "nor does any other source: name a mirror that has, if this is it"
        )
        raise RefusedTrustError(
            f"{source.name} has no root with fingerprint {fingerprint}: it is of another realm, or damaged, or has lost "
            f"its first roots ({why})"
        )
    first, data = known[0]
    row = {first: data}

    def fits(each: bytes, beside: Sequence[bytes], *, before: bool) -> bool:
        pair = [*beside, each] if before else [each, *beside]
        try:
            verify_roots(pair, LIMITS, adopted=bootstrap_fingerprints(pair, data))
        except HealthcodeError:
            return False
        return True

    for version in (*range(first + 1, newest + 1), *range(first - 1, 0, -1)):
        before = version > first
        neighbour = version - 1 if before else version + 1
        beside = [row[neighbour]] if neighbour in row else []
        found = next((each for each in offered.get(version, ()) if fits(each, beside, before=before)), None)
        if found is not None:
            row[version] = found
    return {**row, **own}


def _proved(row: dict[int, bytes], fingerprint: str) -> tuple[list[bytes], frozenset[str]]:
    """The row without what nothing leads to, and where in it root began anew by the word of the known root.

    Before a root that began anew only the one that it names is proved: a folder whose people
    adopted it and skipped that one may hold anything below.
    """
    known = next(data for data in row.values() if root_fingerprint(data) == fingerprint)
    adopted = bootstrap_fingerprints(list(row.values()), known)
    kept: list[int] = []
    for version in sorted(row):
        if kept and version > kept[-1] + 1 and root_fingerprint(row[version]) in adopted:
            kept = []
        kept.append(version)
    return [row[version] for version in kept], adopted


@dataclass(slots=True)
class Survey:
    """The national part of one source, verified; what was read of it so far."""

    reader: FileReader
    national: National
    high_water: HighWater

    @property
    def order(self) -> tuple[int, int, int]:
        """What is newer: by root, then snapshot, then timestamp."""
        national = self.national
        return (national.root.version, national.snapshot.version, national.timestamp.version)

    def versions_of(self, role: str) -> set[int]:
        """The versions of a role that this source may have."""
        found = {self.national.version_of(role) or 0}
        if isinstance(self.reader.source, NodeFolderSource):
            found.add(self.reader.source.held_version(role))
        return found - {0}


def place_of(targets: Targets, path: str) -> str:
    try:
        return target_file(path, targets.targets[path].hashes["sha256"])
    except (KeyError, ValueError) as error:
        raise DecodeError("metadata.format", f"{path} is listed without a hash") from error


def candidates(held: Iterable[Mapping[int, bytes]]) -> dict[int, tuple[bytes, ...]]:
    """What sources serve as the root of each version, unverified; what most of them serve comes first."""
    counts: dict[int, Counter[bytes]] = {}
    for roots in held:
        for version, data in roots.items():
            counts.setdefault(version, Counter())[data] += 1
    return {version: tuple(data for data, _ in found.most_common()) for version, found in counts.items()}


def survey(
    source: TrustSource,
    fingerprint: str,
    own: Mapping[int, bytes],
    together: Mapping[int, Sequence[bytes]],
) -> Survey:
    """The national part of a source. `together` are the roots of all: a node's folder does not begin at the first."""
    roots = _row(source, fingerprint, own, together)
    chain, adopted = _proved(roots, fingerprint)
    places = {metadata_file("root", version): data for version, data in roots.items() if data in chain}
    reader = FileReader(source, places)
    timestamp = reader.read(TIMESTAMP_FILE, LIMITS.timestamp_bytes)
    named = decode_metadata(timestamp, Timestamp, LIMITS.timestamp_bytes).signed.snapshot_meta
    snapshot = reader.read(metadata_file("snapshot", named.version), LIMITS.snapshot_bytes)
    meta = decode_metadata(snapshot, Snapshot, LIMITS.snapshot_bytes).signed.meta.get("targets.json")
    if meta is None:
        raise TrustError("snapshot names no targets", reason=Reason.FILE_UNKNOWN)
    data, targets = reader.role("targets", meta.version, LIMITS.targets_bytes)
    files = NationalFiles(
        tuple(chain),
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
