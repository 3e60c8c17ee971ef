"""A trust folder, opened offline: what a node or an SDK decides with, network or not.

A folder begins with a root whose fingerprint somebody was told (bootstrap.py).
`TrustStore.open` reads a generation and verifies it from that root down to every province,
without network; when the current one is damaged, the one before serves, and says so.
"""

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
)
from healthcode.trust.format.layout import TrustLimits
from healthcode.trust.verify.assemble import assemble
from healthcode.trust.verify.trust_state import TrustState
from healthcode.trust.view import TrustView

__all__ = ["Bootstrap", "TrustStore", "init_trust", "read_bootstrap"]

_LIMITS = TrustLimits()


class TrustStore:
    """A trust folder as it was when it was opened; `view` is what to verify with."""

    def __init__(
        self,
        directory: Path,
        state: TrustState,
        generation: int,
        warnings: tuple[str, ...],
        lost: tuple[bytes, ...] = (),
    ) -> None:
        """`lost`: what is left of newer generations that no longer hold (`lost_files`)."""
        self.directory = directory
        self.state = state
        self.generation = generation
        self.warnings = warnings
        self.lost = lost
        self._view = state.view

    @property
    def view(self) -> TrustView:
        """What the folder lets one believe."""
        return self._view

    def set_clock_evidence(self, clock_evidence: ClockEvidence | None) -> None:
        """Put into the view what the last contact said of this machine's clock."""
        if clock_evidence != self._view.clock_evidence:
            self._view = replace(self._view, clock_evidence=clock_evidence)

    @classmethod
    def open(cls, directory: Path | str, *, limits: TrustLimits = _LIMITS) -> TrustStore:
        """Open the newest generation that holds, verifying it whole, without network.

        Raises ConfigurationError when the folder was never begun, TrustError when no
        generation holds; `warnings` name what was damaged.
        """
        directory = Path(directory)
        bootstrap = read_bootstrap(directory, limits)
        current = current_generation(directory)
        found = generation_numbers(directory)
        # a generation newer than `current` was never finished; without `current` any may serve
        numbers = found if current is None else [number for number in found if number <= current]
        warnings: list[str] = []
        for number in numbers:
            try:
                files, read_list = read_generation(directory, number, bootstrap.root)
                files = replace(files, national=replace(files.national, adopted=bootstrap.fingerprints))
                state = assemble(files, read_list, limits)
            except HealthcodeError as error:
                warnings.append(f"generation {number} does not hold: {error.message}")
                continue
            if warnings:
                warnings.append(f"generation {number} serves in its place; refresh to repair the folder")
            damaged = [each for each in numbers if each > number]
            store = cls(directory, state, number, tuple(warnings), lost_files(directory, damaged))
            store.set_clock_evidence(read_clock_evidence(directory, state.national.root, limits))
            return store
        if not warnings:
            raise TrustError(
                f"the trust folder {directory} was begun but never filled; run: healthcode trust sync"
            )
        raise TrustError(f"no generation in {directory} holds: {'; '.join(warnings)}")
