"""The upgrade to derived levels: a RED or YELLOW level that a back end stated becomes an order of the source `migrated`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from healthcode.policy.levels.evidence import MIGRATED_SOURCE, Evidence, EvidenceKind, Finding
from healthcode.wire.claims import Level
from province_node.store.people_protocols import EvidenceStore, LevelStore, SourceStore
from province_node.store.people_records import HolderState, LevelRecord, NewEvidence, Source

__all__ = ["Migration", "is_stated"]

_SLICE = 500
_FINDINGS = {Level.RED: Finding.RED, Level.YELLOW: Finding.YELLOW}


def is_stated(last: LevelRecord | None) -> bool:
    """Whether a holder's newest level is RED or YELLOW by the word of a back end, and not yet evidence."""
    return last is not None and not last.policy_version and last.level in _FINDINGS


@dataclass(frozen=True, slots=True)
class Migration:
    """Turns stated levels into evidence. GREEN, PENDING and NO_ABNORMALITY become nothing."""

    levels: LevelStore
    evidence: EvidenceStore
    sources: SourceStore

    def complete(self, states: Sequence[HolderState], now: int) -> Sequence[HolderState]:
        """The same holders, with orders for those whose level was stated. Durable when it returns."""
        stated = [(state.holder, state.last) for state in states if is_stated(state.last)]
        if not stated:
            return states
        self._add([(holder, last) for holder, last in stated if last is not None], now)
        return self.levels.read_holders([state.holder for state in states])

    def run_slice(self, after: bytes, now: int) -> bytes | None:
        """Migrates the next holders above `after`; where the next slice begins, or None at the end.

        A kill in between does no harm: an order that is there is a duplicate.
        """
        found = self.levels.stated_levels(after, _SLICE)
        if found:
            self._add(found, now)
        if len(found) == _SLICE:
            return found[-1][0]
        self.levels.finish_upgrade(now)
        return None

    def _add(self, stated: Sequence[tuple[bytes, LevelRecord]], now: int) -> None:
        began = self.levels.begin_upgrade(now)
        if self.sources.find_source(MIGRATED_SOURCE) is None:
            self.sources.add_source(Source(MIGRATED_SOURCE, "", frozenset({EvidenceKind.ORDER}), ""), now)
        orders = [NewEvidence(holder, _order(holder, last, began)) for holder, last in stated]
        self.evidence.add_evidence(orders, now)


def _order(holder: bytes, last: LevelRecord, began: int) -> Evidence:
    """The order that says what the back end said. Without an end of its own, `derive` gives it 14 days."""
    reference = hashlib.sha256(holder + last.sequence.to_bytes(8)).hexdigest()[:32]
    return Evidence(
        source=MIGRATED_SOURCE,
        record=reference,
        revision=1,
        kind=EvidenceKind.ORDER,
        observed_at=began,
        known_at=began,
        finding=_FINDINGS[last.level],
        until=last.until,
        instrument=last.legal_instrument,
        reason=last.reason,
    )
