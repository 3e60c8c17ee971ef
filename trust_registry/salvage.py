"""What a mirror holds, verified from the root down: what a registry can be rebuilt from.

A mirror needs no trust: the chain is checked from the root with the known fingerprint,
without looking at expiry, since the machine may have been dead for a while. A node's
trust folder serves as a mirror, too; it holds all but old roots and deltas, and may be
newer than any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from healthcode.errors import DecodeError, NotFoundError, Reason, TrustError
from healthcode.trust.assembly import AreaFiles, IssuerFiles, TrustFiles, TrustState, assemble
from healthcode.trust.layout import (
    AREAS_ROLE,
    PARTICIPANTS_PATH,
    POLICY_PATH,
    RISK_PATH,
    authority_role,
    head_path,
    list_file,
    live_role,
    metadata_file,
    province_path,
    target_file,
)
from healthcode.trust.metadata import Root, Snapshot, Targets, Timestamp, decode_metadata, target_of
from healthcode.trust.national import NationalFiles, root_fingerprint
from healthcode.trust.source import FolderSource, TrustSource
from trust_registry.floor import Floor
from trust_registry.published import LIMITS
from trust_registry.tree import TIMESTAMP_FILE

__all__ = ["GenerationSource", "Salvage", "fetch_roots", "is_trust_folder", "salvage"]


@dataclass(frozen=True, slots=True)
class Salvage:
    """A whole tree that holds: its files by path, what they say, and the deltas that the mirror lacks."""

    name: str
    files: Mapping[str, bytes]
    state: TrustState
    missing_deltas: int

    @property
    def floor(self) -> Floor:
        """The versions that this mirror proves were given out."""
        national = self.state.national
        roles = {name.removesuffix(".json"): meta.version for name, meta in national.snapshot.meta.items()}
        return Floor(timestamp=national.timestamp.version, snapshot=national.snapshot.version, roles=roles)

    @property
    def order(self) -> tuple[int, int, int]:
        """What is newer: by root, then snapshot, then timestamp."""
        national = self.state.national
        return (national.root.version, national.snapshot.version, national.timestamp.version)


def is_trust_folder(folder: Path) -> bool:
    """Whether a folder is the trust folder of a node, not a mirror."""
    return (folder / "trust.json").is_file() and (folder / "current").is_dir()


class GenerationSource:
    """A node's trust folder as a source: its files have no versions in their names, so each is compared."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._source = FolderSource(folder / "current")
        data = (folder / "root.json").read_bytes()
        self._first = decode_metadata(data, Root, LIMITS.root_bytes).signed.version

    @property
    def name(self) -> str:
        return f"the trust folder {self._folder}"

    def fetch(self, path: str, max_bytes: int) -> bytes:
        """The file that a mirror would have at `path`; see TrustSource.fetch."""
        area, _, rest = path.partition("/")
        if area == "targets":
            folder, _, name = rest.rpartition("/")
            plain = name.partition(".")[2] or name  # without the hash before it
            return self._source.fetch("targets/" + quote(f"{folder}/{plain}", ""), max_bytes)
        if area != "metadata" or path == TIMESTAMP_FILE:
            return self._source.fetch(path, max_bytes)
        version, _, name = rest.partition(".")
        if name == "root.json":
            number = int(version) - self._first
            if number == 0:
                return FolderSource(self._folder).fetch("root.json", max_bytes)
            return self._source.fetch(f"metadata/root+{number}.json", max_bytes)
        data = self._source.fetch(f"metadata/{name}", max_bytes)
        if str(json.loads(data)["signed"]["version"]) != version:
            raise NotFoundError(f"{self.name} has no file {path}")
        return data


def fetch_roots(source: TrustSource) -> dict[int, bytes]:
    """Every root that a source holds, by version; verified later, as a chain."""
    found: dict[int, bytes] = {}
    for version in range(1, LIMITS.root_rotations + 1):
        try:
            found[version] = source.fetch(metadata_file("root", version), LIMITS.root_bytes)
        except NotFoundError:
            if found:
                break
    return found


def salvage(source: TrustSource, fingerprint: str, older_roots: Mapping[int, bytes]) -> Salvage:
    """Takes a whole tree from `source` and verifies it, lists included.

    `older_roots` are what other sources have; a node's folder does not begin at the first.
    Raises TrustError, SignatureError, DecodeError when something does not hold,
    NotFoundError when it is not whole, UnavailableError when it is out of reach.
    """
    reader = _Reader(source)
    own = fetch_roots(source)
    newest = max(own, default=0)
    roots = {**{version: data for version, data in older_roots.items() if version < newest}, **own}
    chain = [roots[version] for version in sorted(roots)]
    if fingerprint not in map(root_fingerprint, chain):
        raise TrustError(
            f"{source.name} serves no root with fingerprint {fingerprint}: it is of another realm"
        )
    for version, data in roots.items():
        reader.files[metadata_file("root", version)] = data
    national = _national(reader, chain)
    snapshot = decode_metadata(national.snapshot, Snapshot, LIMITS.snapshot_bytes).signed
    versions = {name.removesuffix(".json"): meta.version for name, meta in snapshot.meta.items()}
    targets = decode_metadata(national.targets, Targets, LIMITS.targets_bytes).signed
    files = TrustFiles(national, _areas(reader, versions), _issuers(reader, targets, versions))
    state = assemble(files, reader.read)
    missing = sum(
        not reader.try_read(list_file(day.delta.sha256.hex()), day.delta.byte_count)
        for issuer in state.issuers.values()
        if issuer.live is not None
        for day in issuer.live.head.days.values()
        if day.delta is not None
    )
    return Salvage(source.name, reader.files, state, missing)


class _Reader:
    """Reads files once, and keeps them."""

    def __init__(self, source: TrustSource) -> None:
        self._source = source
        self.files: dict[str, bytes] = {}

    def read(self, path: str, max_bytes: int) -> bytes:
        if path not in self.files:
            self.files[path] = self._source.fetch(path, max_bytes)
        return self.files[path]

    def try_read(self, path: str, max_bytes: int) -> bool:
        try:
            self.read(path, max_bytes)
        except NotFoundError:
            return False
        return True

    def role(self, role: str, version: int, max_bytes: int) -> tuple[bytes, Targets]:
        data = self.read(metadata_file(role, version), max_bytes)
        return data, decode_metadata(data, Targets, max_bytes).signed

    def target(self, targets: Targets, path: str, max_bytes: int) -> bytes:
        listed = target_of(targets, path)
        if listed is None:
            raise TrustError(f"{path} is not listed by its role", reason=Reason.FILE_UNKNOWN)
        try:
            return self.read(target_file(path, listed.hashes["sha256"]), min(listed.length, max_bytes))
        except (KeyError, ValueError) as error:
            raise DecodeError("metadata.format", f"{path} is listed without a hash") from error


def _national(reader: _Reader, roots: Sequence[bytes]) -> NationalFiles:
    timestamp = reader.read(TIMESTAMP_FILE, LIMITS.timestamp_bytes)
    named = decode_metadata(timestamp, Timestamp, LIMITS.timestamp_bytes).signed.snapshot_meta
    snapshot = reader.read(metadata_file("snapshot", named.version), LIMITS.snapshot_bytes)
    meta = decode_metadata(snapshot, Snapshot, LIMITS.snapshot_bytes).signed.meta.get("targets.json")
    if meta is None:
        raise TrustError("snapshot names no targets", reason=Reason.FILE_UNKNOWN)
    data, targets = reader.role("targets", meta.version, LIMITS.targets_bytes)
    return NationalFiles(
        tuple(roots),
        timestamp,
        snapshot,
        data,
        reader.target(targets, PARTICIPANTS_PATH, LIMITS.participants_bytes),
        reader.target(targets, POLICY_PATH, LIMITS.policy_bytes),
    )


def _areas(reader: _Reader, versions: Mapping[str, int]) -> AreaFiles | None:
    if AREAS_ROLE not in versions:
        return None
    data, targets = reader.role(AREAS_ROLE, versions[AREAS_ROLE], LIMITS.province_metadata_bytes)
    return AreaFiles(data, reader.target(targets, RISK_PATH, LIMITS.risk_bytes))


def _issuers(reader: _Reader, targets: Targets, versions: Mapping[str, int]) -> dict[str, IssuerFiles]:
    """What each participant published. A retired one, whom targets no longer delegates to, keeps its files."""
    delegated = frozenset() if targets.delegations is None else frozenset(targets.delegations.roles or {})
    found: dict[str, IssuerFiles] = {}
    limit = LIMITS.province_metadata_bytes
    for number in range(100):
        code = f"{number:02}"
        if authority_role(code) not in versions:
            continue
        data, authority = reader.role(authority_role(code), versions[authority_role(code)], limit)
        province = reader.target(authority, province_path(code), LIMITS.province_bytes)
        live: tuple[bytes | None, bytes | None] = (None, None)
        if live_role(code) in versions:
            metadata, live_targets = reader.role(live_role(code), versions[live_role(code)], limit)
            live = (metadata, reader.target(live_targets, head_path(code), LIMITS.head_bytes))
        if authority_role(code) in delegated:
            found[code] = IssuerFiles(data, province, *live)
    return found
