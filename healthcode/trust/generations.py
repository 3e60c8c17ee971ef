"""The generation that serves in a trust folder, and how the next one replaces it durably."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from healthcode.errors import Reason, TrustError
from healthcode.trust.disk.read import holds_list, is_still_current, manifest_mark
from healthcode.trust.disk.write import Checkpoint, swap_timestamp, write_generation
from healthcode.trust.format.layout import TrustLimits, list_file
from healthcode.trust.refresh.download import Download
from healthcode.trust.sources.trust_source import TrustSource
from healthcode.trust.store import TrustStore
from healthcode.trust.verify.rollback import verify_no_national_rollback
from healthcode.trust.verify.trust_state import TrustState

__all__ = ["Generations"]

_REREAD_AFTER = 1000


class Generations:
    """The serving generation of one folder, across refreshes. `store` is None before the first one."""

    def __init__(self, directory: Path, limits: TrustLimits, checkpoint: Checkpoint) -> None:
        self.store: TrustStore | None = None
        self._directory = directory
        self._limits = limits
        self._checkpoint = checkpoint
        self._known: set[int] = set()  # generations that this process has read whole, or written
        self._mark = b""  # of the serving generation's manifest

    def open(self) -> TrustStore:
        """Read the folder, without network. Raises as TrustStore.open."""
        self.store = TrustStore.open(self._directory, limits=self._limits)
        self._mark = manifest_mark(self._directory, self.store.generation)
        return self.store

    def serving(self) -> TrustStore | None:
        """The serving generation; read again if another process replaced it, and never behind the accepted one."""
        held = self.store
        if held is not None and is_still_current(
            self._directory, held.generation, held.state.files.national, self._mark
        ):
            return held
        opened: TrustStore | None = None
        with suppress(TrustError):  # if no generation verifies, the refresh starts from the root
            opened = TrustStore.open(self._directory, limits=self._limits)
        if held is not None and (opened is None or _went_back(held.state, opened.state)):
            # The folder lost what this process accepted. The next generation repairs it.
            lost = (*held.warnings, "the folder has lost the accepted files; they are used from memory")
            held = TrustStore(self._directory, held.state, held.generation, lost)
            opened = held
        self.store = opened
        if opened is not None and opened is not held:
            self._known = {opened.generation}
            self._mark = manifest_mark(self._directory, opened.generation)
        return opened

    def keep(self, state: TrustState, fetched: Mapping[str, bytes], source: TrustSource) -> tuple[int, bool]:
        """Make `state` durable and let it serve; (its generation, whether anything changed).

        Writes a new generation, or only a newer timestamp into the serving one. `fetched` maps path
        to content of the lists that this refresh fetched; the others are on disk, or are fetched from
        `source` if the folder has lost them. Raises TrustError(STORAGE_FULL), and as TrustSource.fetch.
        """
        store, changed = self.store, True
        if store is not None and not store.warnings and _only_timestamp_differs(store.state, state):
            number = store.generation
            changed = state.files.national.timestamp != store.state.files.national.timestamp
            if changed:
                swap_timestamp(self._directory, number, state.files.national.timestamp)
        else:
            # the state says which lists a generation has: a refresh that fetched none still needs them all
            lists = {path: fetched.get(path) for path in state.list_paths}
            number = self._write(state, lists, source, None if store is None else store.generation)
            self._mark = manifest_mark(self._directory, number)
        # A process that runs for years reads its generations again from time to time.
        self._known = {*self._known, number} if len(self._known) < _REREAD_AFTER else {number}
        self.store = TrustStore(self._directory, state, number, ())
        return number, changed

    def _write(
        self, state: TrustState, lists: Mapping[str, bytes | None], source: TrustSource, base: int | None
    ) -> int:
        try:
            return self._write_with(state, lists, base)
        except TrustError as error:
            if error.reason is Reason.STORAGE_FULL:
                raise
            lists = self._refetched(lists, source, base)
        return self._write_with(state, lists, base)

    def _write_with(self, state: TrustState, lists: Mapping[str, bytes | None], base: int | None) -> int:
        return write_generation(
            self._directory, state.files, lists, base=base, known=self._known, checkpoint=self._checkpoint
        )

    def _refetched(
        self, lists: Mapping[str, bytes | None], source: TrustSource, base: int | None
    ) -> dict[str, bytes | None]:
        """`lists`, with those that the damaged folder no longer has fetched again."""
        complete = dict(lists)
        download = Download(source, self._limits, {})
        for path in (each for each, data in lists.items() if data is None):
            if base is None or not holds_list(self._directory, base, path):
                data = download.fetch(path, self._limits.list_bytes)
                if list_file(hashlib.sha256(data).hexdigest()) != path:
                    raise TrustError(
                        f"{path} is not the file that its name says", reason=Reason.SIGNATURE_INVALID
                    )
                complete[path] = data
        return complete


def _went_back(held: TrustState, opened: TrustState) -> bool:
    """Whether the folder's content is older than what was accepted."""
    try:
        verify_no_national_rollback(held, opened.national, opened.national.timestamp_signed_at)
    except TrustError as error:
        return error.reason is Reason.TRUST_ROLLBACK
    return False


def _only_timestamp_differs(before: TrustState, after: TrustState) -> bool:
    national = replace(before.files.national, timestamp=after.files.national.timestamp)
    return replace(before.files, national=national) == after.files
