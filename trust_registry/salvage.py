"""What several sources hold together, verified from the root down: what a registry can be rebuilt from.

No source needs trust: the chain is checked from the root with the known fingerprint,
without looking at expiry, since the machine may have been dead for a while. The national
files come whole from the newest source that holds; each participant's files from whichever
source has the newest of them that hold. What nobody has is *lacking*: the registry names its
version all the same, and asks the province for it (docs/adr/0016).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from healthcode.errors import DecodeError, HealthcodeError, NotFoundError, Reason, TrustError
from healthcode.revocation.head import Head
from healthcode.trust.assembly import AreaFiles, IssuerFiles, IssuerTrust, verify_areas, verify_issuer
from healthcode.trust.delegation import verify_delegation
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
    participant_of_role,
    province_path,
    target_file,
)
from healthcode.trust.link import verify_chain
from healthcode.trust.metadata import (
    Snapshot,
    Targets,
    Timestamp,
    decode_metadata,
    reonboarded_in,
    target_of,
)
from healthcode.trust.national import National, NationalFiles, root_fingerprint, verify_national
from healthcode.trust.source import TrustSource
from trust_registry.floor import Floor, check_floor
from trust_registry.node_folder import NodeFolderSource
from trust_registry.published import LIMITS
from trust_registry.tree import TIMESTAMP_FILE

__all__ = ["Salvage", "fetch_roots", "salvage"]


@dataclass(frozen=True, slots=True)
class Salvage:
    """A tree that holds. `files` by path; `source` names where the national files are from.

    `floor`: the highest versions that any source proves were given out. `lacking`: the roles
    whose version nobody had, with that version. `refused`: why a source gave nothing, by its
    name. `missing_deltas`: clients fetch the full list where one is missing.
    """

    source: str
    national: National
    files: Mapping[str, bytes]
    issuers: Mapping[str, IssuerTrust]
    floor: Floor
    lacking: Mapping[str, int]
    refused: Mapping[str, str]
    missing_deltas: int


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


def salvage(sources: Sequence[TrustSource], fingerprint: str) -> Salvage:
    """Takes from `sources` the newest of everything that holds.

    Raises TrustError when none holds the national files, and says of each why.
    """
    refused: dict[str, str] = {}
    roots: dict[str, dict[int, bytes]] = {}
    for source in sources:
        try:
            roots[source.name] = fetch_roots(source)
        except HealthcodeError as error:
            refused[source.name] = error.message
    together = {version: data for each in reversed(roots.values()) for version, data in each.items()}
    found: list[_Found] = []
    for source in sources:
        if source.name in refused:
            continue
        try:
            found.append(_survey(source, fingerprint, roots[source.name], together))
        except HealthcodeError as error:
            refused[source.name] = error.message
    if not found:
        reasons = "; ".join(f"{name}: {why}" for name, why in refused.items())
        raise TrustError(f"no source holds, so nothing was rebuilt. {reasons}")
    return _gather(sorted(found, key=lambda each: each.order, reverse=True), refused)


@dataclass(slots=True)
class _Found:
    """The national part of one source, verified; what was read of it so far."""

    reader: _Reader
    national: National
    floor: Floor

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


@dataclass(slots=True)
class _Reader:
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
        return self.read(_place(targets, path), min(listed.length, max_bytes))


def _place(targets: Targets, path: str) -> str:
    try:
        return target_file(path, targets.targets[path].hashes["sha256"])
    except (KeyError, ValueError) as error:
        raise DecodeError("metadata.format", f"{path} is listed without a hash") from error


def _survey(
    source: TrustSource, fingerprint: str, own: Mapping[int, bytes], together: Mapping[int, bytes]
) -> _Found:
    """The national part of a source. `together` are the roots of all: a node's folder does not begin at the first."""
    newest = max(own, default=0)
    roots = {**{version: data for version, data in together.items() if version < newest}, **own}
    chain = [roots[version] for version in sorted(roots)]
    if fingerprint not in map(root_fingerprint, chain):
        raise TrustError(
            f"{source.name} serves no root with fingerprint {fingerprint}: it is of another realm"
        )
    reader = _Reader(source, {metadata_file("root", version): data for version, data in roots.items()})
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
    )
    national = verify_national(files, LIMITS)
    floor = check_floor(
        Floor(
            timestamp=national.timestamp.version,
            snapshot=national.snapshot.version,
            roles={
                name.removesuffix(".json"): each.version for name, each in national.snapshot.meta.items()
            },
        )
    )
    return _Found(reader, national, floor)


def _gather(found: Sequence[_Found], refused: Mapping[str, str]) -> Salvage:
    """The newest national files, and of each role the newest that holds; `found` begins with the newest."""
    best = found[0]
    national = best.national
    floor = Floor()
    for each in found:
        floor = floor.raised(each.floor)
    files = dict(best.reader.files)
    held = {"targets": national.targets.version}
    risk = _areas(found, national)
    if risk is not None:
        files |= risk[1]
        held[AREAS_ROLE] = risk[0]
    issuers: dict[str, IssuerTrust] = {}
    missing = 0
    for role in floor.roles:
        participant, is_live = participant_of_role(role) or ("", True)
        if is_live:
            continue
        entry = national.participants.participants.get(participant)
        delegated = national.targets.delegations
        if entry is None or delegated is None or role not in (delegated.roles or {}):
            held |= _unread(found, participant, files)
            continue
        issuer = _issuer(found, participant, national, files)
        if issuer is None:
            continue
        issuers[participant] = issuer
        held[role] = issuer.authority.version
        if issuer.live is not None:
            held[live_role(participant)] = issuer.live.version
            missing += _deltas(found, issuer.live.head, files)
    lacking = {role: version for role, version in floor.roles.items() if held.get(role, 0) < version}
    return Salvage(best.reader.source.name, national, files, issuers, floor, lacking, refused, missing)


def _areas(found: Sequence[_Found], national: National) -> tuple[int, dict[str, bytes]] | None:
    """(version, files) of the newest area risk that holds."""
    for version, each in _newest_first(found, AREAS_ROLE):
        try:
            metadata, targets = each.reader.role(AREAS_ROLE, version, LIMITS.province_metadata_bytes)
            risk = each.reader.target(targets, RISK_PATH, LIMITS.risk_bytes)
            trust = verify_areas(AreaFiles(metadata, risk), national, limits=LIMITS)
        except HealthcodeError:
            continue
        names = {metadata_file(AREAS_ROLE, version): metadata, _place(targets, RISK_PATH): risk}
        return trust.version, names
    return None


def _newest_first(found: Sequence[_Found], role: str) -> list[tuple[int, _Found]]:
    pairs = [(version, each) for each in found for version in each.versions_of(role)]
    return sorted(pairs, key=lambda pair: -pair[0])


def _issuer(
    found: Sequence[_Found], participant: str, national: National, files: dict[str, bytes]
) -> IssuerTrust | None:
    """The newest files of a participant that hold, put into `files`; None when no authority's do."""
    chain = national.participants.participants[participant].chain
    verify_chain(participant, chain, national.realm, reonboarded_in(national.root))
    verify_delegation(national.targets, participant, chain[-1])
    role, limit = authority_role(participant), LIMITS.province_metadata_bytes
    for version, each in _newest_first(found, role):
        try:
            metadata, targets = each.reader.role(role, version, limit)
            province = each.reader.target(targets, province_path(participant), LIMITS.province_bytes)
            authority = verify_issuer(
                participant, chain[-1], IssuerFiles(metadata, province), national, _no_list, limits=LIMITS
            )
        except HealthcodeError:
            continue
        files[metadata_file(role, version)] = metadata
        files[_place(targets, province_path(participant))] = province
        return _with_live(found, participant, authority, national, files) or authority
    return None


def _with_live(
    found: Sequence[_Found],
    participant: str,
    authority: IssuerTrust,
    national: National,
    files: dict[str, bytes],
) -> IssuerTrust | None:
    """`authority` with the newest head that holds under it, lists and all."""
    role = live_role(participant)
    for version, each in _newest_first(found, role):
        try:
            metadata, targets = each.reader.role(role, version, LIMITS.province_metadata_bytes)
            head = each.reader.target(targets, head_path(participant), LIMITS.head_bytes)
            lists: dict[str, bytes] = {}

            def read(path: str, max_bytes: int, lists: dict[str, bytes] = lists) -> bytes:
                lists[path] = _first(found, path, max_bytes)
                return lists[path]

            issuer = verify_issuer(
                participant,
                authority.link,
                IssuerFiles(*authority.files.authority, metadata, head),
                national,
                read,
                limits=LIMITS,
            )
        except HealthcodeError:
            continue
        files |= lists
        files[metadata_file(role, version)] = metadata
        files[_place(targets, head_path(participant))] = head
        return issuer
    return None


def _no_list(path: str, _max_bytes: int) -> bytes:
    raise NotFoundError(f"{path} was not asked for")


def _first(found: Sequence[_Found], path: str, max_bytes: int) -> bytes:
    """A file that is named by its hash, from the first source that has it. Raises NotFoundError."""
    for each in found:
        try:
            data = each.reader.read(path, max_bytes)
        except HealthcodeError:
            continue
        if list_file(_sha256(data)) == path:
            return data
    raise NotFoundError(f"no source has the file {path}")


def _deltas(found: Sequence[_Found], head: Head, files: dict[str, bytes]) -> int:
    """Puts the deltas that a head names into `files`; how many nobody has."""
    missing = 0
    for day in head.days.values():
        if day.delta is not None:
            path = list_file(day.delta.sha256.hex())
            try:
                files[path] = _first(found, path, day.delta.byte_count)
            except NotFoundError:
                missing += 1
    return missing


def _unread(found: Sequence[_Found], participant: str, files: dict[str, bytes]) -> dict[str, int]:
    """What is left of a participant that nobody delegates to any more: kept, and read by no client."""
    held: dict[str, int] = {}
    parts = (
        (authority_role(participant), province_path(participant), LIMITS.province_bytes),
        (live_role(participant), head_path(participant), LIMITS.head_bytes),
    )
    for role, path, limit in parts:
        for version, each in _newest_first(found, role):
            try:
                metadata, targets = each.reader.role(role, version, LIMITS.province_metadata_bytes)
                target = each.reader.target(targets, path, limit)
            except HealthcodeError:
                continue
            files[metadata_file(role, version)] = metadata
            files[_place(targets, path)] = target
            held[role] = version
            break
    return held
