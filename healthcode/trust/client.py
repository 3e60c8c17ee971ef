"""Keeping a trust folder up to date from a source that nobody has to trust.

A refresh takes the national files through TUF's client workflow, then each part
(areas, every province) by itself. What concerns all (a root, timestamp, snapshot or
targets that does not hold, a role or path that has no place) refuses the refresh and
changes nothing. What concerns one province refuses that province's change alone: it
keeps its last good files, and the refusal is reported. Then the whole becomes the next
generation on disk, and only then the view.

There may be several sources: the newest that holds is taken (choice.py), and what it
could not give of a province is asked of the others. Each source has a cache of its own,
so that none can spoil another's; what was accepted before is held in the generation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from healthcode.errors import HealthcodeError, InternalError, Reason, TrustError, UnavailableError
from healthcode.storage.lock import lock
from healthcode.trust.clock_evidence import (
    ClockEvidence,
    newest_evidence,
    write_clock_evidence,
)
from healthcode.trust.disk.bootstrap import (
    Adopted,
    Bootstrap,
    bootstrap_mark,
    read_bootstrap,
    write_adopted,
)
from healthcode.trust.disk.read import (
    generation_numbers,
    holds_list,
    is_in_place,
    lost_files,
)
from healthcode.trust.disk.write import (
    Checkpoint,
    swap_timestamp,
    write_generation,
)
from healthcode.trust.format.layout import TrustLimits, list_file
from healthcode.trust.refresh.candidate import Candidate, SourceLimits
from healthcode.trust.refresh.download import Download
from healthcode.trust.refresh.next_state import Refresh
from healthcode.trust.refresh.source_choice import SourceChoice, SourceNote
from healthcode.trust.refresh.tuf_updater import read_cache, update_national
from healthcode.trust.refresh.unchanged import refresh_unchanged
from healthcode.trust.sources.trust_source import TrustSource
from healthcode.trust.store import TrustStore
from healthcode.trust.verify.rollback import verify_no_national_rollback, verify_not_older_than_lost
from healthcode.trust.verify.trust_state import Rejected, TrustState
from healthcode.trust.view import TrustView

__all__ = ["RefreshResult", "TrustClient"]

_LIMITS = TrustLimits()
_SOURCE_LIMITS = SourceLimits()

# lists that were fetched and could not be kept (a full disk) wait in memory, up to here
_MAX_HELD_BYTES = 268_435_456

_LOCK_SECONDS = 120
_REREAD_AFTER = 1000

# these lie in the national files, which are the same wherever they come from
_NO_SOURCES_FAULT = frozenset({Reason.PARTICIPANT_UNKNOWN, Reason.AUTHORITY_EXISTS, Reason.AUTHORITY_WAITS})


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """What a refresh brought.

    `changed`: the view is another one (a newer timestamp alone counts). `generation` is
    the one on disk. `rejected` names each participant (or "areas") whose newest files
    were refused; its last good ones serve on. `source` names where it came from, `passed_over`
    the sources that gave nothing that holds, or lag, and why.
    """

    changed: bool
    generation: int
    rejected: tuple[Rejected, ...]
    view: TrustView
    source: str = ""
    passed_over: tuple[SourceNote, ...] = ()


@dataclass(frozen=True, slots=True)
class _Taken:
    """What was taken from the sources so far, verified, not kept yet."""

    candidate: Candidate
    state: TrustState
    lists: dict[str, bytes | None]


class TrustClient:
    """A trust folder and the sources it follows, the preferred first.

    One refresh at a time, across processes too.
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
        self._store: TrustStore | None = None
        self._known: set[int] = set()  # generations that this process has read whole, or written
        self._bootstrap: Bootstrap | None = None
        self._bootstrap_mark = (0, 0)
        self._lists: dict[
            str, bytes
        ] = {}  # fetched and hashed, not kept yet: a cut refresh goes on from there

    @property
    def view(self) -> TrustView | None:
        """The view that serves, with what the last refresh learnt of the clock, even one that failed."""
        return None if self._store is None else self._store.view

    @property
    def state(self) -> TrustState | None:
        """The signed files that serve, decoded: what ends when (healthcode.service.deadline); None before any was read."""
        return None if self._store is None else self._store.state

    @property
    def passed_over(self) -> tuple[SourceNote, ...]:
        """The sources that the last refresh passed over, and why; also after one that failed."""
        return tuple(self._choice.notes)

    def open(self) -> TrustStore:
        """The folder as it stands, without network. Raises as TrustStore.open."""
        self._store = TrustStore.open(self._directory, limits=self._limits)
        return self._store

    def refresh(self, now: int, *, adopting: Adopted | None = None) -> RefreshResult:
        """Take what the sources have that is newer and holds.

        `adopting` is a root that a person names, to go on from (rebootstrap.py); it is kept
        once all that is served under it was verified.

        Raises UnavailableError when no source is within reach, TrustError (or another
        HealthcodeError) when what they serve for the whole federation does not hold,
        ConfigurationError when the folder was never begun. After any of them the folder
        and the view are as they were, but for what was learnt of the clock.
        """
        if sum(map(len, self._lists.values())) > _MAX_HELD_BYTES:
            self._lists.clear()
        with self._locked():
            bootstrap = self._begun()
            store = self._serving()
            if adopting is not None:
                bootstrap = bootstrap.adopting(adopting)
            candidates = self._choice.begin()
            try:
                taken = self._take(candidates, store, bootstrap, now)
            except HealthcodeError:
                self._learn(candidates, store, now)
                raise
            if adopting is not None:
                write_adopted(self._directory, bootstrap)
                self._checkpoint("root.adopted")
            result = self._keep(store, taken)
            self._lists.clear()
            clock_evidence = self._learn(candidates, store, now, taken.state)
            self._choice.end(candidates, taken.candidate, taken.state.national.roots)
            view = replace(result.view, clock_evidence=clock_evidence)
            return replace(result, view=view, passed_over=self.passed_over)

    def _take(
        self, candidates: Sequence[Candidate], store: TrustStore | None, bootstrap: Bootstrap, now: int
    ) -> _Taken:
        """The newest set that holds, completed from the other sources where it lacks something."""
        taken: _Taken | None = None
        errors: list[tuple[str, HealthcodeError]] = []
        for candidate in candidates:
            try:
                if taken is None:
                    taken = self._take_from(candidate, store, bootstrap, now)
                elif candidate.timestamp is not None:
                    taken = self._complete(candidate, taken, now)
            except Exception as fault:
                error = (
                    fault
                    if isinstance(fault, HealthcodeError)
                    else InternalError(
                        f"{candidate.name}: a fault of ours: {type(fault).__name__}; please report it"
                    )
                )
                if error.reason is Reason.STORAGE_FULL:
                    raise  # no source's fault
                self._choice.fail(candidate, error)
                errors.append((candidate.name, error))
                continue
            if all(each.reason in _NO_SOURCES_FAULT for each in taken.state.files.rejected):
                break
        if taken is None:
            raise _together(errors)
        return taken

    def _take_from(
        self, candidate: Candidate, store: TrustStore | None, bootstrap: Bootstrap, now: int
    ) -> _Taken:
        before = None if store is None else store.state
        accepted = None if before is None else before.files.national
        refresh = Refresh(before, candidate, self._limits, now, lists=self._lists)
        national = None
        if (
            store is not None
            and not store.warnings
            and bootstrap.trusted_root in store.state.files.national.roots
        ):
            national = refresh_unchanged(store.state, candidate, self._limits, now)
        if national is None:
            cache = self._directory / "cache" / hashlib.sha256(candidate.name.encode()).hexdigest()[:16]
            update_national(cache, candidate, bootstrap.trusted_root, accepted, now, self._limits)
            cached = read_cache(cache, bootstrap.trusted_root)
            older = bootstrap.roots_before_trusted(() if accepted is None else accepted.roots)
            cached = replace(cached, roots=(*older, *cached.roots), adopted=bootstrap.fingerprints)
            national = refresh.national(cached)
        self._checkpoint("national.fetched")
        verify_not_older_than_lost(self._lost(store), national[1])
        state, lists = refresh.run(*national)
        self._checkpoint("verified")
        self._choice.succeed(candidate)
        return _Taken(candidate, state, lists)

    def _lost(self, store: TrustStore | None) -> tuple[bytes, ...]:
        """Timestamps and snapshots of generations that no longer hold: what is accepted next is not older."""
        if store is not None:
            return store.lost
        return lost_files(self._directory, generation_numbers(self._directory))

    def _complete(self, candidate: Candidate, taken: _Taken, now: int) -> _Taken:
        """`taken`, with what `candidate` has of the files that were refused or missing."""
        before = taken.state.files.rejected
        refresh = Refresh(taken.state, candidate, self._limits, now, lists=self._lists)
        state, lists = refresh.run(taken.state.files.national, taken.state.national)
        still = {each.participant for each in state.files.rejected}
        for each in before:
            if each.participant not in still and each.reason not in _NO_SOURCES_FAULT:
                blamed = TrustError(
                    f"{taken.candidate.name}: {each.participant}: {each.message}", reason=each.reason
                )
                self._choice.fail(taken.candidate, blamed)
        # a retired participant is told of by the pass that saw it go
        told = tuple(e for e in before if e.reason in _NO_SOURCES_FAULT and e.participant not in still)
        if told:
            files = replace(state.files, rejected=(*state.files.rejected, *told))
            state = replace(state, files=files)
        return replace(taken, state=state, lists=lists)

    def _learn(
        self,
        candidates: Sequence[Candidate],
        store: TrustStore | None,
        now: int,
        state: TrustState | None = None,
    ) -> ClockEvidence | None:
        """What the timestamps that came, held or expired, say of our clock; the serving view tells it."""
        before = None if store is None else store.state
        clock_evidence = None if store is None else store.view.clock_evidence
        if clock_evidence is not None and clock_evidence.is_over(now):
            clock_evidence = None  # for good: when `now` comes to that time again, it means nothing
        basis = state or before
        if basis is not None:
            seen = [each.timestamp for each in candidates if each.timestamp is not None]
            known = 0 if before is None else before.view.timestamp_version
            clock_evidence = (
                newest_evidence(seen, basis.national.root, known, now, self._limits) or clock_evidence
            )
            with suppress(TrustError):  # a full disk: it is learnt again
                write_clock_evidence(self._directory, clock_evidence)
        if self._store is not None:
            self._store.set_clock_evidence(clock_evidence)
        return clock_evidence

    def _keep(self, store: TrustStore | None, taken: _Taken) -> RefreshResult:
        """Make what was verified durable: a new generation, or a newer timestamp in the one that serves."""
        state, changed = taken.state, True
        if store is not None and not store.warnings and _same_but_timestamp(store.state, state):
            number = store.generation
            changed = state.files.national.timestamp != store.state.files.national.timestamp
            if changed:
                swap_timestamp(self._directory, number, state.files.national.timestamp)
        else:
            number = self._write(taken, None if store is None else store.generation)
        # now and then all is read again, for the sake of a process that runs for years
        self._known = {*self._known, number} if len(self._known) < _REREAD_AFTER else {number}
        self._store = TrustStore(self._directory, state, number, ())
        return RefreshResult(changed, number, state.files.rejected, state.view, taken.candidate.name)

    def _write(self, taken: _Taken, base: int | None) -> int:
        """The number of the generation that was written; lists that the folder has lost are fetched again."""
        files, lists = taken.state.files, taken.lists
        try:
            return write_generation(
                self._directory, files, lists, base=base, known=self._known, checkpoint=self._checkpoint
            )
        except TrustError as error:
            if error.reason is Reason.STORAGE_FULL:
                raise
            lists = self._refetched(taken, base)
        return write_generation(
            self._directory, files, lists, base=base, known=self._known, checkpoint=self._checkpoint
        )

    def _refetched(self, taken: _Taken, base: int | None) -> dict[str, bytes | None]:
        """The lists, those fetched again that the damaged folder no longer holds. Raises as TrustSource.fetch."""
        lists = dict(taken.lists)
        retrieval = Download(taken.candidate, self._limits, {})
        for place in (each for each, data in taken.lists.items() if data is None):
            if base is None or not holds_list(self._directory, base, place):
                data = retrieval.fetch(place, self._limits.list_bytes)
                if list_file(hashlib.sha256(data).hexdigest()) != place:
                    raise TrustError(f"{place} is not the file of that name", reason=Reason.SIGNATURE_INVALID)
                lists[place] = data
        return lists

    def _begun(self) -> Bootstrap:
        """How the folder was begun; read again when a person has adopted another root since."""
        mark = bootstrap_mark(self._directory)
        if self._bootstrap is None or mark != self._bootstrap_mark:
            self._bootstrap = read_bootstrap(self._directory, self._limits)
            self._bootstrap_mark = mark
        return self._bootstrap

    def _serving(self) -> TrustStore | None:
        """What serves now: read again if another process moved on, and never behind what this one accepted."""
        held = self._store
        if held is not None and is_in_place(self._directory, held.generation, held.state.files.national):
            return held
        opened: TrustStore | None = None
        with suppress(TrustError):  # where nothing on disk holds any more, it begins anew from the root
            opened = TrustStore.open(self._directory, limits=self._limits)
        if held is not None and (opened is None or _went_back(held.state, opened.state)):
            # what this process accepted is gone from the folder, which is made whole by the next generation
            lost = (*held.warnings, "what was accepted is no longer in the folder; it goes on from memory")
            held = TrustStore(self._directory, held.state, held.generation, lost)
            opened = held
        self._store = opened
        if opened is not None and opened is not held:
            self._known = {opened.generation}
        return opened

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the folder: a command and a service may share it."""
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


def _went_back(held: TrustState, opened: TrustState) -> bool:
    """Whether what lies in the folder is older than what was accepted."""
    try:
        verify_no_national_rollback(held, opened.national, opened.national.timestamp_signed_at)
    except TrustError as error:
        return error.reason is Reason.TRUST_ROLLBACK
    return False


def _same_but_timestamp(before: TrustState, after: TrustState) -> bool:
    national = replace(before.files.national, timestamp=after.files.national.timestamp)
    return replace(before.files, national=national) == after.files


def _together(errors: Sequence[tuple[str, HealthcodeError]]) -> HealthcodeError:
    """Why no source gave anything: of several, what each said, and the reason of the first that was reached."""
    if len(errors) == 1:
        name, only = errors[0]
        if name not in only.message:
            only.message = f"{name}: {only.message}"
            only.args = (only.message,)
        return only
    said = (each.message if name in each.message else f"{name}: {each.message}" for name, each in errors)
    message = f"no source gives trust that holds: {'; '.join(said)}"
    bad = next((each for _, each in errors if not isinstance(each, UnavailableError)), None)
    if bad is None:
        return UnavailableError(message, reason=errors[0][1].reason)
    return TrustError(message, reason=bad.reason)
