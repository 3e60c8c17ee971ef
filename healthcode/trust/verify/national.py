"""The national part of a trust tree, verified: root, timestamp, snapshot, targets, and the files they sign.

Needs no network and no clock. Expiry is for the tiers (offline) and the refresh (online) to judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tuf.api.exceptions import LengthOrHashMismatchError

from healthcode.errors import DecodeError, HealthcodeError, Reason, TrustError
from healthcode.policy.book import PolicyBook
from healthcode.policy.book_file import decode_policy
from healthcode.trust.format.delegation import verify_targets_form
from healthcode.trust.format.json_files import ParticipantsFile, decode_json_file
from healthcode.trust.format.layout import PARTICIPANTS_PATH, POLICY_PATH, TrustLimits
from healthcode.trust.format.metadata import (
    Root,
    Snapshot,
    Targets,
    Timestamp,
    decode_metadata,
    expires_at,
    verify_threshold,
)
from healthcode.trust.format.metadata_fields import realm_of, signed_at
from healthcode.trust.verify.issuer import verify_target
from healthcode.trust.verify.roots import root_fingerprint, verify_roots

__all__ = [
    "KeptPolicy",
    "NationalFiles",
    "NationalTrust",
    "Newer",
    "verify_national",
    "verify_older_targets",
    "verify_participants",
]

_LIMITS = TrustLimits()


@dataclass(frozen=True, slots=True)
class KeptPolicy:
    """The last policy that could be read, and the targets metadata that signed it."""

    targets: bytes
    policy: bytes


@dataclass(frozen=True, slots=True)
class Newer:
    """Why the newest file of its kind cannot be read, and when the metadata of the last good one expires."""

    why: str
    kept_until: int


@dataclass(frozen=True, slots=True)
class NationalFiles:
    """The bytes. `roots` go from the root that the folder was begun with to the current one.

    `adopted` are fingerprints of roots that a person adopted although the root before did not sign
    them (adopt_root.py). `kept_policy` decides if `policy` is of a newer format than this software reads.
    """

    roots: tuple[bytes, ...]
    timestamp: bytes
    snapshot: bytes
    targets: bytes
    participants: bytes
    policy: bytes
    adopted: frozenset[str] = frozenset()
    kept_policy: KeptPolicy | None = None


@dataclass(frozen=True, slots=True)
class NationalTrust:
    """What the national files say, verified. `adopted` is the version of the last root that a person adopted, or 0.

    `newer_policy`: the newest policy is of a newer format, and `policy` is the last one that could be read.
    """

    realm: str
    roots: tuple[Root, ...]
    timestamp: Timestamp
    timestamp_signed_at: int
    snapshot: Snapshot
    targets: Targets
    participants: ParticipantsFile
    policy: PolicyBook
    adopted: int = 0
    newer_policy: Newer | None = None

    @property
    def root(self) -> Root:
        """The root in force."""
        return self.roots[-1]

    def version_of(self, role: str) -> int | None:
        """The current version of a role by snapshot; None if snapshot does not name the role."""
        meta = self.snapshot.meta.get(f"{role}.json")
        return None if meta is None else meta.version


def verify_national(
    files: NationalFiles,
    limits: TrustLimits = _LIMITS,
    *,
    previous: tuple[NationalFiles, NationalTrust] | None = None,
) -> NationalTrust:
    """Check the national files from the root down; files that equal those of `previous` are not checked again.

    Raises SignatureError(SIGNATURE_THRESHOLD), TrustError (TRUST_MIXED for files of
    different moments, PATH_FORBIDDEN, REALM_MISMATCH, SIGNATURE_INVALID), DecodeError
    (FORMAT_NEWER for a policy of a newer format, without one that was kept).
    """
    # A new root may name other keys, so nothing verified under the old one is kept.
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
        targets, participants = kept.targets, kept.participants
        policy, newer = kept.policy, kept.newer_policy
    else:
        targets = _targets(root, files.targets, realm, limits)
        participants = verify_participants(targets, files.participants, realm, limits)
        policy, newer = _policy(files, targets, roots, realm, limits)
    meta = snapshot.meta.get("targets.json")
    _same_version("targets", targets.version, None if meta is None else meta.version)
    return NationalTrust(
        realm=realm,
        roots=roots,
        timestamp=timestamp.signed,
        timestamp_signed_at=signed_at(timestamp.signed),
        snapshot=snapshot,
        targets=targets,
        participants=participants,
        policy=policy,
        adopted=_last_adopted(files, roots) if kept is None else kept.adopted,
        newer_policy=newer,
    )


def _last_adopted(files: NationalFiles, roots: Sequence[Root]) -> int:
    versions = (
        root.version
        for data, root in zip(files.roots, roots, strict=True)
        if files.adopted and root_fingerprint(data) in files.adopted
    )
    return max(versions, default=0)


def _same_targets(was: NationalFiles, files: NationalFiles) -> bool:
    return (was.targets, was.participants, was.policy, was.kept_policy) == (
        files.targets,
        files.participants,
        files.policy,
        files.kept_policy,
    )


def _targets(root: Root, data: bytes, realm: str, limits: TrustLimits) -> Targets:
    metadata = decode_metadata(data, Targets, limits.targets_bytes)
    verify_threshold(root, "targets", metadata)
    verify_targets_form(metadata.signed, realm)
    return metadata.signed


def verify_participants(
    targets: Targets, data: bytes, realm: str, limits: TrustLimits = _LIMITS
) -> ParticipantsFile:
    """participants.json as targets signs it. Its chains are checked later, for each participant separately."""
    verify_target(targets, PARTICIPANTS_PATH, data)
    found = decode_json_file(ParticipantsFile, data, limits.participants_bytes)
    if found.realm != realm:
        raise TrustError(
            f"{PARTICIPANTS_PATH} is of realm {found.realm}, not {realm}", reason=Reason.REALM_MISMATCH
        )
    return found


def verify_older_targets(data: bytes, roots: Sequence[Root], limits: TrustLimits = _LIMITS) -> Targets:
    """Older targets metadata, as one of `roots` vouches for it. Its form is not checked. Raises as verify_threshold."""
    metadata = decode_metadata(data, Targets, limits.targets_bytes)
    failure: HealthcodeError | None = None
    for root in reversed(roots):
        try:
            verify_threshold(root, "targets", metadata)
        except HealthcodeError as error:
            failure = failure or error
        else:
            return metadata.signed
    raise failure or TrustError("no root vouches for older targets")


def _policy(
    files: NationalFiles, targets: Targets, roots: Sequence[Root], realm: str, limits: TrustLimits
) -> tuple[PolicyBook, Newer | None]:
    """The policy to decide with; the kept one, and why, if the one that targets signs is of a newer format."""
    verify_target(targets, POLICY_PATH, files.policy)
    try:
        return decode_policy(files.policy), None
    except DecodeError as error:
        kept = files.kept_policy
        if kept is None or error.reason is not Reason.FORMAT_NEWER:
            raise
        why = error.message
    older = verify_older_targets(kept.targets, roots, limits)
    verify_targets_form(older, realm)
    verify_target(older, POLICY_PATH, kept.policy)
    return decode_policy(kept.policy), Newer(why, expires_at(older))


def _same_version(role: str, found: int, named: int | None) -> None:
    if found != named:
        raise TrustError(
            f"{role} is at version {found}, where version {named} is signed as current",
            reason=Reason.TRUST_MIXED,
        )
