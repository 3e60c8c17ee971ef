"""What the use cases about people need of a store: sources, evidence, levels. The rules of `protocols` hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from healthcode.policy.levels.evidence import EvidenceKind
from healthcode.wire.claims import Level
from province_node.store.people_records import (
    Added,
    Applied,
    HolderState,
    LevelBasis,
    LevelRecord,
    LevelUpdate,
    NewEvidence,
    ReceivedBetween,
    Source,
    SourceState,
    Withdrawn,
)
from province_node.store.records import Request

__all__ = ["DocumentStore", "EvidenceStore", "LevelStore", "SourceStore"]


class SourceStore(Protocol):
    """Who may send evidence."""

    def add_source(self, source: Source, now: int) -> None:
        """Registers a source, or gives a registered one another key, kinds or unit; a suspended one is ACTIVE again."""

    def set_source_state(self, name: str, state: SourceState, now: int) -> None:
        """Raises NotFoundError (SOURCE_UNKNOWN)."""

    def find_source(self, name: str) -> Source | None: ...

    def sources(self) -> Sequence[Source]:
        """All registered sources, by name."""


class EvidenceStore(Protocol):
    """Step one: evidence and due marks are durable together, and then acknowledged."""

    def add_evidence(self, items: Sequence[NewEvidence], now: int) -> Sequence[Added]:
        """Records items in their order, each with a due mark of its document; the result of each.

        The source of each item must be registered. A revision about another document marks the former one too.
        """

    def find_withdrawn(self, request: Request, now: int) -> Withdrawn | None:
        """The result that this request had before. Raises InvalidInputError (REQUEST_ID_REUSED)."""

    def withdraw_records(self, source: str, records: Sequence[str], request: Request, now: int) -> Withdrawn:
        """Gives each record a withdrawn revision above its highest, all or none."""

    def withdraw_received(
        self, source: str, selection: ReceivedBetween, request: Request, now: int
    ) -> Withdrawn:
        """The same for what was received in a window, piece by piece: as `RevokeStore.revoke_issued_under`."""

    def count_records(self, source: str, records: Sequence[str]) -> Withdrawn: ...

    def count_received(self, source: str, selection: ReceivedBetween) -> Withdrawn: ...

    def prune_evidence(self, now: int, kept_seconds: Mapping[EvidenceKind, int]) -> int:
        """Forgets items of these kinds that were so longer ago than they are kept; how many.

        What a row of the level history names stays. `now` must be vouched for, as in `NodeStore.prune`.
        """

    def count_evidence(self) -> int:
        """How many items there are."""


class LevelStore(Protocol):
    """Step two: levels follow evidence, repeated until it is done. A due mark survives a kill between the steps."""

    def read_holders(
        self, documents: Sequence[bytes], *, with_evidence: bool = True
    ) -> Sequence[HolderState]:
        """The holder of each document, in order; a document that is not known is a holder of its own."""

    def read_due(self, limit: int, skip: int = 0) -> Sequence[HolderState]:
        """Holders with a due mark, the oldest marks first, behind the first `skip` of them."""

    def read_lapsed(self, now: int, limit: int, skip: int = 0) -> Sequence[HolderState]:
        """Holders whose level changes by itself at `now` or before, the earliest first, behind the first `skip`."""

    def read_outdated(
        self, basis: int, level: Level | None, after: int, limit: int
    ) -> tuple[Sequence[HolderState], int | None]:
        """A slice of holders that were not derived by `basis`, and where the next one begins (None: it was the last).

        With `level`, those who have it now; without, all who have evidence or a level. The first slice is after 0.
        """

    def apply_levels(self, updates: Sequence[LevelUpdate], now: int) -> Applied:
        """Level row, current level and the revocation of codes that are out, all together; ends the due marks.

        An update whose holder changed since it was read is not applied. Keeps `now` (`latest_now`).
        """

    def waiting(self) -> tuple[int, int | None, int | None]:
        """(how many due marks, since when the oldest waits, the earliest change of a level by itself)."""

    def latest_now(self) -> int: ...

    def keep_now(self, now: int) -> None:
        """Keeps `now` if it is later than what is kept."""

    def set_back_now(self, now: int) -> None:
        """Makes `now` the latest time, after a clock that was ahead: nothing is dated later, and everybody is due."""

    def find_basis(self, basis: LevelBasis) -> LevelBasis:
        """The basis with its number; a new one is recorded. If it is not finished, no other one is any more."""

    def finish_basis(self, number: int) -> None:
        """Records that every holder was derived by this basis."""

    def level_at(self, document: bytes, at: int) -> LevelRecord | None:
        """The row of the history that was the newest at `at`."""

    def stated_levels(self, after: bytes, limit: int) -> Sequence[tuple[bytes, LevelRecord]]:
        """Holders above `after` whose newest row is RED or YELLOW and was stated by a back end, in their order."""

    def count_stated(self) -> tuple[int, int]:
        """(holders whom `stated_levels` finds, holders with a level and without evidence)."""

    def begin_upgrade(self, now: int) -> int:
        """When levels were derived for the first time: `now` at the first call."""

    def is_upgraded(self) -> bool: ...

    def finish_upgrade(self, now: int) -> None:
        """Records that every stated level became evidence."""


class DocumentStore(Protocol):
    """Several documents of one holder. The holder is the pseudonym of the first document."""

    def documents_of(self, document: bytes) -> Sequence[bytes]:
        """All documents of the holder who has this one, the first one first."""

    def merge_documents(self, first: bytes, second: bytes, now: int) -> None:
        """Makes the holders of both one: the first one's. Both are due. Nothing happens if they are one already."""

    def split_document(self, document: bytes, now: int) -> None:
        """Makes the document a holder of its own. Both are due. Raises PreconditionError for a holder's first document."""
