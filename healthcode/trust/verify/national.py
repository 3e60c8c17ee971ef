"""The national part of a trust tree, verified: root, timestamp, snapshot, targets, and the files they sign.

`verify_national` needs no network and no clock: it checks signatures, versions against
snapshot, hashes and form. Expiry is left to the tiers (offline) and to the client's
refresh (online).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from tuf.api.exceptions import LengthOrHashMismatchError

from healthcode.errors import Reason, SignatureError, TrustError
from healthcode.policy.book import PolicyBook, decode_policy
from healthcode.trust.format.delegation import verify_targets_form
from healthcode.trust.format.documents import ParticipantsDocument, decode_document
from healthcode.trust.format.layout import PARTICIPANTS_PATH, POLICY_PATH, TrustLimits
from healthcode.trust.format.metadata import (
    Metadata,
    Root,
    Snapshot,
    Targets,
    Timestamp,
    begins_anew,
    bootstraps_in,
    decode_metadata,
    realm_of,
    signed_at,
    verify_threshold,
)
from healthcode.trust.verify.issuer import verify_target

__all__ = [
    "National",
    "NationalFiles",
    "beginnings_in",
    "root_fingerprint",
    "spoken_fingerprint",
    "verify_national",
    "verify_participants",
    "verify_roots",
]

_LIMITS = TrustLimits()


@dataclass(frozen=True, slots=True)
class NationalFiles:
    """The bytes: `roots` from the one the folder was begun with up to the current one.

    `adopted` are fingerprints of roots that a person took over though the one before did
    not sign them (trust/rebootstrap.py).
    """

    roots: tuple[bytes, ...]
    timestamp: bytes
    snapshot: bytes
    targets: bytes
    participants: bytes
    policy: bytes
    adopted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class National:
    """What the national files say, all of it verified; `adopted` is the version of the last root that a person adopted."""

    realm: str
    roots: tuple[Root, ...]
    timestamp: Timestamp
    timestamp_signed_at: int
    snapshot: Snapshot
    targets: Targets
    participants: ParticipantsDocument
    policy: PolicyBook
    adopted: int = 0

    @property
    def root(self) -> Root:
        """The root in force."""
        return self.roots[-1]

    def version_of(self, role: str) -> int | None:
        """The version of a role that snapshot says is current, if it names the role."""
        meta = self.snapshot.meta.get(f"{role}.json")
        return None if meta is None else meta.version


def root_fingerprint(root: bytes) -> str:
    """`sha256:<hex>` of the bytes of a root file, as served."""
    return f"sha256:{hashlib.sha256(root).hexdigest()}"


def spoken_fingerprint(fingerprint: str) -> str:
    """A root fingerprint as people read it out: 16 groups of four digits, four groups a breath."""
    digits = fingerprint.removeprefix("sha256:")
    groups = [digits[place : place + 4] for place in range(0, len(digits), 4)]
    return " / ".join(" ".join(groups[place : place + 4]) for place in range(0, len(groups), 4))


def verify_roots(
    roots: Sequence[bytes], limits: TrustLimits = _LIMITS, *, adopted: frozenset[str] = frozenset()
) -> tuple[Root, ...]:
    """Check a row of roots: each signed by itself and by the one before, versions in a row, one realm.

    The first is taken as given: its fingerprint is the caller's to check. So is one whose
    fingerprint is among `adopted`, but that it is newer than the one before and of the same
    realm. Raises SignatureError, TrustError(VERSION_CONFLICT | REALM_MISMATCH | ROOT_REPLACED), DecodeError.
    """
    found: list[Root] = []
    last = b""
    for data in roots:
        metadata = decode_metadata(data, Root, limits.root_bytes)
        root = metadata.signed
        verify_threshold(root, "root", metadata)
        if found:
            is_adopted = root_fingerprint(data) in adopted
            if not is_adopted:
                _verify_successor(found[-1], last, metadata)
            if root.version <= found[-1].version or not (is_adopted or root.version == found[-1].version + 1):
                raise TrustError(
                    f"root version {root.version} follows version {found[-1].version}",
                    reason=Reason.VERSION_CONFLICT,
                )
            if realm_of(root) != realm_of(found[-1]):
                raise TrustError(
                    f"root version {root.version} is of realm {realm_of(root)}, not {realm_of(found[-1])}",
                    reason=Reason.REALM_MISMATCH,
                )
        found.append(root)
        last = data
    if not found:
        raise TrustError("there is no root to begin with")
    realm_of(found[-1])
    return tuple(found)


def _verify_successor(root: Root, data: bytes, following: Metadata[Root]) -> None:
    """Check that `root`, whose file is `data`, signed the one after it; a new bootstrap is told as one."""
    try:
        verify_threshold(root, "root", following)
    except SignatureError as error:
        if not begins_anew(following.signed, root_fingerprint(data)):
            raise
        raise TrustError(
            f"root version {following.signed.version} says that it begins anew, and version {root.version} did not "
            "sign it: only who is told its fingerprint by the key holders may begin with it",
            reason=Reason.ROOT_REPLACED,
        ) from error


def beginnings_in(roots: Sequence[bytes], known: bytes, limits: TrustLimits = _LIMITS) -> frozenset[str]:
    """Fingerprints of the roots at which, by the word of `known`, the row up to it began anew.

    For who holds a whole row and is sure of one root in it: a registry of its own, or one that
    is rebuilt by a fingerprint. `known` names the root before each beginning: where the row has
    another one there, or the root itself says otherwise, nothing began anew. Raises DecodeError.
    """
    root = decode_metadata(known, Root, limits.root_bytes).signed
    anew = bootstraps_in(root)
    if not anew:
        return frozenset()
    row = [(data, decode_metadata(data, Root, limits.root_bytes).signed) for data in roots]
    found: set[str] = set()
    for data, each in row:
        before = anew.get(str(each.version))
        if each.version > root.version or before is None or not begins_anew(each, before):
            continue
        if all(root_fingerprint(other) == before for other, at in row if at.version == each.version - 1):
            found.add(root_fingerprint(data))
    return frozenset(found)


def verify_national(
    files: NationalFiles,
    limits: TrustLimits = _LIMITS,
    *,
    previous: tuple[NationalFiles, National] | None = None,
) -> National:
    """Check the national files from the root down; what is the same as `previous`, verified before, is kept.

    Raises SignatureError(SIGNATURE_THRESHOLD), TrustError (TRUST_MIXED for files of
    different moments, PATH_FORBIDDEN, REALM_MISMATCH, SIGNATURE_INVALID), DecodeError.
    """
    # nothing may be kept across a change of root: it is root that says whose signatures count
    if previous is not None and previous[0].roots != files.roots:
        previous = None
    was = None if previous is None else previous[0]
    kept = None if previous is None else previous[1]
    roots = verify_roots(files.roots, limits, adopted=files.adopted) if kept is None else kept.roots
    root, realm = roots[-1], realm_of(roots[-1])
    timestamp = decode_metadata(files.timestamp, Timestamp, limits.timestamp_bytes)
    verify_threshold(root, "timestamp", timestamp)
    named = timestamp.signed.snapshot_meta
    try:
        named.verify_length_and_hashes(files.snapshot)
    except LengthOrHashMismatchError as error:
        raise TrustError(
            "snapshot is not the file that timestamp names", reason=Reason.TRUST_MIXED
        ) from error
    if kept is not None and was is not None and was.snapshot == files.snapshot:
        snapshot = kept.snapshot
    else:
        signed_snapshot = decode_metadata(files.snapshot, Snapshot, limits.snapshot_bytes)
        verify_threshold(root, "snapshot", signed_snapshot)
        snapshot = signed_snapshot.signed
    _same_version("snapshot", snapshot.version, named.version)
    if kept is not None and was is not None and _same_targets(was, files):
        targets, participants, policy = kept.targets, kept.participants, kept.policy
    else:
        targets = _targets(root, files.targets, realm, limits)
        participants = verify_participants(targets, files.participants, realm, limits)
        policy = _policy(targets, files.policy)
    meta = snapshot.meta.get("targets.json")
    _same_version("targets", targets.version, None if meta is None else meta.version)
    return National(
        realm=realm,
        roots=roots,
        timestamp=timestamp.signed,
        timestamp_signed_at=signed_at(timestamp.signed),
        snapshot=snapshot,
        targets=targets,
        participants=participants,
        policy=policy,
        adopted=_last_adopted(files, roots) if kept is None else kept.adopted,
    )


def _last_adopted(files: NationalFiles, roots: Sequence[Root]) -> int:
    versions = (
        root.version
        for data, root in zip(files.roots, roots, strict=True)
        if files.adopted and root_fingerprint(data) in files.adopted
    )
    return max(versions, default=0)


def _same_targets(was: NationalFiles, files: NationalFiles) -> bool:
    return (was.targets, was.participants, was.policy) == (files.targets, files.participants, files.policy)


def _targets(root: Root, data: bytes, realm: str, limits: TrustLimits) -> Targets:
    metadata = decode_metadata(data, Targets, limits.targets_bytes)
    verify_threshold(root, "targets", metadata)
    verify_targets_form(metadata.signed, realm)
    return metadata.signed


def verify_participants(
    targets: Targets, data: bytes, realm: str, limits: TrustLimits = _LIMITS
) -> ParticipantsDocument:
    """participants.json as targets signs it. The chains in it are checked one participant at a time."""
    verify_target(targets, PARTICIPANTS_PATH, data)
    document = decode_document(ParticipantsDocument, data, limits.participants_bytes)
    if document.realm != realm:
        raise TrustError(
            f"{PARTICIPANTS_PATH} is of realm {document.realm}, not {realm}", reason=Reason.REALM_MISMATCH
        )
    return document


def _policy(targets: Targets, data: bytes) -> PolicyBook:
    verify_target(targets, POLICY_PATH, data)
    return decode_policy(data)


def _same_version(role: str, found: int, named: int | None) -> None:
    if found != named:
        raise TrustError(
            f"{role} is at version {found}, where version {named} is signed as current",
            reason=Reason.TRUST_MIXED,
        )
