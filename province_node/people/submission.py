"""Takes evidence from sources: step one. Acknowledged items are durable, with the mark that its holder is due."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from healthcode.errors import (
    ConflictError,
    HealthcodeError,
    InternalError,
    InvalidInputError,
    PermissionDeniedError,
    Reason,
)
from healthcode.identity.document import IdentityDocument
from healthcode.policy.levels.evidence import MIGRATED_SOURCE, EvidenceState
from healthcode.trust.view import TrustView
from province_node.people.evidence_checks import EvidenceDraft, check_draft
from province_node.people.level_clock import LevelClock
from province_node.people.pseudonym import PseudonymKey
from province_node.store.people_protocols import EvidenceStore, SourceStore
from province_node.store.people_records import (
    MAX_ITEMS,
    MAX_REVISIONS,
    Added,
    AddResult,
    NewEvidence,
    Source,
    SourceState,
)

__all__ = ["EvidenceResult", "SourceGate", "SubmitResult", "SubmitUseCase"]


class EvidenceResult(StrEnum):
    """What became of an item that was not refused."""

    ACCEPTED = "ACCEPTED"
    DUPLICATE = "DUPLICATE"
    HELD = "HELD"


SubmitResult = EvidenceResult | HealthcodeError

_FULL = {
    AddResult.TOO_MANY_REVISIONS: (
        "revision",
        f"a record has at most {MAX_REVISIONS} revisions: withdraw it, and send a record with another number",
    ),
    AddResult.TOO_MANY_ITEMS: (
        "document.number",
        f"a source has at most {MAX_ITEMS} items about one document until the oldest are forgotten: join its stays",
    ),
}


@dataclass(frozen=True, slots=True)
class SourceGate:
    """Admits sources: by name, and by the public key that was registered for it."""

    sources: SourceStore

    def admit(self, name: str, public_key: str) -> Source:
        """The source. Raises PermissionDeniedError (SOURCE_UNKNOWN, SOURCE_SUSPENDED)."""
        source = None if name == MIGRATED_SOURCE else self.sources.find_source(name)
        if source is None:
            raise PermissionDeniedError(
                f"source {name!r} is not registered at this node: its operator runs `province-node source add`",
                reason=Reason.SOURCE_UNKNOWN,
            )
        # the province's CA could name anybody, so the key counts
        if not public_key or source.public_key != public_key:
            raise PermissionDeniedError(
                f"source {name!r} is registered with another public key: its operator registers the new one",
                reason=Reason.SOURCE_UNKNOWN,
            )
        if source.state is SourceState.SUSPENDED:
            raise PermissionDeniedError(
                f"source {name!r} is suspended: ask the operator of this node", reason=Reason.SOURCE_SUSPENDED
            )
        return source


class SubmitUseCase:
    """Checks and records items of evidence. Blocks."""

    def __init__(
        self,
        *,
        gate: SourceGate,
        store: EvidenceStore,
        pseudonyms: PseudonymKey,
        trust: Callable[[], TrustView],
        clock: LevelClock,
        wake: Callable[[], None],
    ) -> None:
        self._gate = gate
        self._store = store
        self._pseudonyms = pseudonyms
        self._trust = trust
        self._clock = clock
        self._wake = wake

    def submit(self, name: str, public_key: str, drafts: Sequence[EvidenceDraft]) -> Sequence[SubmitResult]:
        """The result of each item, in order. A bad item changes no other.

        Raises UnavailableError while this node's clock is wrong, and nothing is recorded then.
        """
        self._clock.check()
        try:
            source = self._gate.admit(name, public_key)
        except PermissionDeniedError as error:
            return [error] * len(drafts)
        now = self._clock.now()
        results: dict[int, SubmitResult] = {}
        items: dict[int, NewEvidence] = {}
        for position, draft in enumerate(drafts):
            try:
                items[position] = self._check(draft, source, now)
            except HealthcodeError as error:
                results[position] = error
        if items:
            added = self._store.add_evidence(list(items.values()), now)
            for position, each in zip(items, added, strict=True):
                results[position] = _result(each)
            self._wake()
        return [results[position] for position in range(len(drafts))]

    def _check(self, draft: EvidenceDraft, source: Source, now: int) -> NewEvidence:
        policy = self._trust().policy.in_force(now)
        item = check_draft(draft, source.name, now=now, skew_seconds=policy.skew_seconds, rules=policy.levels)
        if item.kind not in source.kinds:
            message = f"source {source.name!r} may send {', '.join(sorted(source.kinds)) or 'nothing'}"
            raise PermissionDeniedError(
                f"kind: {message}, and not {item.kind}",
                reason=Reason.KIND_FORBIDDEN,
                fields={"kind": message},
            )
        if not isinstance(draft.document, IdentityDocument):  # check_draft has refused it
            raise InternalError("an item without a document passed its checks")
        reference = self._pseudonyms.record_reference(source.name, draft.record)
        return NewEvidence(self._pseudonyms.pseudonym(draft.document), item._replace(record=reference))


def _result(added: Added) -> SubmitResult:
    if added.result is AddResult.CONFLICT:
        return ConflictError(
            f"revision: this revision of the record came before with other content: send a correction as revision "
            f"{added.highest + 1}",
            reason=Reason.EVIDENCE_CONFLICT,
            fields={"revision": f"came before with other content; the next one is {added.highest + 1}"},
        )
    if added.result in _FULL:
        field, message = _FULL[added.result]
        return InvalidInputError(
            f"{field}: {message}", reason=Reason.EVIDENCE_INVALID, fields={field: message}
        )
    if added.state is EvidenceState.HELD:
        return EvidenceResult.HELD
    return EvidenceResult.ACCEPTED if added.result is AddResult.ADDED else EvidenceResult.DUPLICATE
