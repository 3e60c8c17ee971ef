"""Choose among several sources: the one with the newest timestamp that verifies.

A frozen source never wins over a fresh one, a forging one is passed over, a slow one costs a moment.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from healthcode.errors import HealthcodeError, InternalError, Reason, TrustError, UnavailableError
from healthcode.trust.format.layout import TrustLimits, metadata_file
from healthcode.trust.format.metadata import Root, Timestamp, decode_metadata, verify_threshold
from healthcode.trust.format.metadata_fields import signed_at
from healthcode.trust.refresh.candidate import Candidate, SourceLimits
from healthcode.trust.sources.trust_source import TrustSource

__all__ = ["SourceChoice", "SourceNote"]


_TIMESTAMP = metadata_file("timestamp")


@dataclass(frozen=True, slots=True)
class SourceNote:
    """Why a source was passed over in a refresh."""

    source: str
    reason: Reason
    message: str


class SourceChoice:
    """A client's sources in order of preference, and the recent failures of each.

    A source that failed rests, longer after each failure. While it rests it is tried last.
    """

    def __init__(
        self,
        sources: Sequence[TrustSource],
        trust_limits: TrustLimits,
        limits: SourceLimits,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not sources:
            raise TrustError("no trust source is configured: name at least one")
        self.notes: list[SourceNote] = []
        self._sources = tuple(sources)
        self._trust_limits = trust_limits
        self._limits = limits
        self._monotonic = monotonic
        # by index in `sources`: (until, how long), monotonic seconds
        self._rest: dict[int, tuple[float, float]] = {}

    # A claimed version is believed only after everything under it was verified: this is only the order of trial.
    def begin(self) -> list[Candidate]:
        """The sources to try, the best first. `notes` is reset to the sources that gave no timestamp."""
        self.notes = []
        if len(self._sources) == 1:
            return [Candidate(self._sources[0], self._limits)]
        now = self._monotonic()
        awake = [i for i in range(len(self._sources)) if self._rest.get(i, (now, 0))[0] <= now]
        resting = [i for i in range(len(self._sources)) if i not in awake]
        # the sort is stable: equal versions keep the order of preference
        ranked = sorted(self._ask(awake), key=lambda each: -each[0])
        failed = [i for i in awake if all(i != index for _, index, _ in ranked)]
        return [
            *(Candidate(self._sources[index], self._limits, data) for _, index, data in ranked),
            *(Candidate(self._sources[index], self._limits) for index in (*resting, *failed)),
        ]

    def succeed(self, candidate: Candidate) -> None:
        """Note that the candidate's files were verified."""
        self._rest.pop(self._index_of(candidate.source), None)

    def fail(self, candidate: Candidate, error: HealthcodeError) -> None:
        """Note why a source is passed over, and let it rest."""
        self.notes = [note for note in self.notes if note.source != candidate.name]
        self._fail(self._index_of(candidate.source), error)

    def end(self, candidates: Sequence[Candidate], taken: Candidate, roots: Sequence[Root]) -> None:
        """Note the unused sources that forge timestamps or lag far behind.

        A timestamp is a forgery if no root of `roots` names its signer, however old it claims to be.
        """
        newest = _signed_at(taken.timestamp, self._trust_limits)
        noted = {note.source for note in self.notes}
        for each in candidates:
            if each is taken or each.name in noted:
                continue
            if (error := _forgery(each.timestamp, roots, self._trust_limits)) is not None:
                self.fail(each, error)
                continue
            if newest is None:
                continue
            signed = _signed_at(each.timestamp, self._trust_limits)
            if signed is not None and newest - signed > self._limits.lag_seconds:
                text = f"{each.name} is frozen: its timestamp is {newest - signed} s older than that of {taken.name}"
                self.notes.append(SourceNote(each.name, Reason.TRUST_FROZEN, text))

    def _fail(self, index: int, error: HealthcodeError) -> None:
        self.notes.append(SourceNote(self._sources[index].name, error.reason, error.message))
        _, last = self._rest.get(index, (0.0, 0.0))
        pause = min(max(self._limits.first_rest_seconds, 2 * last), self._limits.longest_rest_seconds)
        self._rest[index] = (self._monotonic() + pause, pause)

    def _index_of(self, source: TrustSource) -> int:
        return next(i for i, each in enumerate(self._sources) if each is source)

    def _ask(self, indices: Sequence[int]) -> list[tuple[int, int, bytes]]:
        """(claimed version, index of the source, timestamp) of each source that answers in time."""
        answers: queue.SimpleQueue[tuple[int, bytes | HealthcodeError]] = queue.SimpleQueue()

        def ask(index: int) -> None:
            try:
                answers.put(
                    (index, self._sources[index].fetch(_TIMESTAMP, self._trust_limits.timestamp_bytes))
                )
            except HealthcodeError as error:
                answers.put((index, error))
            except Exception as fault:  # noqa: BLE001  a thread that dies would be reported as slow
                answers.put((index, InternalError(f"a fault of ours: {type(fault).__name__}")))

        for index in indices:
            # daemon: a source that hangs must not delay the end of the process
            threading.Thread(target=ask, args=(index,), name="trust-source", daemon=True).start()
        found: list[tuple[int, int, bytes]] = []
        waiting = set(indices)
        deadline = time.monotonic() + self._limits.answer_seconds
        while waiting:
            try:
                index, answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            waiting.discard(index)
            try:
                if isinstance(answer, HealthcodeError):
                    raise answer
                claimed = decode_metadata(answer, Timestamp, self._trust_limits.timestamp_bytes).signed
                found.append((claimed.version, index, answer))
            except HealthcodeError as error:
                self._fail(index, error)
        for index in sorted(waiting):
            text = f"{self._sources[index].name} did not answer in {self._limits.answer_seconds:g} s"
            self._fail(index, UnavailableError(text, reason=Reason.SOURCE_SLOW))
        return sorted(found, key=lambda each: each[1])


def _forgery(timestamp: bytes | None, roots: Sequence[Root], limits: TrustLimits) -> HealthcodeError | None:
    """Why no root in `roots` accepts this timestamp's signatures; None if one does or there is no timestamp."""
    found: HealthcodeError | None = None
    if timestamp is None:
        return found
    for root in reversed(roots):
        try:
            verify_threshold(root, "timestamp", decode_metadata(timestamp, Timestamp, limits.timestamp_bytes))
        except HealthcodeError as error:
            found = found or error
        else:
            return None
    return found


def _signed_at(timestamp: bytes | None, limits: TrustLimits) -> int | None:
    if timestamp is None:
        return None
    try:
        return signed_at(decode_metadata(timestamp, Timestamp, limits.timestamp_bytes).signed)
    except HealthcodeError:
        return None
