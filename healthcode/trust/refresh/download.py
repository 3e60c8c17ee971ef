"""Fetch the files of one refresh from one source, by version or hash, within size limits.

The returned files have the right version or hash; the caller verifies their signatures.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from healthcode.errors import Reason, TrustError, UnavailableError
from healthcode.trust.format.layout import (
    TrustLimits,
    authority_role,
    head_path,
    list_file,
    live_role,
    metadata_file,
    province_path,
    target_file,
)
from healthcode.trust.format.metadata import Targets, decode_metadata, expires_at, target_of
from healthcode.trust.sources.trust_source import FileUnavailableError, TrustSource
from healthcode.trust.verify.issuer_trust import IssuerTrust

__all__ = ["NO_LIVE", "Download", "live_version_of"]

NO_LIVE: tuple[None, None] = (None, None)
"""The live files of a participant that has none."""

_MAX_FAILED_FETCHES = 3
_MAX_MISSING_FILES = 64


class CpuLock:
    """A lock for CPU work, released while a thread waits for the network.

    Threads that all compute would only slow each other down. A thread that holds it may change shared state.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: int | None = None

    def __enter__(self) -> None:
        self._lock.acquire()
        self._thread = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        self._thread = None
        self._lock.release()

    @contextmanager
    def released(self) -> Iterator[None]:
        """Release the lock inside the block. Does nothing in a thread that does not hold it."""
        if self._thread != threading.get_ident():
            yield
            return
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()


class Download:
    """Fetches from `source`; `lists` maps path to content of lists already fetched, and new ones are added to it.

    After several failures of the connection in a row it refuses further fetches. Several threads may fetch if each holds `cpu`.
    """

    def __init__(self, source: TrustSource, limits: TrustLimits, lists: dict[str, bytes]) -> None:
        self.lists = lists
        self.cpu = CpuLock()
        self._source = source
        self._limits = limits
        self._failed = 0  # in a row, by the connection
        self._missing = 0  # files that the source could not give, though it answered

    def authority_files(
        self, participant: str, version: int, held: IssuerTrust | None, now: int
    ) -> tuple[bytes, bytes]:
        """(metadata, province.json) that the authority published as `version`; the held ones if they are that version."""
        if held is not None and held.authority.version == version:
            return held.files.authority
        role = authority_role(participant)
        metadata, targets = self.role(role, version)
        if expires_at(targets) <= now:
            raise TrustError(
                f"{role} version {version} has expired; its authority must sign it again. If it has not, this machine's "
                "clock is ahead: set the clock",
                reason=Reason.TRUST_EXPIRED,
            )
        return metadata, self.target(targets, province_path(participant), self._limits.province_bytes)

    def live_files(
        self, participant: str, version: int | None, held: IssuerTrust | None
    ) -> tuple[bytes | None, bytes | None]:
        """(metadata, head) that the node published as `version`; the held ones if they are that version."""
        if version is None:
            return NO_LIVE
        if held is not None and live_version_of(held) == version:
            return held.files.live_metadata, held.files.head
        metadata, targets = self.role(live_role(participant), version)
        return metadata, self.target(targets, head_path(participant), self._limits.head_bytes)

    def role(self, role: str, version: int) -> tuple[bytes, Targets]:
        """(bytes, decoded) metadata of a delegated role at the version that snapshot names. Signatures are not verified."""
        limit = self._limits.province_metadata_bytes
        data = self.fetch(metadata_file(role, version), limit)
        targets = decode_metadata(data, Targets, limit).signed
        if targets.version != version:
            raise TrustError(
                f"{role} is at version {targets.version}, where version {version} is signed as current",
                reason=Reason.TRUST_MIXED,
            )
        return data, targets

    def target(self, targets: Targets, path: str, max_bytes: int) -> bytes:
        """A file that a role lists. Its hash is for the caller to verify."""
        listed = target_of(targets, path)
        if listed is None or "sha256" not in listed.hashes:
            raise TrustError(f"{path} is not listed by its role", reason=Reason.FILE_UNKNOWN)
        if listed.length > max_bytes:
            raise TrustError(
                f"{path} is listed with {listed.length} bytes; {max_bytes} are allowed",
                reason=Reason.TOO_LARGE,
            )
        try:
            stored_at = target_file(path, listed.hashes["sha256"])
        except ValueError as error:
            raise TrustError(
                f"{path} is listed with a malformed SHA-256", reason=Reason.SIGNATURE_INVALID
            ) from error
        return self.fetch(stored_at, listed.length)

    def read_list(self, path: str, max_bytes: int) -> bytes:
        """A list by its path, which is its hash; `max_bytes` is the length that its head names.

        Raises TrustError: LIST_CORRUPT, LIST_TRUNCATED, LIST_TOO_LARGE.
        """
        if path not in self.lists:
            self.lists[path] = self._fetch_list(path, max_bytes)
        return self.lists[path]

    def _fetch_list(self, path: str, byte_count: int) -> bytes:
        try:
            data = self.fetch(path, byte_count)
        except TrustError as error:
            if error.reason is not Reason.TOO_LARGE:
                raise
            raise TrustError(error.message, reason=Reason.LIST_TOO_LARGE) from error
        if len(data) < byte_count:
            raise TrustError(
                f"{path} has {len(data)} bytes, its head says {byte_count}", reason=Reason.LIST_TRUNCATED
            )
        if list_file(hashlib.sha256(data).hexdigest()) != path:
            raise TrustError(
                f"{path} is not the file that its name says: its hash differs", reason=Reason.LIST_CORRUPT
            )
        return data

    def fetch(self, path: str, max_bytes: int) -> bytes:
        """As TrustSource.fetch; UnavailableError at once when the source failed too often."""
        if self._failed >= _MAX_FAILED_FETCHES or self._missing >= _MAX_MISSING_FILES:
            raise UnavailableError(
                f"{self._source.name} is out of reach; the rest is fetched in the next refresh",
                reason=Reason.TRUST_UNAVAILABLE,
            )
        try:
            with self.cpu.released():
                data = self._source.fetch(path, max_bytes)
        except FileUnavailableError:
            self._failed, self._missing = 0, self._missing + 1
            raise
        except UnavailableError:
            self._failed += 1
            raise
        self._failed = 0
        return data


def live_version_of(held: IssuerTrust) -> int | None:
    """The version of a participant's live part; None if it has none."""
    return None if held.live is None else held.live.version
