"""Keep a trust folder up to date from sources that need no trust.

A fault in the national files refuses the whole refresh; a fault in one participant's files only its own change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from healthcode.errors import HealthcodeError, Reason, TrustError, UnavailableError
from healthcode.storage.lock import lock
from healthcode.trust.clock_evidence import ClockEvidence, newest_evidence, write_clock_evidence
from healthcode.trust.disk.bootstrap import Adopted, Bootstrap, bootstrap_mark, read_bootstrap, write_adopted
from healthcode.trust.disk.write import Checkpoint
from healthcode.trust.format.layout import TrustLimits
from healthcode.trust.generations import Generations
from healthcode.trust.newest_trust import NewestTrust
from healthcode.trust.refresh.candidate import Candidate, SourceLimits
from healthcode.trust.refresh.source_choice import SourceChoice, SourceNote
from healthcode.trust.sources.trust_source import TrustSource
from healthcode.trust.store import TrustStore
from healthcode.trust.verify.trust_state import Rejected, TrustState
from healthcode.trust.view import TrustView

__all__ = ["RefreshResult", "TrustClient"]

_LIMITS = TrustLimits()
_SOURCE_LIMITS = SourceLimits()
_LOCK_SECONDS = 120


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """The result of a refresh.

    `changed`: the view is a new one, if only by a newer timestamp. `generation`: the one on
    disk. `rejected`: each participant (or "areas", "policy") whose newest files were refused. `source`:
    where the trust came from. `passed_over`: the sources that failed or lag, and why.
    """

    changed: bool
    generation: int
    rejected: tuple[Rejected, ...]
    view: TrustView
    source: str = ""
    passed_over: tuple[SourceNote, ...] = ()


class TrustClient:
    """A trust folder and its sources, in order of preference.

    One refresh runs at a time, also among processes.
    """

    def __init__(
        self,
        directory: Path | str,
        sources: TrustSource | Sequence[TrustSource],
        *,
        limits: TrustLimits = _LIMITS,
        source_limits: SourceLimits = _SOURCE_LIMITS,
        checkpoint: Checkpoint = lambda _step: None,
    ) -> None:
        self._directory = Path(directory)
        several = tuple(sources) if isinstance(sources, Sequence) else (sources,)
        self._choice = SourceChoice(several, limits, source_limits)
        self._limits = limits
        self._checkpoint = checkpoint
        self._newest = NewestTrust(self._directory, self._choice, limits, checkpoint)
        self._generations = Generations(self._directory, limits, checkpoint)
        self._bootstrap: Bootstrap | None = None
        self._bootstrap_mark = (0, 0)

    @property
    def view(self) -> TrustView | None:
        """The serving view, with the newest clock evidence, even of a failed refresh; None before any was read."""
        store = self._generations.store
        return None if store is None else store.view

    @property
    def state(self) -> TrustState | None:
        """The serving signed files, decoded; None before any was read."""
        store = self._generations.store
        return None if store is None else store.state

    @property
    def passed_over(self) -> tuple[SourceNote, ...]:
        """The sources that the last refresh, even a failed one, passed over, and why."""
        return tuple(self._choice.notes)

    def open(self) -> TrustStore:
        """Read the folder, without network. Raises as TrustStore.open."""
        return self._generations.open()

    def refresh(self, now: int, *, adopting: Adopted | None = None) -> RefreshResult:
        """Take the newer files that the sources have, if they verify.

        `adopting` is a root named by a person (adopt_root.py). It is stored only after everything
        served under it was verified.

        Raises UnavailableError if no source is in reach, TrustError (or another
        HealthcodeError) if the national files do not verify, ConfigurationError if the folder
        was never begun. Folder and view are then unchanged, except for the clock evidence.
        """
        self._newest.limit_lists()
        with self._locked():
            bootstrap = self._read_bootstrap()
            store = self._generations.serving()
            if adopting is not None:
                bootstrap = bootstrap.adopting(adopting)
            candidates = self._choice.begin()
            try:
                taken = self._newest.take(candidates, store, bootstrap, now)
            except HealthcodeError:
                self._learn_clock(candidates, store, now)
                raise
            if adopting is not None:
                write_adopted(self._directory, bootstrap)
                self._checkpoint("root.adopted")
            number, changed = self._generations.keep(taken.state, taken.lists, taken.candidate)
            self._newest.forget_lists()
            evidence = self._learn_clock(candidates, store, now, taken.state)
            self._choice.end(candidates, taken.candidate, taken.state.national.roots)
            return RefreshResult(
                changed,
                number,
                taken.state.rejected,
                replace(taken.state.view, clock_evidence=evidence),
                taken.candidate.name,
                self.passed_over,
            )

    def _learn_clock(
        self,
        candidates: Sequence[Candidate],
        store: TrustStore | None,
        now: int,
        state: TrustState | None = None,
    ) -> ClockEvidence | None:
        """The newest evidence about our clock, from the timestamps served, even expired ones."""
        before = None if store is None else store.state
        evidence = None if store is None else store.view.clock_evidence
        if evidence is not None and evidence.is_over(now):
            evidence = None  # dropped for good: it means nothing when `now` reaches that time again
        in_force = state or before
        if in_force is not None:
            seen = [each.timestamp for each in candidates if each.timestamp is not None]
            known = 0 if before is None else before.view.timestamp_version
            found = newest_evidence(seen, in_force.national.root, known, now, self._limits)
            if found is not None:
                source = next(each.name for each in candidates if each.timestamp == found.timestamp)
                evidence = replace(found, source=source)
            with suppress(TrustError):  # the disk is full: the next refresh learns it again
                write_clock_evidence(self._directory, evidence)
        if self._generations.store is not None:
            self._generations.store.set_clock_evidence(evidence)
        return evidence

    def _read_bootstrap(self) -> Bootstrap:
        """How the folder was begun; read again if a person has adopted another root since."""
        mark = bootstrap_mark(self._directory)
        if self._bootstrap is None or mark != self._bootstrap_mark:
            self._bootstrap = read_bootstrap(self._directory, self._limits)
            self._bootstrap_mark = mark
        return self._bootstrap

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the folder, which a command and a service may share."""
        path = self._directory / "lock"
        busy = UnavailableError(
            f"another process has held {path} for {_LOCK_SECONDS} s: find it with `fuser {path}`, and stop it "
            "if it hangs",
            reason=Reason.TRUST_UNAVAILABLE,
        )
        with lock(path, busy=busy, wait_seconds=_LOCK_SECONDS, failure=_not_writable):
            yield


def _not_writable(path: Path, error: OSError) -> TrustError:
    return TrustError(
        f"the trust folder {path.parent} cannot be written: {error.strerror}", reason=Reason.STORAGE_FULL
    )
