"""TUF's client workflow (§5.3) for the national roles: python-tuf's Updater over a TrustSource and a given clock."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

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
from tuf.api.serialization import DeserializationError
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from healthcode.clock import utc
from healthcode.errors import HealthcodeError, NotFoundError, Reason, TrustError
from healthcode.storage.reading import read_regular
from healthcode.trust.format.layout import TrustLimits, metadata_file
from healthcode.trust.format.metadata import Root, decode_metadata
from healthcode.trust.format.metadata_fields import is_new_bootstrap, realm_of
from healthcode.trust.sources.trust_source import TrustSource
from healthcode.trust.verify.national import NationalFiles
from healthcode.trust.verify.roots import root_fingerprint, verify_roots

# Provinces are not fetched by the Updater: it follows every delegation that targets makes, while we check
# each province against its own authority chain (delegation.py).

__all__ = ["Cached", "SourceFetcher", "open_updater", "read_cache", "update_national"]

# python-tuf's message when files are of different moments; its messages for older versions differ
_MIXED = re.compile(r"Expected (root version|snapshot version|\S+ v[0-9])")


# The message never contains the fingerprint: people must get it from the key holders, not from the network.
_NEW_BOOTSTRAP = (
    "{source} serves a next root that the root in force here did not sign. Either this is an attack, or too few of "
    "root's keys were left and the key holders made a new bootstrap; no program can tell. Ask the key holders for the "
    "fingerprint of the new root, by another way than the network. If there is one, adopt that root: "
    "`healthcode trust rebootstrap`, on a node `province-node rebootstrap`, on the gateway `healthcode-gateway "
    "rebootstrap`. Until then the last good trust stays in use, and ages"
)


class SourceFetcher(FetcherInterface):
    """Gives python-tuf the files of a TrustSource, each within the size limit that python-tuf asks for."""

    def __init__(self, source: TrustSource, limits: TrustLimits) -> None:
        self._source = source
        self._limits = limits

    def _fetch(self, url: str) -> Iterator[bytes]:
        yield self.download_bytes(url, self._limits.root_bytes)

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        yield io.BytesIO(self.download_bytes(url, max_length))

    def download_bytes(self, url: str, max_length: int) -> bytes:
        try:
            return self._source.fetch(url, max_length)
        except NotFoundError as error:
            raise DownloadHTTPError(str(error), 404) from error
        except HealthcodeError as error:
            raise DownloadError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Cached:
    """What the Updater left in its cache. `adopted` as in NationalFiles."""

    roots: tuple[bytes, ...]
    timestamp: bytes
    snapshot: bytes
    targets: bytes
    adopted: frozenset[str] = frozenset()


def read_cache(cache: Path, bootstrap: bytes) -> Cached:
    """The files in `cache` after update_national. Raises TrustError if one cannot be read."""
    try:
        last = decode_metadata(read_regular(cache / "root.json"), Root).signed.version
        first = decode_metadata(bootstrap, Root).signed.version
        roots = [
            (cache / "root_history" / f"{number}.root.json").read_bytes()
            for number in range(first + 1, last + 1)
        ]
        return Cached(
            (bootstrap, *roots),
            (cache / "timestamp.json").read_bytes(),
            (cache / "snapshot.json").read_bytes(),
            (cache / "targets.json").read_bytes(),
        )
    except OSError as error:
        raise TrustError(
            f"the cache {cache} cannot be read: {error.strerror}; delete it and refresh"
        ) from error


def open_updater(
    cache: Path,
    source: TrustSource,
    bootstrap: bytes | None,
    now: int,
    limits: TrustLimits,
    *,
    targets: Path | None = None,
) -> Updater:
    """An Updater over `source` (`metadata/…`, `targets/…`) whose clock is fixed at `now`.

    It starts from the root `bootstrap`, else from `cache`/root.json. Raises what python-tuf
    raises when that root does not verify.
    """
    config = UpdaterConfig(
        max_root_rotations=limits.root_rotations,
        root_max_length=limits.root_bytes,
        timestamp_max_length=limits.timestamp_bytes,
        snapshot_max_length=limits.snapshot_bytes,
        targets_max_length=limits.targets_bytes,
    )
    updater = Updater(
        str(cache),
        "metadata/",
        target_dir=None if targets is None else str(targets),
        target_base_url="targets/",
        fetcher=SourceFetcher(source, limits),
        config=config,
        bootstrap=bootstrap,
    )
    # the library offers no clock; a test checks that it uses this one
    updater._trusted_set.reference_time = utc(now)  # noqa: SLF001  see above
    return updater


def update_national(
    cache: Path,
    source: TrustSource,
    bootstrap: bytes,
    accepted: NationalFiles | None,
    now: int,
    limits: TrustLimits,
) -> None:
    """Bring `cache` (root_history/N.root.json, timestamp, snapshot, targets) from `accepted` to what `source` serves.

    Raises UnavailableError if the source is out of reach, TrustError if what it serves does not
    verify, by reason: TRUST_ROLLBACK, TRUST_MIXED, TRUST_FROZEN, TRUST_EXPIRED,
    SIGNATURE_THRESHOLD, ROOT_REPLACED (the next root declares itself a new bootstrap),
    MALFORMED_MESSAGE, TOO_LARGE, FILE_UNKNOWN; STORAGE_FULL if the cache cannot be written.
    """
    try:
        _fill(cache, accepted)
        open_updater(cache, source, bootstrap, now, limits).refresh()
    except OSError as error:
        raise TrustError(
            f"the cache {cache} cannot be written: {error.strerror}; the last good trust stays in use",
            reason=Reason.STORAGE_FULL,
        ) from error
    except (RepositoryError, DownloadError, ValueError) as error:
        if isinstance(error, UnsignedMetadataError) and _is_bootstrapped(cache, source, limits):
            raise TrustError(
                _NEW_BOOTSTRAP.format(source=source.name), reason=Reason.ROOT_REPLACED
            ) from error
        raise _ours(error, source.name) from error


def _is_bootstrapped(cache: Path, source: TrustSource, limits: TrustLimits) -> bool:
    """Whether the next root served declares itself a new bootstrap after the root that we follow."""
    try:
        ours = read_regular(cache / "root.json")
        root = decode_metadata(ours, Root, limits.root_bytes).signed
        data = source.fetch(metadata_file("root", root.version + 1), limits.root_bytes)
        (served,) = verify_roots([data], limits)
        return realm_of(served) == realm_of(root) and is_new_bootstrap(served, root_fingerprint(ours))
    except (HealthcodeError, OSError):
        return False


def _fill(cache: Path, accepted: NationalFiles | None) -> None:
    """Replace the content of `cache` by what was accepted."""
    # The cache is never trusted. A version that python-tuf stored but we refused, or did not reach before a
    # kill, would count against every later version.
    shutil.rmtree(cache, ignore_errors=True)
    history = cache / "root_history"
    history.mkdir(parents=True)
    if accepted is None:
        return
    for root in accepted.roots:
        (history / f"{decode_metadata(root, Root).signed.version}.root.json").write_bytes(root)
    for role in ("timestamp", "snapshot", "targets"):
        (cache / f"{role}.json").write_bytes(getattr(accepted, role))


def _ours(error: Exception, source: str) -> HealthcodeError:
    cause = error.__cause__
    if isinstance(error, DownloadHTTPError):
        return TrustError(f"{source}: {error}", reason=Reason.FILE_UNKNOWN)
    if isinstance(error, DownloadError) and isinstance(cause, HealthcodeError):
        return cause
    if isinstance(error, ExpiredMetadataError):
        # Machines re-sign these two all the time: a source that serves old ones is cut off or withholds them.
        frozen = "timestamp" in str(error) or "snapshot" in str(error)
        return TrustError(
            f"{source} serves expired trust: {error}; if the trust has not expired, this machine's clock is ahead: set the clock",
            reason=Reason.TRUST_FROZEN if frozen else Reason.TRUST_EXPIRED,
        )
    return TrustError(f"{source} serves trust that does not verify: {error}", reason=_reason(error))


def _reason(error: Exception) -> Reason:
    if isinstance(error, DownloadLengthMismatchError):
        return Reason.TOO_LARGE
    if isinstance(error, BadVersionNumberError):
        return Reason.TRUST_MIXED if _MIXED.match(str(error)) else Reason.TRUST_ROLLBACK
    if isinstance(error, LengthOrHashMismatchError):  # only snapshot's hash is in another role's metadata
        return Reason.TRUST_MIXED
    if isinstance(error, UnsignedMetadataError):
        return Reason.SIGNATURE_THRESHOLD
    if isinstance(error, DeserializationError):
        return Reason.MALFORMED_MESSAGE
    if "missing info for" in str(error):  # a snapshot without a role that it named before
        return Reason.TRUST_ROLLBACK
    return Reason.TRUST_UNAVAILABLE
