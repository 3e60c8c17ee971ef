"""Trust only goes forward: what a newer state may not do to the one that was accepted before.

Rollback, mix-and-match and shrunk lists are refused here against our own durable
generation, beside what python-tuf refuses against its cache. When root has replaced the
snapshot or timestamp keys, versions may begin anew: that is how a fast-forward by a
stolen key is healed (TUF 5.3.11).
"""

from __future__ import annotations

from healthcode.errors import HealthcodeError, Reason, TrustError
from healthcode.revocation.state import check_growth
from healthcode.trust.assembly import IssuerTrust, TrustState
from healthcode.trust.layout import authority_role, live_role
from healthcode.trust.metadata import Snapshot, Timestamp, decode_metadata, verify_threshold
from healthcode.trust.national import National

__all__ = ["verify_issuer_progress", "verify_national_progress", "versions_bind"]


def _back(what: str, was: int, found: int) -> TrustError:
    return TrustError(
        f"{what} went back from version {was} to {found}: an old file is served again",
        reason=Reason.VERSION_CONFLICT,
    )


def versions_bind(previous: TrustState, national: National) -> bool:
    """Whether versions accepted before still count: the root in force has not replaced the online keys."""
    files = previous.files.national
    try:
        verify_threshold(national.root, "timestamp", decode_metadata(files.timestamp, Timestamp))
        verify_threshold(national.root, "snapshot", decode_metadata(files.snapshot, Snapshot))
    except HealthcodeError:
        return False
    return True


def verify_national_progress(previous: TrustState, national: National, *, bind: bool) -> None:
    """Raises TrustError(VERSION_CONFLICT) when a national role went back, or one vanished from snapshot."""
    was = previous.national
    if national.root.version < was.root.version:
        raise _back("root", was.root.version, national.root.version)
    if not bind:
        return
    if national.timestamp.version < was.timestamp.version:
        raise _back("timestamp", was.timestamp.version, national.timestamp.version)
    if national.snapshot.version < was.snapshot.version:
        raise _back("snapshot", was.snapshot.version, national.snapshot.version)
    for name, meta in was.snapshot.meta.items():
        found = national.snapshot.meta.get(name)
        if found is None:
            raise TrustError(f"snapshot no longer names {name}", reason=Reason.VERSION_CONFLICT)
        if found.version < meta.version:
            raise _back(name.removesuffix(".json"), meta.version, found.version)


def verify_issuer_progress(previous: IssuerTrust, issuer: IssuerTrust, now: int, *, bind: bool) -> None:
    """Refuse a participant's newer files that take something back. `bind`: see versions_bind.

    Raises TrustError: VERSION_CONFLICT when a role went back, or changed without a new
    version; LIST_SHRANK when something that was revoked is no longer so.
    """
    code = issuer.authority.participant
    _verify_role(
        authority_role(code),
        (previous.authority.version, previous.files.metadata),
        (issuer.authority.version, issuer.files.metadata),
        bind=bind,
    )
    if previous.live is None or previous.revocations is None:
        return
    if issuer.live is None or issuer.revocations is None:
        raise TrustError(f"{live_role(code)} is gone", reason=Reason.VERSION_CONFLICT)
    _verify_role(
        live_role(code),
        (previous.live.version, previous.files.live_metadata),
        (issuer.live.version, issuer.files.live_metadata),
        bind=bind,
    )
    check_growth(previous.revocations, issuer.revocations, now=now)


def _verify_role(
    role: str, was: tuple[int, bytes | None], found: tuple[int, bytes | None], *, bind: bool
) -> None:
    if not bind:
        return
    if found[0] < was[0]:
        raise _back(role, was[0], found[0])
    if found[0] == was[0] and found[1] != was[1]:
        raise TrustError(
            f"{role} shows two different files as version {found[0]}", reason=Reason.VERSION_CONFLICT
        )
