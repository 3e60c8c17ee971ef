"""The level of holders: the stored one while it is right, else derived, applied and then answered.

One sequence never means two levels: whoever derives a change records it before anybody is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from healthcode.errors import Reason, UnavailableError
from healthcode.identity.participant import NATIONAL_PLATFORM
from healthcode.policy.levels.derive import DerivedLevel, derive
from healthcode.wire.claims import Level
from province_node.people.level_clock import LevelClock
from province_node.people.migration import Migration, is_stated
from province_node.people.rules_in_force import InForce, RulesInForce
from province_node.store.people_protocols import LevelStore
from province_node.store.people_records import (
    CurrentLevel,
    HolderState,
    LevelBasis,
    LevelRecord,
    LevelUpdate,
)

__all__ = ["HolderLevel", "HolderLevels", "Moment"]

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class HolderLevel:
    """A holder's level, under a policy version. `until`: when it lapses, if it is RED or YELLOW."""

    level: Level
    sequence: int
    until: int | None
    policy_version: str


@dataclass(frozen=True, slots=True)
class Moment:
    """The time, rules and areas of one derivation. `basis` has its number in the store."""

    now: int
    in_force: InForce
    basis: LevelBasis


class HolderLevels:
    """Levels of one participant's holders. Everything here blocks."""

    def __init__(
        self,
        participant: str,
        *,
        store: LevelStore,
        rules: RulesInForce,
        clock: LevelClock,
        migration: Migration,
        nudge: Callable[[], None],
    ) -> None:
        self._participant = participant
        self._store = store
        self._rules = rules
        self._clock = clock
        self._migration = migration
        self._nudge = nudge
        self._green = Level.NO_ABNORMALITY if participant == NATIONAL_PLATFORM else Level.GREEN

    def moment(self) -> Moment | None:
        """Now; None under a policy of format 1, by which back ends state levels."""
        now = self._clock.now()
        in_force = self._rules.at(now)
        return None if in_force is None else Moment(now, in_force, self._store.find_basis(in_force.basis))

    def find(self, documents: Sequence[bytes]) -> Sequence[HolderLevel] | None:
        """The level of the holder of each document, in order; None under a policy of format 1.

        Raises UnavailableError if other requests change the same holders all the time.
        """
        moment = self.moment()
        if moment is None:
            return None
        found: dict[bytes, HolderLevel] = {}
        for _ in range(_ATTEMPTS):
            waiting = [document for document in dict.fromkeys(documents) if document not in found]
            if not waiting:
                return [found[document] for document in documents]
            states = self._store.read_holders(waiting, with_evidence=False)
            stale: dict[bytes, list[bytes]] = {}
            for document, state in zip(waiting, states, strict=True):
                level = self._stored(state, moment)
                if level is None:
                    stale.setdefault(state.holder, []).append(document)
                else:
                    found[document] = level
            settled = self.settle(self._store.read_holders(list(stale)), moment) if stale else {}
            found |= {document: level for holder, level in settled.items() for document in stale[holder]}
        raise UnavailableError(
            "other requests change the levels of these holders all the time: try again",
            reason=Reason.OVERLOADED,
            retry_after_seconds=1,
        )

    def settle(self, states: Sequence[HolderState], moment: Moment) -> Mapping[bytes, HolderLevel]:
        """Derives and applies the level of each holder. Who changed meanwhile is not in the result, and stays due."""
        updates = [
            self._update(state, self.derive(state, moment), moment)
            for state in self._migration.complete(states, moment.now)
        ]
        applied = self._store.apply_levels([update for update, _ in updates], moment.now)
        if applied.revoked:
            self._nudge()
        return {
            update.seen.holder: level
            for (update, level), is_done in zip(updates, applied.done, strict=True)
            if is_done
        }

    def derive(self, state: HolderState, moment: Moment) -> DerivedLevel:
        """The level by the evidence that was read. Changes nothing."""
        return derive(
            moment.in_force.rules,
            state.evidence,
            moment.in_force.areas,
            moment.now,
            participant=self._participant,
        )

    def _stored(self, state: HolderState, moment: Moment) -> HolderLevel | None:
        """The level without a derivation, if the stored one is right now."""
        if state.is_due or state.is_moved or is_stated(state.last):
            return None
        current, version = state.current, moment.in_force.policy.version
        if current is not None:
            lapses = current.next_change is not None and current.next_change <= moment.now
            if lapses or current.basis != moment.basis.number or current.sequence != state.sequence:
                return None
            return HolderLevel(current.level, current.sequence, current.until, version)
        level = self._without_ground(state, moment)
        has_evidence = any(newest for _, newest in state.documents)
        # a holder without a row has had no ground, once all were derived by these rules
        if has_evidence and not (moment.basis.is_finished and level is self.unknown(moment)):
            return None
        if state.last is not None and state.last.level is not level:
            return None
        return HolderLevel(level, state.sequence, None, version)

    def _without_ground(self, state: HolderState, moment: Moment) -> Level:
        has_evidence = any(newest for _, newest in state.documents)
        return self._green if has_evidence else self.unknown(moment)

    def unknown(self, moment: Moment) -> Level:
        """The level of a holder without evidence."""
        level = moment.in_force.rules.without_evidence(self._participant)
        return self._green if level is Level.GREEN else level

    def _update(
        self, state: HolderState, derived: DerivedLevel, moment: Moment
    ) -> tuple[LevelUpdate, HolderLevel]:
        """What follows from a derivation: a row of the history when level, rule or ground changed."""
        before = self.unknown(moment) if state.last is None else state.last.level
        record = None
        if state.is_moved or derived.level is not before or _has_other_ground(state.last, derived):
            record = _record(state.sequence + 1, derived, moment)
        sequence = state.sequence if record is None else record.sequence
        version = moment.in_force.policy.version
        level = HolderLevel(derived.level, sequence, derived.expires_cut, version)
        is_kept = (
            state.current is not None
            or derived.grounds
            or derived.next_change is not None
            or record is not None
        )
        current = CurrentLevel(
            sequence=sequence,
            level=derived.level,
            rule="" if derived.ground is None else derived.ground.rule,
            until=derived.expires_cut,
            basis=moment.basis.number,
            next_change=derived.next_change,
        )
        revokes = record is not None and (state.is_moved or derived.level is not before)
        return LevelUpdate(state, current if is_kept else None, record, revokes=revokes), level


def _has_other_ground(last: LevelRecord | None, derived: DerivedLevel) -> bool:
    """Whether another rule or another item of evidence is the ground now, at the same level."""
    if derived.ground is None:
        return False
    ground = derived.ground
    return last is None or (last.rule, last.source, last.record) != (
        ground.rule,
        ground.evidence.source,
        ground.evidence.record,
    )


def _record(sequence: int, derived: DerivedLevel, moment: Moment) -> LevelRecord:
    version, ground = moment.in_force.policy.version, derived.ground
    if ground is None:
        return LevelRecord(sequence, derived.level, moment.now, policy_version=version)
    return LevelRecord(
        sequence=sequence,
        level=derived.level,
        stated_at=moment.now,
        reason=ground.reason.value,
        rule=ground.rule,
        legal_instrument=ground.evidence.instrument,
        until=ground.ends,
        policy_version=version,
        source=ground.evidence.source,
        record=ground.evidence.record,
        starts=ground.starts,
    )
