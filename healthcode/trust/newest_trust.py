"""Take the newest trust that verifies from several sources, and complete it from the others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from healthcode.errors import HealthcodeError, InternalError, Reason, TrustError, UnavailableError
from healthcode.trust.disk.bootstrap import Bootstrap
from healthcode.trust.disk.read import generation_numbers, lost_files, read_newest
from healthcode.trust.disk.write import Checkpoint
from healthcode.trust.format.layout import TrustLimits
from healthcode.trust.refresh.candidate import Candidate
from healthcode.trust.refresh.next_state import Refresh
from healthcode.trust.refresh.source_choice import SourceChoice
from healthcode.trust.refresh.tuf_updater import read_cache, update_national
from healthcode.trust.refresh.unchanged import refresh_unchanged
from healthcode.trust.store import TrustStore
from healthcode.trust.verify.national import NationalFiles, NationalTrust
from healthcode.trust.verify.rollback import verify_not_older_than_lost
from healthcode.trust.verify.trust_state import TrustState

__all__ = ["NewestTrust", "Taken"]

# Fetched lists that could not be stored (a full disk) stay in memory, up to this size.
_MAX_HELD_BYTES = 268_435_456

# Refusals for reasons in the national files, which are the same from every source.
_NO_SOURCES_FAULT = frozenset({Reason.PARTICIPANT_UNKNOWN, Reason.AUTHORITY_EXISTS, Reason.AUTHORITY_WAITS})


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken from the sources and verified, but is not stored yet. `lists`: those fetched, by path."""

    candidate: Candidate
    state: TrustState
    lists: Mapping[str, bytes]


class NewestTrust:
    """Tries the candidates of a refresh in turn; the first whose national part verifies is taken."""

    def __init__(
        self, directory: Path, choice: SourceChoice, limits: TrustLimits, checkpoint: Checkpoint
    ) -> None:
        self._directory = directory
        self._choice = choice
        self._limits = limits
        self._checkpoint = checkpoint
        # fetched and hashed but not stored: an interrupted refresh continues from here
        self._lists: dict[str, bytes] = {}

    def limit_lists(self) -> None:
        """Drop the lists in memory if they are too large together."""
        if sum(map(len, self._lists.values())) > _MAX_HELD_BYTES:
            self._lists.clear()

    def forget_lists(self) -> None:
        """Drop the lists in memory, since they are on disk now."""
        self._lists.clear()

    def take(
        self, candidates: Sequence[Candidate], store: TrustStore | None, bootstrap: Bootstrap, now: int
    ) -> Taken:
        """The newest set that verifies, completed from other sources if files were refused or missing.

        `store` is the serving folder, if any. Raises TrustError or UnavailableError if no source
        offers a national part that verifies; STORAGE_FULL as soon as the disk is full.
        """
        taken: Taken | None = None
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
                    raise  # not the fault of a source
                self._choice.fail(candidate, error)
                errors.append((candidate.name, error))
                continue
            if all(each.reason in _NO_SOURCES_FAULT for each in taken.state.files.rejected):
                break
        if taken is None:
            raise _combined(errors)
        return taken

    def _take_from(
        self, candidate: Candidate, store: TrustStore | None, bootstrap: Bootstrap, now: int
    ) -> Taken:
        before = None if store is None else store.state
        refresh = Refresh(before, candidate, self._limits, now, lists=self._lists)
        files, national = self._national(refresh, candidate, store, bootstrap, now)
        self._checkpoint("national.fetched")
        verify_not_older_than_lost(self._lost(store), national)
        state = refresh.run(files, national)
        self._checkpoint("verified")
        self._choice.succeed(candidate)
        return Taken(candidate, state, self._lists)

    def _national(
        self,
        refresh: Refresh,
        candidate: Candidate,
        store: TrustStore | None,
        bootstrap: Bootstrap,
        now: int,
    ) -> tuple[NationalFiles, NationalTrust]:
        """The verified national part: by the short way if root and targets are unchanged, else by python-tuf."""
        accepted = None if store is None else store.state.files.national
        if (
            store is not None
            and not store.warnings
            and bootstrap.trusted_root in store.state.files.national.roots
        ):
            unchanged = refresh_unchanged(store.state, candidate, self._limits, now)
            if unchanged is not None:
                return unchanged
        # Each source has its own cache, so no source can spoil another's.
        cache = self._directory / "cache" / hashlib.sha256(candidate.name.encode()).hexdigest()[:16]
        update_national(cache, candidate, bootstrap.trusted_root, accepted, now, self._limits)
        cached = read_cache(cache, bootstrap.trusted_root)
        older = bootstrap.roots_before_trusted(() if accepted is None else accepted.roots)
        cached = replace(cached, roots=(*older, *cached.roots), adopted=bootstrap.fingerprints)
        return refresh.national(cached)

    def _lost(self, store: TrustStore | None) -> tuple[bytes, ...]:
        """Timestamps and snapshots of damaged generations: the next accepted ones must not be older."""
        if store is not None:
            return store.lost
        numbers = generation_numbers(self._directory)
        return (*read_newest(self._directory), *lost_files(self._directory, numbers))

    def _complete(self, candidate: Candidate, taken: Taken, now: int) -> Taken:
        """`taken`, with `candidate`'s copies of the files that were refused or missing."""
        before = taken.state.files.rejected
        refresh = Refresh(taken.state, candidate, self._limits, now, lists=self._lists)
        state = refresh.run(taken.state.files.national, taken.state.national)
        still = {each.participant for each in state.files.rejected}
        for each in before:
            if each.participant not in still and each.reason not in _NO_SOURCES_FAULT:
                blamed = TrustError(
                    f"{taken.candidate.name}: {each.participant}: {each.message}", reason=each.reason
                )
                self._choice.fail(taken.candidate, blamed)
        # Only the first pass sees a participant go, so its report is carried over.
        reported = tuple(e for e in before if e.reason in _NO_SOURCES_FAULT and e.participant not in still)
        if reported:
            files = replace(state.files, rejected=(*state.files.rejected, *reported))
            state = replace(state, files=files)
        return replace(taken, state=state)


def _combined(errors: Sequence[tuple[str, HealthcodeError]]) -> HealthcodeError:
    """One error for several sources: all messages, and the reason of the first source that answered."""
    if len(errors) == 1:
        name, only = errors[0]
        if name not in only.message:
            only.message = f"{name}: {only.message}"
            only.args = (only.message,)
        return only
    said = (each.message if name in each.message else f"{name}: {each.message}" for name, each in errors)
    message = f"no source gives trust that verifies: {'; '.join(said)}"
    bad = next((each for _, each in errors if not isinstance(each, UnavailableError)), None)
    if bad is None:
        return UnavailableError(message, reason=errors[0][1].reason)
    return TrustError(message, reason=bad.reason)
