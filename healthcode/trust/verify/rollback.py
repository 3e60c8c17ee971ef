"""Trust only goes forward: what a newer state may not do to the one that was accepted before.

Rollback, fast-forward and shrunk lists are refused here against our own durable
generation, beside what python-tuf refuses against its cache. When root has replaced the
snapshot or timestamp keys, versions may begin anew: that is how a fast-forward by a
stolen key is healed (TUF 5.3.11).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from healthcode.errors import HealthcodeError, Reason, TrustError
from healthcode.revocation.state import check_growth
from healthcode.trust.format.layout import live_role
from healthcode.trust.format.metadata import (
    Root,
    Snapshot,
    Timestamp,
    decode_metadata,
    verify_threshold,
)
from healthcode.trust.verify.issuer_trust import IssuerTrust
from healthcode.trust.verify.national import National
from healthcode.trust.verify.trust_state import TrustState

__all__ = [
    "verify_no_fast_forward",
    "verify_no_issuer_rollback",
    "verify_no_national_rollback",
    "verify_not_older_than_lost",
]

# far above what a registry does, and far below what would use up its numbers
_MAX_VERSIONS_A_SECOND = 100
_MAX_LEAP = 100_000


def _back(what: str, was: int, found: int) -> TrustError:
    return TrustError(
        f"{what} went back from version {was} to {found}: an old file is served again",
        reason=Reason.TRUST_ROLLBACK,
    )


def _versions_bind(previous: TrustState, national: National) -> bool:
    """Whether versions accepted before still count: the root in force has not replaced the online keys."""
    if national.roots is previous.national.roots:
        return True  # they were verified under this very root
    if national.adopted > previous.national.root.version:
        return True  # a person adopted another root: of the same tree, so nothing in it begins anew
    files = previous.files.national
    try:
        verify_threshold(national.root, "timestamp", decode_metadata(files.timestamp, Timestamp))
        verify_threshold(national.root, "snapshot", decode_metadata(files.snapshot, Snapshot))
    except HealthcodeError:
        return False
    return True


def verify_no_fast_forward(what: str, was: int, found: int, seconds: int) -> None:
    """Refuse a version that `seconds` of publishing cannot have reached; raises TrustError(TRUST_FAST_FORWARD).

    Nothing goes back, so whoever jumps ahead with a stolen online key would bar what is
    honest until root replaces the key.
    """
    if found - was > _MAX_LEAP + _MAX_VERSIONS_A_SECOND * max(0, seconds):
        raise TrustError(
            f"{what} leapt from version {was} to {found} in {seconds} s, which no registry publishes: "
            "its key may be in wrong hands",
            reason=Reason.TRUST_FAST_FORWARD,
        )


def verify_not_older_than_lost(lost: Sequence[bytes], national: National) -> None:
    """Check that snapshot is not older than what a damaged folder is seen to have held.

    `lost` are timestamps and snapshots, unverified: those count that the root in force says
    are signed. Raises TrustError(TRUST_ROLLBACK).
    """
    for data in lost:
        version = _signed_snapshot_version(data, national.root)
        if version > national.snapshot.version:
            raise TrustError(
                f"snapshot is at version {national.snapshot.version}, and this folder held version {version} before "
                "it was damaged: an old file is served; a source that is up to date mends it",
                reason=Reason.TRUST_ROLLBACK,
            )


def _signed_snapshot_version(data: bytes, root: Root) -> int:
    """The version of snapshot that a timestamp names, or a snapshot has; 0 where neither is signed by root's keys."""
    with suppress(HealthcodeError):
        timestamp = decode_metadata(data, Timestamp)
        verify_threshold(root, "timestamp", timestamp)
        return timestamp.signed.snapshot_meta.version
    with suppress(HealthcodeError):
        snapshot = decode_metadata(data, Snapshot)
        verify_threshold(root, "snapshot", snapshot)
        return snapshot.signed.version
    return 0


def verify_no_national_rollback(previous: TrustState, national: National, now: int) -> None:
    """Raises TrustError: TRUST_ROLLBACK when a national role went back, or one vanished from snapshot;
    TRUST_FAST_FORWARD when timestamp or snapshot leapt ahead.
    """  # noqa: D205  one sentence
    was = previous.national
    if national.root.version < was.root.version:
        raise _back("root", was.root.version, national.root.version)
    if not _versions_bind(previous, national):
        return
    if national.timestamp.version < was.timestamp.version:
        raise _back("timestamp", was.timestamp.version, national.timestamp.version)
    if national.snapshot.version < was.snapshot.version:
        raise _back("snapshot", was.snapshot.version, national.snapshot.version)
    seconds = now - was.timestamp_signed_at
    verify_no_fast_forward("timestamp", was.timestamp.version, national.timestamp.version, seconds)
    verify_no_fast_forward("snapshot", was.snapshot.version, national.snapshot.version, seconds)
    for name, meta in was.snapshot.meta.items():
        found = national.snapshot.meta.get(name)
        if found is None:
            raise TrustError(f"snapshot no longer names {name}", reason=Reason.TRUST_ROLLBACK)
        if found.version < meta.version:
            raise _back(name.removesuffix(".json"), meta.version, found.version)


def verify_no_issuer_rollback(previous: IssuerTrust, issuer: IssuerTrust, now: int) -> None:
    """Refuse a participant's newer files that take back what it revoked.

    Versions need no look here: they are snapshot's, which never goes back. Raises
    TrustError(LIST_SHRANK | LIST_ROLLBACK), or TRUST_ROLLBACK when its node's part is gone.
    """
    if previous.revocations is None:
        return
    if issuer.revocations is None:
        raise TrustError(f"{live_role(issuer.authority.participant)} is gone", reason=Reason.TRUST_ROLLBACK)
    check_growth(previous.revocations, issuer.revocations, now=now)
