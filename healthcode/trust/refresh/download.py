"""The files of one refresh from one source: found by version or hash, within bounds, each list once.

What comes is hashed or of the version asked for, not believed: its signatures are checked
by whoever takes it.
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
from healthcode.trust.format.metadata import (
    Targets,
    decode_metadata,
    expires_at,
    target_of,
)
from healthcode.trust.sources.trust_source import TrustSource
from healthcode.trust.verify.issuer_trust import IssuerTrust

__all__ = ["NO_LIVE", "Download", "live_version_of"]

NO_LIVE: tuple[None, None] = (None, None)
"""The live part of a participant that has none."""

_MAX_FAILED_FETCHES = 3


class Turn:
    """Whose turn it is to compute, of several threads that fetch: one has it, but for the time in which it waits.

    Threads that all compute would only get into each other's way, and who has the turn
    shares nothing with the others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: int | None = None

    def __enter__(self) -> None:
        self._lock.acquire()
        self._holder = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        self._holder = None
        self._lock.release()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Gives the turn to others while the block waits; nothing for a thread that is alone, and has none."""
        if self._holder != threading.get_ident():
            yield
            return
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()


class Download:
    """Fetches from `source`. `lists` holds lists by their place, fetched before and hashed; new ones are put there.

    A source that fails several times in a row is asked no more. Several threads may fetch
    if each has the `turn`.
    """

    def __init__(self, source: TrustSource, limits: TrustLimits, lists: dict[str, bytes]) -> None:
        self.lists = lists
        self.turn = Turn()
        self._source = source
        self._limits = limits
        self._failed = 0

    def authority_files(
        self, participant: str, version: int, held: IssuerTrust | None, now: int
    ) -> tuple[bytes, bytes]:
        """What the authority published as `version`; what is held, where that is it."""
        if held is not None and held.authority.version == version:
            return held.files.authority
        role = authority_role(participant)
        metadata, targets = self.role(role, version)
        if expires_at(targets) <= now:
            raise TrustError(
                f"{role} version {version} has expired; its authority must sign anew",
                reason=Reason.TRUST_EXPIRED,
            )
        return metadata, self.target(targets, province_path(participant), self._limits.province_bytes)

    def live_files(
        self, participant: str, version: int | None, held: IssuerTrust | None
    ) -> tuple[bytes | None, bytes | None]:
        """What the node published as `version`: metadata and head."""
        if version is None:
            return NO_LIVE
        if held is not None and live_version_of(held) == version:
            return held.files.live_metadata, held.files.head
        metadata, targets = self.role(live_role(participant), version)
        return metadata, self.target(targets, head_path(participant), self._limits.head_bytes)

    def role(self, role: str, version: int) -> tuple[bytes, Targets]:
        """Metadata of a delegated role, by the version that snapshot names; not verified yet."""
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
        """A file that a role lists; its hash is verified by whoever takes it."""
        listed = target_of(targets, path)
        if listed is None or "sha256" not in listed.hashes:
            raise TrustError(f"{path} is not listed by its role", reason=Reason.FILE_UNKNOWN)
        if listed.length > max_bytes:
            raise TrustError(
                f"{path} is listed with {listed.length} bytes; {max_bytes} are allowed",
                reason=Reason.TOO_LARGE,
            )
        try:
            place = target_file(path, listed.hashes["sha256"])
        except ValueError as error:
            raise TrustError(
                f"{path} is listed with a hash that is none", reason=Reason.SIGNATURE_INVALID
            ) from error
        return self.fetch(place, listed.length)

    def read_list(self, path: str, max_bytes: int) -> bytes:
        """A list by its place, which is its hash; `max_bytes` is the length that its head names.

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
                f"{path} is not the file of that name: its hash differs", reason=Reason.LIST_CORRUPT
            )
        return data

    def fetch(self, path: str, max_bytes: int) -> bytes:
        """As TrustSource.fetch; UnavailableError at once when the source is out of reach."""
        if self._failed >= _MAX_FAILED_FETCHES:
            raise UnavailableError(
                f"{self._source.name} is out of reach; the rest waits for the next refresh",
                reason=Reason.TRUST_UNAVAILABLE,
            )
        try:
            with self.turn.lent():
                data = self._source.fetch(path, max_bytes)
        except UnavailableError:
            self._failed += 1
            raise
        self._failed = 0
        return data


def live_version_of(held: IssuerTrust) -> int | None:
    """The version of a participant's live part, if it has one."""
    return None if held.live is None else held.live.version
