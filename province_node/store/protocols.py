"""What each use case needs of a store. No store takes a callable; every method is one atomic step.

A method that records returns when what it recorded is durable. tests/contract/store states the contract.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from healthcode.errors import Reason
from province_node.store.audit_protocol import AuditStore
from province_node.store.people_protocols import DocumentStore, EvidenceStore, LevelStore, SourceStore
from province_node.store.publication import PaddingState, Publication, PublishFailure
from province_node.store.records import (
    CodeState,
    HeldCode,
    HolderTag,
    IndexBlock,
    IssuedUnder,
    IssueOutcome,
    ItemFacts,
    Killed,
    NewCode,
    Request,
    Revocation,
    RevocationReason,
    Revoked,
    StatedLevel,
)

__all__ = [
    "AnswerStore",
    "CatchUpStore",
    "IssueStore",
    "KillStore",
    "NodeStore",
    "PaddingStore",
    "PublishStore",
    "RevokeStore",
]


class IssueStore(Protocol):
    """Issuing: an item is all or nothing, and the same request id gives the same item answers."""

    def find_issue(self, request: Request, now: int) -> Mapping[int, ItemFacts]:
        """The items that this request has recorded, by position; empty for a new request.

        Raises InvalidInputError (REQUEST_ID_REUSED) if the id came with another content.
        """

    def reserve_block(self, day: int, size: int) -> IndexBlock:
        """The next `size` counters for codes that expire on `day` (fewer at a series' end).

        Raises PreconditionError: INDEX_EXHAUSTED after the day's last series, NOT_COVERED while issuing is stopped.
        """

    def holder_tags(self, holders: Sequence[bytes], day: int) -> Mapping[bytes, HolderTag]:
        """The tags already drawn for these holders on `day`."""

    def has_code_under(self, kid: bytes, holder: bytes, now: int) -> bool:
        """Whether a holder has a code of this key that has not expired."""

    def killed_kids(self) -> frozenset[bytes]:
        """The keys that were killed here; the published head may name more."""

    def record_level(
        self, levels: Mapping[int, StatedLevel], request: Request, now: int
    ) -> Mapping[int, int]:
        """States the holders' levels, by the position of their item; each item's level sequence. Comes before `record_issue`.

        A change of level revokes the holder's codes that have not expired, in the same step. An item that the
        request recorded before states nothing, and is not in the result. Raises InvalidInputError
        (REQUEST_ID_REUSED), and then records nothing.
        """

    def record_issue(
        self, codes: Mapping[int, NewCode], refusals: Mapping[int, Reason], request: Request, signed_at: int
    ) -> IssueOutcome:
        """Records a slice of a request, by position: codes that were all signed at `signed_at`, and refusals.

        An item that the request recorded before stays as it is. A code is not recorded if its key was killed, its
        series closed, its holder's level moved or issuing stopped meanwhile. Raises InvalidInputError
        (REQUEST_ID_REUSED).
        """


class RevokeStore(Protocol):
    """Revoking: a request is all or nothing, except by `revoke_issued_under`."""

    def find_revoked(self, request: Request, now: int) -> Revoked | None:
        """The result that this request had before. Raises InvalidInputError (REQUEST_ID_REUSED)."""

    def record_revocations(
        self, revocations: Sequence[Revocation], reason: RevocationReason, request: Request, now: int
    ) -> Revoked: ...

    def revoke_issued_under(
        self, selection: IssuedUnder, reason: RevocationReason, request: Request, now: int
    ) -> Revoked:
        """Revokes the selected codes that have not expired, piece by piece: other calls go on between the pieces.

        Each piece is durable with how far the request has come. After a kill, the same request id goes on there,
        and its answer counts all pieces: the codes that had not expired when it began. Until it is repeated,
        the rest is not revoked.
        """

    def codes_of_holders(self, holders: Sequence[bytes], now: int) -> Sequence[Revocation]:
        """Every code of these holders that has not expired."""

    def count_codes(self, revocations: Sequence[Revocation]) -> Revoked:
        """What `record_revocations` would answer."""

    def count_issued_under(self, selection: IssuedUnder, now: int) -> Revoked:
        """What `revoke_issued_under` would answer."""


class KillStore(Protocol):
    """Killing a code key."""

    def find_killed(self, request: Request, now: int) -> Killed | None:
        """The result that this request had before. Raises InvalidInputError (REQUEST_ID_REUSED)."""

    def killed_kids(self) -> frozenset[bytes]: ...

    def kill_key(
        self, kid: bytes, reason: RevocationReason, request: Request, next_kid: bytes | None, now: int
    ) -> Killed:
        """Kills a key permanently. `next_kid` signs from now on; it is part of the answer.

        The key is dead before its codes are counted. A kill of the process in between leaves it dead, and the
        same request id gives the answer.
        """

    def codes_under(self, kid: bytes | None, after: bytes, limit: int, now: int) -> Sequence[HeldCode]:
        """The next `limit` holders, in order of pseudonyms above `after`, with an unexpired code of `kid`.

        None: of any key. One row a holder and presentation, with the latest expiry; a page has all rows of
        its holders.
        """


class AnswerStore(Protocol):
    """Answering a status question."""

    def code_state(self, day: int, index: int) -> CodeState | None:
        """The state of the code with this day of expiry and index; None if it was never issued here."""


class PaddingStore(Protocol):
    """Padding revocation lists."""

    def publication(self) -> Publication | None: ...

    def unpadded_days(self, after: int) -> Mapping[int, int]:
        """The days with revocations above sequence `after` and above their last padding, and how many."""

    def padding_state(self, day: int) -> PaddingState: ...

    def add_padding(self, day: int, seen: PaddingState, indices: Sequence[int], now: int) -> bool:
        """Adds entries to a day's list; False, and nothing is added, if `series` or `used` differ from `seen`."""


class CatchUpStore(Protocol):
    """Catching up with the files published in this node's name."""

    def has_made(self, version: int, sha256: bytes) -> bool | None:
        """Whether this store made the live metadata of this version and digest; None: it cannot tell."""

    def publication(self) -> Publication | None:
        """The last head that the registry acknowledged."""

    def first_series(self, day: int) -> int | None:
        """No index is drawn from a series below this for `day` and later; None if nothing was ever restored."""

    def highest_series(self, day: int) -> tuple[int, int]:
        """(the highest series that indices of `day` or later days were drawn from, the last such day)."""

    def take_over(
        self,
        published: Mapping[int, Iterable[int]],
        killed: Iterable[bytes],
        first_series: int,
        until_day: int,
        now: int,
        *,
        seen_version: int,
    ) -> int:
        """Records published revocations and killed keys as our own; how many entries were new.

        For days up to `until_day` indices come from `first_series` on. The last publication is forgotten, so
        that nothing is issued before the registry has acknowledged a head that says so.
        """


class PublishStore(CatchUpStore, Protocol):
    """Publishing revocations."""

    def last_revocation(self) -> int:
        """The sequence of the newest revocation; 0 if there is none."""

    def count_revoked(self, first_day: int, last_day: int) -> int:
        """How many entries, with padding, the lists of these days have."""

    def changed_days(self, after: int) -> frozenset[int]:
        """The days of expiry that have revocations with a sequence above `after`."""

    def revoked_indices(self, day: int, through: int) -> list[int]:
        """The revoked indices of one day of expiry, ascending, up to revocation sequence `through`."""

    def revoked_between(self, day: int, after: int, through: int) -> Sequence[tuple[int, int]]:
        """(sequence, index) of a day's revocations in after < sequence ≤ through, rising."""

    def list_versions(self, day: int) -> Sequence[tuple[int, int]]:
        """(version, through) of the remembered published versions of a day's list, rising."""

    def killed_kids(self) -> frozenset[bytes]: ...

    def attempted_version(self) -> int:
        """The highest version that this store ever recorded as about to be sent; 0 for none."""

    def record_attempt(self, version: int, sha256: bytes) -> None:
        """Records, before it is sent, that a version is sent as metadata of this digest."""

    def record_publication(self, publication: Publication) -> None:
        """Records what the registry acknowledged; a recorded failure is over."""

    def publish_failure(self) -> PublishFailure | None:
        """Why publishing fails now; None if the last attempt was acknowledged."""

    def record_failure(self, reason: Reason, message: str, now: int) -> None:
        """Records that publishing fails; `since` stays that of the first failure after the last success."""

    def forget_failure(self) -> None: ...

    def stop_issuing(self, why: str, now: int) -> None:
        """From now on no process gets indices or records a code (NOT_COVERED, saying `why`)."""

    def resume_issuing(self) -> None: ...


class NodeStore(Protocol):
    """Everything that a node must not lose: one part a use case."""

    @property
    def issuing(self) -> IssueStore: ...

    @property
    def revoking(self) -> RevokeStore: ...

    @property
    def killing(self) -> KillStore: ...

    @property
    def answering(self) -> AnswerStore: ...

    @property
    def publishing(self) -> PublishStore: ...

    @property
    def padding(self) -> PaddingStore: ...

    @property
    def sources(self) -> SourceStore: ...

    @property
    def evidence(self) -> EvidenceStore: ...

    @property
    def levels(self) -> LevelStore: ...

    @property
    def documents(self) -> DocumentStore: ...

    @property
    def audit(self) -> AuditStore: ...

    def counts(self, now: int) -> Mapping[str, int]:
        """How many codes are out, revocations and remembered requests there are: for `status`."""

    def prune(self, now: int) -> None:
        """Forgets expired codes, their revocations, old requests and tags. Level history stays.

        Takes its time, in short steps: other calls go on between them. A kill in the middle does no harm.

        `now` must be a time that somebody else vouches for: by a clock that runs ahead, counters still
        in use would be forgotten, and indices given twice.
        """

    def verify(self) -> None:
        """Reads everything. Raises ConfigurationError if the store is damaged."""

    def close(self) -> None: ...
