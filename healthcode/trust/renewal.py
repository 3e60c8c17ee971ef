"""The refresh of almost every minute: nothing is new but, at most, the timestamp.

The whole workflow (fetcher.py) checks again all that was checked a minute ago. Where no
further root is served, and timestamp names the snapshot that serves already, only the
timestamp itself is left to check: signature, version and expiry, and the expiry of what
it stands on (TUF 5.3.10, 5.4, 5.5.6, 5.6.5). Anything else is the whole workflow's.
"""

from __future__ import annotations

from dataclasses import replace

from healthcode.trust.assembly import TrustState, view_of
from healthcode.trust.choice import Candidate
from healthcode.trust.layout import TrustLimits, metadata_file
from healthcode.trust.metadata import Timestamp, decode_metadata, expires_at
from healthcode.trust.national import verify_national
from healthcode.trust.progress import verify_national_progress

__all__ = ["renew_timestamp"]


def renew_timestamp(
    previous: TrustState, candidate: Candidate, limits: TrustLimits, now: int
) -> TrustState | None:
    """`previous` with the timestamp that `candidate` serves, or None when more than that is to be looked at.

    What was fetched for it need not be fetched again. Raises as verify_national and
    verify_national_progress do, and UnavailableError.
    """
    was = previous.national
    if previous.files.rejected:
        return None
    if candidate.peek(metadata_file("root", was.root.version + 1), limits.root_bytes) is not None:
        return None
    data = candidate.peek(metadata_file("timestamp"), limits.timestamp_bytes)
    if data is None:
        return None
    signed = decode_metadata(data, Timestamp, limits.timestamp_bytes).signed
    if signed.snapshot_meta != was.timestamp.snapshot_meta:
        return None
    if any(expires_at(each) <= now for each in (was.root, signed, was.snapshot, was.targets)):
        return None
    files = replace(previous.files.national, timestamp=data)
    national = verify_national(files, limits, previous=(previous.files.national, was))
    verify_national_progress(previous, national)
    if national.timestamp.version == was.timestamp.version:
        return previous
    all_files = replace(previous.files, national=files)
    view = view_of(all_files, national, previous.areas, previous.issuers)
    return replace(previous, files=all_files, national=national, view=view)
