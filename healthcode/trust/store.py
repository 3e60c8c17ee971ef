"""TrustStore: a trust folder opened offline, verified from its root down. If a generation is damaged, an older one is used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from healthcode.errors import HealthcodeError, TrustError
from healthcode.trust.clock_evidence import ClockEvidence, read_clock_evidence
from healthcode.trust.disk.bootstrap import Bootstrap, read_bootstrap
from healthcode.trust.disk.init_trust import init_trust
from healthcode.trust.disk.read import (
    current_generation,
    generation_numbers,
    lost_files,
    read_generation,
    read_newest,
    reading,
)
from healthcode.trust.format.layout import TrustLimits
from healthcode.trust.verify.assemble import assemble
from healthcode.trust.verify.rollback import is_superseded
from healthcode.trust.verify.trust_state import TrustState
from healthcode.trust.view import TrustView

__all__ = ["Bootstrap", "TrustStore", "init_trust", "read_bootstrap"]

_LIMITS = TrustLimits()
_ATTEMPTS = 20


class TrustStore:
    """A trust folder as it was when it was opened. Verify with `view`."""

    def __init__(
        self,
        directory: Path,
        state: TrustState,
        generation: int,
        warnings: tuple[str, ...],
        lost: tuple[bytes, ...] = (),
        *,
        superseded: bool = False,
    ) -> None:
        """`lost`: what can still be read of newer, damaged generations (`read_newest`, `lost_files`).

        `superseded` as `is_superseded`.
        """
        self.directory = directory
        self.state = state
        self.generation = generation
        self.warnings = warnings
        self.lost = lost
        # damage was found, so every verdict says so; and if it may be older, it is stale whatever its age
        self._view = replace(state.view, is_damaged=bool(warnings), is_superseded=superseded)

    @property
    def view(self) -> TrustView:
        """What to verify with."""
        return self._view

    def set_clock_evidence(self, clock_evidence: ClockEvidence | None) -> None:
        """Put the newest evidence about this machine's clock into the view."""
        if clock_evidence != self._view.clock_evidence:
            self._view = replace(self._view, clock_evidence=clock_evidence)

    @classmethod
    def open(cls, directory: Path | str, *, limits: TrustLimits = _LIMITS) -> TrustStore:
        """Open the newest generation that verifies as a whole, without network.

        Raises ConfigurationError if the folder was never begun, TrustError if no generation
        verifies; `warnings` name what was damaged.
        """
        directory = Path(directory)
        bootstrap = read_bootstrap(directory, limits)
        for _ in range(_ATTEMPTS):
            newest = read_newest(directory)
            current = current_generation(directory)
            store, warnings = cls._newest(directory, bootstrap, current, newest, limits)
            # a follower that wrote meanwhile may have reused the folders that were listed
            if store is not None and (not warnings or current_generation(directory) == current):
                return store
            if current_generation(directory) == current:
                break
        if not warnings:
            raise TrustError(
                f"the trust folder {directory} was begun but never filled; run: healthcode trust sync"
            )
        raise TrustError(f"no generation in {directory} verifies: {'; '.join(warnings)}")

    @classmethod
    def _newest(
        cls,
        directory: Path,
        bootstrap: Bootstrap,
        current: int | None,
        newest: tuple[bytes, ...],
        limits: TrustLimits,
    ) -> tuple[TrustStore | None, list[str]]:
        """(the newest generation that verifies, what was wrong with the newer ones)."""
        found = generation_numbers(directory)
        # a generation newer than `current` was never finished; without `current` any may be complete
        numbers = found if current is None else [number for number in found if number <= current]
        warnings: list[str] = []
        for number in numbers:
            try:
                with reading(directory, number):
                    files, read_list = read_generation(directory, number, bootstrap.root)
                    files = replace(files, national=replace(files.national, adopted=bootstrap.fingerprints))
                    state = assemble(files, read_list, limits)
            except HealthcodeError as error:
                why = error.message.removeprefix(f"generation {number}: ")
                warnings.append(f"generation {number} does not verify: {why}")
                continue
            if warnings:
                warnings.append(f"generation {number} serves in its place; refresh to repair the folder")
            lost = lost_files(directory, [each for each in numbers if each > number])
            superseded = is_superseded(newest, lost, state.national)
            if not warnings and superseded:
                warnings.append(
                    f"the folder held newer trust than generation {number} and has lost it, as if an older copy was "
                    "put back, or newest.json is damaged; refresh to repair the folder"
                )
            store = cls(directory, state, number, tuple(warnings), (*newest, *lost), superseded=superseded)
            store.set_clock_evidence(read_clock_evidence(directory, state.national.root, limits))
            return store, warnings
        return None, warnings
