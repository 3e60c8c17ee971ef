"""The Updater of python-tuf, over a source of ours, with a clock that is given.

Only the national roles go through the Updater (root rotation, timestamp, snapshot,
targets: TUF's client workflow §5.3). Provinces are fetched by the versions in snapshot
and checked against their own chains, because the Updater would follow any delegation
that targets makes (see delegation.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from healthcode.errors import HealthcodeError, NotFoundError, Reason, TrustError
from healthcode.trust.layout import TrustLimits
from healthcode.trust.source import TrustSource

__all__ = ["SourceFetcher", "update_national"]


class SourceFetcher(FetcherInterface):
    """Gives python-tuf the files of a TrustSource, each within the bound that it asks for."""

    def __init__(self, source: TrustSource, limits: TrustLimits) -> None:
        self._source = source
        self._limits = limits

    def _fetch(self, url: str) -> Iterator[bytes]:
        yield self.download_bytes(url, self._limits.root_bytes)

    def download_bytes(self, url: str, max_length: int) -> bytes:
        try:
            return self._source.fetch(url, max_length)
        except NotFoundError as error:
            raise DownloadHTTPError(str(error), 404) from error
        except HealthcodeError as error:
            raise DownloadError(str(error)) from error


def update_national(
    cache: Path, source: TrustSource, bootstrap: bytes, now: int, limits: TrustLimits
) -> None:
    """Bring `cache` (root_history/N.root.json, timestamp, snapshot, targets) up to what `source` serves.

    Raises UnavailableError when the source is out of reach, TrustError when what it serves
    is older, expired, unsigned, too large or not what was signed. The cache is never
    trusted: whatever it holds is checked again.
    """
    cache.mkdir(parents=True, exist_ok=True)
    config = UpdaterConfig(
        max_root_rotations=limits.root_rotations,
        root_max_length=limits.root_bytes,
        timestamp_max_length=limits.timestamp_bytes,
        snapshot_max_length=limits.snapshot_bytes,
        targets_max_length=limits.targets_bytes,
    )
    try:
        updater = Updater(
            str(cache), "metadata/", fetcher=SourceFetcher(source, limits), config=config, bootstrap=bootstrap
        )
        # the library offers no clock; a test holds that this one counts
        updater._trusted_set.reference_time = datetime.fromtimestamp(now, UTC)  # noqa: SLF001  see above
        updater.refresh()
    except (RepositoryError, DownloadError, ValueError, OSError) as error:
        raise _ours(error, source.name) from error


def _ours(error: Exception, source: str) -> HealthcodeError:
    cause = error.__cause__
    if isinstance(error, DownloadHTTPError):
        return TrustError(f"{source}: {error}", reason=Reason.FILE_UNKNOWN)
    if isinstance(error, DownloadError) and isinstance(cause, HealthcodeError):
        return cause
    reason = Reason.TRUST_UNAVAILABLE
    if isinstance(error, DownloadLengthMismatchError):
        reason = Reason.TOO_LARGE
    elif isinstance(error, BadVersionNumberError):
        reason = Reason.VERSION_CONFLICT
    elif isinstance(error, UnsignedMetadataError):
        reason = Reason.SIGNATURE_THRESHOLD
    elif isinstance(error, LengthOrHashMismatchError):
        reason = Reason.SIGNATURE_INVALID
    elif isinstance(error, ExpiredMetadataError):
        return TrustError(f"{source} serves expired trust: {error}", reason=reason)
    return TrustError(f"{source} serves trust that does not hold: {error}", reason=reason)
