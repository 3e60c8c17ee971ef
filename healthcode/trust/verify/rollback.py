"""Refuse a newer state that goes back behind the accepted one (rollback) or leaps ahead of it (fast-forward).

These checks use our own durable generation; python-tuf checks only its cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from healthcode.errors import HealthcodeError, Reason, TrustError
from healthcode.revocation.state import check_growth
from healthcode.trust.clock_evidence import TOLERANCE_SECONDS
from healthcode.trust.format.layout import live_role
from healthcode.trust.format.metadata import Root, Snapshot, Timestamp, decode_metadata, verify_threshold
from healthcode.trust.verify.issuer_trust import IssuerTrust
from healthcode.trust.verify.national import NationalTrust
from healthcode.trust.verify.trust_state import TrustState

__all__ = [
    "is_superseded",
    "verify_no_fast_forward",
    "verify_no_issuer_rollback",
    "verify_no_national_rollback",
    "verify_not_ahead",
    "verify_not_older_than_lost",
]

# far more than a registry publishes, and far too few to use up the version numbers
_MAX_VERSIONS_A_SECOND = 100
_MAX_LEAP = 100_000


def _back(what: str, was: int, found: int) -> TrustError:
    return TrustError(
        f"{what} went back from version {was} to {found}: an old file is served again",
        reason=Reason.TRUST_ROLLBACK,
    )


# A new root that replaces the snapshot or timestamp keys resets versions: TUF's remedy after a fast-forward by a
# stolen key (5.3.11).
def _versions_bind(previous: TrustState, national: NationalTrust) -> bool:
    """Whether the accepted versions still count: the root in force has not replaced the online keys."""
    if national.roots is previous.national.roots:
        return True  # they were verified under this same root
    if national.adopted > previous.national.root.version:
        return True  # an adopted root is of the same tree, so versions in it continue
    files = previous.files.national
    try:
        verify_threshold(national.root, "timestamp", decode_metadata(files.timestamp, Timestamp))
        verify_threshold(national.root, "snapshot", decode_metadata(files.snapshot, Snapshot))
    except HealthcodeError:
        return False
    return True


def verify_no_fast_forward(what: str, was: int, found: int, seconds: int) -> None:
    """Refuse a version that `seconds` of publishing cannot reach. Raises TrustError(TRUST_FAST_FORWARD)."""
    # Versions never go back, so a leap with a stolen online key would block honest files until root replaces the key.
    if found - was > _MAX_LEAP + _MAX_VERSIONS_A_SECOND * max(0, seconds):
        raise TrustError(
            f"{what} leapt from version {was} to {found} in {seconds} s, faster than any registry publishes: "
            "its key may be stolen",
            reason=Reason.TRUST_FAST_FORWARD,
        )


def is_superseded(newest: Sequence[bytes], lost: Sequence[bytes], national: NationalTrust) -> bool:
    """Whether a folder has lost newer trust than this, or has a note of its newest that this trust cannot explain.

    `newest` is that note (`read_newest`), a timestamp; `lost` as below.
    """
    proofs = (*newest, *lost)
    if any(_signed_snapshot_version(data, national.root) > national.snapshot.version for data in proofs):
        return True
    # A note that no root here vouches for may be of a newer root with another timestamp key, so it proves nothing.
    return not all(_has_signed_timestamp(data, national.roots) for data in newest)


def verify_not_older_than_lost(lost: Sequence[bytes], national: NationalTrust) -> None:
    """Check that snapshot is not older than what a damaged folder held.

    `lost` are unverified timestamps and snapshots: only those that the root in force accepts count.
    Raises TrustError(TRUST_ROLLBACK).
    """
    for data in lost:
        version = _signed_snapshot_version(data, national.root)
        if version > national.snapshot.version:
            raise TrustError(
                f"snapshot is at version {national.snapshot.version}, and this folder held version {version} before "
                "it was damaged: an old file is served; refresh from a source that is up to date",
                reason=Reason.TRUST_ROLLBACK,
            )


def _has_signed_timestamp(data: bytes, roots: Sequence[Root]) -> bool:
    """Whether `data` is a timestamp that one of `roots` vouches for."""
    for root in reversed(roots):
        with suppress(HealthcodeError):
            verify_threshold(root, "timestamp", decode_metadata(data, Timestamp))
            return True
    return False


def _signed_snapshot_version(data: bytes, root: Root) -> int:
    """The snapshot version that a signed timestamp names, or a signed snapshot has; 0 for any other file."""
    with suppress(HealthcodeError):
        timestamp = decode_metadata(data, Timestamp)
        verify_threshold(root, "timestamp", timestamp)
        return timestamp.signed.snapshot_meta.version
    with suppress(HealthcodeError):
        snapshot = decode_metadata(data, Snapshot)
        verify_threshold(root, "snapshot", snapshot)
        return snapshot.signed.version
    return 0


def verify_no_national_rollback(previous: TrustState, national: NationalTrust, now: int) -> None:
    """Check every role against the accepted versions.

    Raises TrustError: TRUST_ROLLBACK if a role went back or is missing in snapshot,
    TRUST_FAST_FORWARD if timestamp or snapshot leapt ahead.
    """
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
    """Refuse a participant's newer files if they withdraw revocations.

    Raises TrustError(LIST_SHRANK | LIST_ROLLBACK), or TRUST_ROLLBACK if its live part is missing.
    """
    # Versions are checked already: they are snapshot's, which never goes back.
    if previous.revocations is None:
        return
    if issuer.revocations is None:
        raise TrustError(
            f"{live_role(issuer.authority.participant)} is missing, but was published before",
            reason=Reason.TRUST_ROLLBACK,
        )
    check_growth(previous.revocations, issuer.revocations, now=now)


def verify_not_ahead(issuer: IssuerTrust, national: NationalTrust) -> None:
    """Refuse live metadata signed well after the timestamp that carries it. Raises TrustError(TRUST_MIXED)."""
    # The registry signs its timestamp after it takes a head. A head from the future would look fresh until then,
    # while the registry withholds later revocations.
    if issuer.live is None:
        return
    ahead = issuer.live.signed_at - national.timestamp_signed_at
    if ahead > TOLERANCE_SECONDS:
        raise TrustError(
            f"{live_role(issuer.authority.participant)} was signed {ahead} s after the timestamp that carries it: "
            "the clock of the node or of the registry is wrong; the node must sign its head again",
            reason=Reason.TRUST_MIXED,
        )
