"""Why a holder has a level: the ground, the rule in words, the source, until when, and what clears it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from healthcode.errors import InvalidInputError
from healthcode.policy.book import Policy
from healthcode.policy.levels.derive import MIGRATED_RULE, DerivedLevel
from healthcode.policy.levels.derive import Ground as DerivedGround
from healthcode.policy.levels.evidence import EvidenceKind
from healthcode.policy.levels.rules import Clearing, LevelRule
from healthcode.policy.words import LevelReason
from healthcode.trust.view import TrustView
from healthcode.wire.claims import Level
from province_node.people.holder_levels import HolderLevels, Moment
from province_node.people.level_clock import LevelClock
from province_node.store.people_protocols import LevelStore
from province_node.store.people_records import LevelRecord

__all__ = ["ExplainUseCase", "ExplainedGround", "Explanation"]

_MIGRATED_TEXTS = (
    "Stated by a back end before levels were derived. It ends as was stated then, else 14 days after the change.",
    "改为依据证据判定之前由后台系统赋码；至当时载明的期限结束，未载明的自切换之日起满 14 天结束。",
)


@dataclass(frozen=True, slots=True)
class ExplainedGround:
    """One ground. What evidence it is, `kind` and `observed_at`, is None in the history."""

    rule: str
    level: Level
    reason: LevelReason | None
    texts: tuple[str, str]  # English, Chinese
    source: str
    evidence: str
    starts: int | None
    ends: int | None
    kind: EvidenceKind | None = None
    observed_at: int | None = None
    is_active: bool = True
    is_cleared: bool = False
    clearing: Clearing | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A level, the ground that decides, and all grounds. `level` None: nothing is known, and nothing is derived."""

    level: Level | None
    sequence: int
    policy_version: str
    ground: ExplainedGround | None = None
    grounds: tuple[ExplainedGround, ...] = ()
    next_change: int | None = None
    areas_as_of: int | None = None
    decided_at: int | None = None
    stated_by: str = ""
    appeal_seconds: tuple[int, int] | None = None


class ExplainUseCase:
    """Explains levels of one participant's holders. Blocks."""

    def __init__(
        self,
        levels: HolderLevels,
        store: LevelStore,
        *,
        trust: Callable[[], TrustView],
        clock: LevelClock,
    ) -> None:
        self._levels = levels
        self._store = store
        self._trust = trust
        self._clock = clock

    def explain(self, document: bytes, at: int | None = None) -> Explanation:
        """The level now, or as the history has it for a past time. Raises InvalidInputError for a coming time."""
        now = self._clock.now()
        if at is not None and at > now:
            raise InvalidInputError(
                "at: a level of the future is not known", fields={"at": "not later than now"}
            )
        moment = self._levels.moment()
        if at is not None or moment is None:
            return self._by_history(document, now if at is None else at, moment)
        self._levels.find([document])  # what has changed is recorded before it is explained
        (state,) = self._store.read_holders([document])
        derived = self._levels.derive(state, moment)
        decides = derived.ground
        return Explanation(
            level=derived.level,
            sequence=state.sequence,
            policy_version=moment.in_force.policy.version,
            ground=None if decides is None else _explained(decides, moment),
            grounds=tuple(_explained(each, moment) for each in derived.grounds),
            next_change=derived.next_change,
            areas_as_of=moment.in_force.areas.as_of,
            decided_at=_decided_at(derived, state.last),
            appeal_seconds=_appeal(moment.in_force.policy, derived.level),
        )

    def _by_history(self, document: bytes, at: int, moment: Moment | None) -> Explanation:
        row = self._store.level_at(document, at)
        if row is None:
            level = None if moment is None else self._levels.unknown(moment)
            return Explanation(level, 0, "" if moment is None else moment.in_force.policy.version)
        policy = next(
            (each for each in self._trust().policy.policies if each.version == row.policy_version), None
        )
        return Explanation(
            level=row.level,
            sequence=row.sequence,
            policy_version=row.policy_version,
            ground=_of_row(row, policy) if row.reason is not None else None,
            decided_at=row.stated_at,
            stated_by=row.stated_by,
        )


def _decided_at(derived: DerivedLevel, last: LevelRecord | None) -> int | None:
    return last.stated_at if last is not None and last.level is derived.level else None


def _appeal(policy: Policy, level: Level) -> tuple[int, int] | None:
    """The terms of review and decision, for a level that somebody may want to contest."""
    if policy.appeal is None or level not in {Level.RED, Level.YELLOW}:
        return None
    return policy.appeal.review_seconds, policy.appeal.decide_seconds


def _explained(ground: DerivedGround, moment: Moment) -> ExplainedGround:
    rule = _rule(ground.rule, moment.in_force.policy)
    return ExplainedGround(
        rule=ground.rule,
        level=ground.level,
        reason=ground.reason,
        texts=_texts(ground.rule, rule),
        source=ground.evidence.source,
        evidence=ground.evidence.record,
        starts=ground.starts,
        ends=ground.ends,
        kind=ground.evidence.kind,
        observed_at=ground.evidence.observed_at,
        is_active=ground.starts <= moment.now < ground.ends,
        is_cleared=ground.cleared,
        clearing=None if rule is None else rule.cleared_by,
    )


def _of_row(row: LevelRecord, policy: Policy | None) -> ExplainedGround:
    rule = None if policy is None else _rule(row.rule, policy)
    return ExplainedGround(
        rule=row.rule,
        level=row.level,
        reason=LevelReason.__members__.get(row.reason or ""),
        texts=_texts(row.rule, rule),
        source=row.source,
        evidence=row.record,
        starts=row.starts,
        ends=row.until,
        clearing=None if rule is None else rule.cleared_by,
    )


def _rule(name: str, policy: Policy) -> LevelRule | None:
    rules = () if policy.levels is None else policy.levels.rules
    return next((rule for rule in rules if rule.id == name), None)


def _texts(name: str, rule: LevelRule | None) -> tuple[str, str]:
    if name == MIGRATED_RULE:
        return _MIGRATED_TEXTS
    return ("", "") if rule is None else (rule.text, rule.text_zh)
