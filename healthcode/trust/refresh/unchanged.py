"""The usual refresh: a newer timestamp, at most a newer snapshot; root and targets are unchanged.

Checks the rest of TUF's client workflow (5.3.10, 5.4, 5.5, 5.6.5) without python-tuf.
"""

from __future__ import annotations

from dataclasses import replace

from healthcode.errors import HealthcodeError
from healthcode.trust.format.layout import TrustLimits, metadata_file
from healthcode.trust.format.metadata import Signed, Timestamp, decode_metadata, expires_at
from healthcode.trust.refresh.candidate import Candidate
from healthcode.trust.verify.national import NationalFiles, NationalTrust, verify_national
from healthcode.trust.verify.rollback import verify_no_national_rollback
from healthcode.trust.verify.trust_state import TrustState

__all__ = ["refresh_unchanged"]

_TARGETS = "targets.json"


def refresh_unchanged(
    previous: TrustState, candidate: Candidate, limits: TrustLimits, now: int
) -> tuple[NationalFiles, NationalTrust] | None:
    """The national part that `candidate` serves; None if the whole workflow (tuf_updater.py) must decide.

    Files fetched here need not be fetched again. Raises as Candidate.peek.
    """
    # Whatever does not verify here is left to the whole workflow, so one place alone refuses and says why.
    was, files = previous.national, previous.files.national
    if candidate.peek(metadata_file("root", was.root.version + 1), limits.root_bytes) is not None:
        return None
    data = candidate.peek(metadata_file("timestamp"), limits.timestamp_bytes)
    if data is None or _is_expired(now, was.root, was.targets):
        return None
    if data == files.timestamp:
        return None if _is_expired(now, was.timestamp, was.snapshot) else (files, was)
    try:
        timestamp = decode_metadata(data, Timestamp, limits.timestamp_bytes).signed
    except HealthcodeError:
        return None
    if timestamp.version <= was.timestamp.version:
        return None
    fresh = replace(files, timestamp=data)
    named = timestamp.snapshot_meta
    if named != was.timestamp.snapshot_meta:
        length = min(named.length or limits.snapshot_bytes, limits.snapshot_bytes)
        snapshot = candidate.peek(metadata_file("snapshot", named.version), length)
        if snapshot is None:
            return None
        fresh = replace(fresh, snapshot=snapshot)
    try:
        national = verify_national(fresh, limits, previous=(files, was))
        verify_no_national_rollback(previous, national, now)
    except HealthcodeError:
        return None
    if national.snapshot.meta[_TARGETS] != was.snapshot.meta[_TARGETS]:
        return None
    if _is_expired(now, national.timestamp, national.snapshot):
        return None
    return fresh, national


def _is_expired(now: int, *parts: Signed) -> bool:
    return any(expires_at(each) <= now for each in parts)
