"""Keeping a trust folder up to date from a source that nobody has to trust.

A refresh takes the national files through TUF's client workflow, then each part
(areas, every province) by itself. What concerns all (a root, timestamp, snapshot or
targets that does not hold, a role or path that has no place) refuses the refresh and
changes nothing. What concerns one province refuses that province's change alone: it
keeps its last good files, and the refusal is reported. Then the whole becomes the next
generation on disk, and only then the view.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from healthcode.errors import Reason, TrustError
from healthcode.trust.assembly import Rejected, TrustState
from healthcode.trust.fetcher import update_national
from healthcode.trust.generation import Checkpoint, current_generation, swap_timestamp, write_generation
from healthcode.trust.layout import TrustLimits
from healthcode.trust.refresh import Refresh, read_cache
from healthcode.trust.source import TrustSource
from healthcode.trust.store import Bootstrap, TrustStore, read_bootstrap
from healthcode.trust.view import TrustView

__all__ = ["RefreshResult", "TrustClient"]

_LIMITS = TrustLimits()


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """What a refresh brought.

    `changed`: the view is another one (a newer timestamp alone counts). `generation` is
    the one on disk. `rejected` names each participant (or "areas") whose newest files
    were refused; its last good ones serve on.
    """

    changed: bool
    generation: int
    rejected: tuple[Rejected, ...]
    view: TrustView


class TrustClient:
    """A trust folder and the source it follows. One refresh at a time, across processes too."""

    def __init__(
        self,
        directory: Path | str,
        source: TrustSource,
        *,
        limits: TrustLimits = _LIMITS,
        checkpoint: Checkpoint = lambda _step: None,
    ) -> None:
        self._directory = Path(directory)
        self._source = source
        self._limits = limits
        self._checkpoint = checkpoint
        self._store: TrustStore | None = None
        self._bootstrap: Bootstrap | None = None

    def open(self) -> TrustStore:
        """The folder as it stands, without network. Raises as TrustStore.open."""
        self._store = TrustStore.open(self._directory, limits=self._limits)
        return self._store

    def refresh(self, now: int) -> RefreshResult:
        """Take what the source has that is newer and holds.

        Raises UnavailableError when the source is out of reach, TrustError (or another
        HealthcodeError) when what it serves for the whole federation does not hold,
        ConfigurationError when the folder was never begun. After any of them the folder
        and the view are as they were.
        """
        if self._bootstrap is None:
            self._bootstrap = read_bootstrap(self._directory, self._limits)
        bootstrap = self._bootstrap
        with self._locked():
            store = self._serving()
            cache = self._directory / "cache"
            update_national(cache, self._source, bootstrap.root, now, self._limits)
            self._checkpoint("national.fetched")
            cached = read_cache(cache, bootstrap.root)
            refresh = Refresh(None if store is None else store.state, self._source, self._limits, now)
            state, lists = refresh.run(cached)
            self._checkpoint("verified")
            return self._keep(store, state, lists)

    def _keep(
        self, store: TrustStore | None, state: TrustState, lists: dict[str, bytes | None]
    ) -> RefreshResult:
        """Make what was verified durable: a new generation, or a newer timestamp in the one that serves."""
        changed = True
        if store is not None and not store.warnings and _same_but_timestamp(store.state, state):
            number = store.generation
            changed = state.files.national.timestamp != store.state.files.national.timestamp
            if changed:
                swap_timestamp(self._directory, number, state.files.national.timestamp)
        else:
            base = None if store is None else store.generation
            number = write_generation(
                self._directory, state.files, lists, base=base, checkpoint=self._checkpoint
            )
        self._store = TrustStore(self._directory, state, number, ())
        return RefreshResult(changed, number, state.files.rejected, state.view)

    def _serving(self) -> TrustStore | None:
        """What serves now; read again if another process moved on."""
        if self._store is not None and self._store.generation == current_generation(self._directory):
            return self._store
        if current_generation(self._directory) is None:
            return None
        try:
            return self.open()
        except TrustError:
            # nothing on disk holds any more: begin anew from the root, which was verified
            self._store = None
            return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the folder: a command and a service may share it."""
        try:
            handle = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise TrustError(
                f"the trust folder {self._directory} cannot be written: {error.strerror}",
                reason=Reason.STORAGE_FULL,
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _same_but_timestamp(before: TrustState, after: TrustState) -> bool:
    national = replace(before.files.national, timestamp=after.files.national.timestamp)
    return replace(before.files, national=national) == after.files
