"""derive: the level of a holder from the evidence about them, by the national rules. Pure (requirement R12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from healthcode.identity.participant import NATIONAL_PLATFORM
from healthcode.policy.area import AreaRisk
from healthcode.policy.levels.clearing import cleared_at, clearing_tests
from healthcode.policy.levels.evidence import (
    MIGRATED_SOURCE,
    Evidence,
    EvidenceKind,
    EvidenceState,
    Finding,
)
from healthcode.policy.levels.rules import SEVERITY, LevelRule, LevelRules, Need
from healthcode.policy.levels.stays import stay_risk
from healthcode.policy.words import LevelReason, RiskLevel
from healthcode.wire.claims import Level

__all__ = ["MIGRATED_RULE", "DerivedLevel", "Ground", "derive"]

MIGRATED_RULE = "migrated"
"""The rule of grounds that an upgrade made of stated levels; no policy has it."""
_MIGRATED_SECONDS = 14 * 86_400
_COUNTING = frozenset({EvidenceState.ACTIVE, EvidenceState.WITHDRAWN})


# named tuples: making frozen dataclasses costs a third of a derivation
class Ground(NamedTuple):
    """One item's ground under one rule, active in `starts` ≤ now < `ends` (epoch seconds).

    `cleared`: negative tests ended it before its time.
    """

    rule: str
    level: Level
    reason: LevelReason
    evidence: Evidence
    starts: int
    ends: int
    cleared: bool = False


class DerivedLevel(NamedTuple):
    """The level at `now`; `ground` is the one that decides (None: none is active).

    Nothing changes before `next_change` (None: never, unless evidence, policy or areas change).
    `grounds` has every ground of the looked-at evidence, active or not, the one that would decide first.
    """

    level: Level
    ground: Ground | None
    next_change: int | None
    grounds: tuple[Ground, ...] = ()

    @property
    def expires_cut(self) -> int | None:
        """When this level lapses to a better one; a code that carries it ends then at the latest.

        None for a level without a ground: only the lapse of RED or YELLOW cuts the expiry of codes.
        """
        if self.ground is None:
            return None
        ends = self.ground.ends
        severity = SEVERITY[self.level]
        others = [each for each in self.grounds if SEVERITY[each.level] >= severity]
        # a ground that begins before the last one ends carries the level on
        for each in sorted(others, key=lambda each: each.starts):
            if each.starts <= ends < each.ends:
                ends = each.ends
        return ends


def derive(
    rules: LevelRules, evidence: Sequence[Evidence], areas: AreaRisk, now: int, *, participant: str
) -> DerivedLevel:
    """The level of a holder whose evidence this is, at `now`, for a home `participant`.

    The order of `evidence` never matters. At 00 a derived GREEN is NO_ABNORMALITY.
    """
    items = _looked_at(evidence, now - rules.lookback_seconds)
    tests = clearing_tests(items)
    # most items are tests and vaccinations, which no rule takes
    candidates = [item for item in items if rules.by_kind[item.kind] or item.source == MIGRATED_SOURCE]
    found = [each for item in candidates if (each := _ground(rules, item, areas, tests)) is not None]
    # ties: the order of the rules, then the later start, then the record
    found.sort(key=lambda each: each[0])
    grounds = tuple(ground for _, ground in found)
    edges = [edge for ground in grounds for edge in (ground.starts, ground.ends) if edge > now]
    without_ground = _at(participant, Level.GREEN)
    unknown = _at(participant, rules.without_evidence(participant))
    if items and unknown is not without_ground:
        edges.append(max(map(_moment, items)) + rules.lookback_seconds + 1)
    deciding = next((ground for ground in grounds if ground.starts <= now < ground.ends), None)
    level = deciding.level if deciding is not None else without_ground if items else unknown
    return DerivedLevel(level, deciding, min(edges, default=None), grounds)


def _looked_at(evidence: Sequence[Evidence], oldest: int) -> list[Evidence]:
    """The counting revision of each record that is not withdrawn and not older than `oldest`."""
    newest: dict[tuple[str, str], Evidence] = {}
    for item in evidence:
        if item.state in _COUNTING:
            key = (item.source, item.record)
            known = newest.get(key)
            if known is None or item.revision > known.revision:
                newest[key] = item
    return [
        item for item in newest.values() if item.state is EvidenceState.ACTIVE and _moment(item) >= oldest
    ]


_Order = tuple[int, int, int, str, str]


def _ground(
    rules: LevelRules, item: Evidence, areas: AreaRisk, tests: Sequence[tuple[int, bool]]
) -> tuple[_Order, Ground] | None:
    """The one ground of an item, after what it is sorted by; None if it gives none, or one without duration."""
    if item.source == MIGRATED_SOURCE:
        return _migrated(rules, item)
    matched = _matching(rules, item, areas)
    if matched is None:
        return None
    place, rule, starts = matched
    if rule.needs and not all(_has(item, need) for need in rule.needs):
        return None
    moment = _moment(item)
    if rule.kind is EvidenceKind.AREA_STAY:
        ends = moment + rule.lasts_seconds
    else:
        ends = starts + rule.lasts_seconds
        if item.until is not None and item.until < ends:
            ends = item.until
    ends = min(ends, moment + rules.lookback_seconds + 1)
    cleared = False
    if rule.cleared_by is not None and tests:
        cleared_from = cleared_at(rule.cleared_by, tests, after=moment, starts=starts)
        if cleared_from is not None and cleared_from < ends:
            ends, cleared = cleared_from, True
    if starts >= ends:
        return None
    ground = Ground(rule.id, rule.level, rule.reason, item, starts, ends, cleared)
    return (-SEVERITY[rule.level], place, -starts, item.record, item.source), ground


def _matching(rules: LevelRules, item: Evidence, areas: AreaRisk) -> tuple[int, LevelRule, int] | None:
    """(its place in the order of all, the first rule that takes the item, when its ground starts)."""
    if item.kind is EvidenceKind.AREA_STAY:
        return _matching_stay(rules, item, areas)
    for place, rule in rules.by_kind[item.kind]:
        if (rule.findings is None or item.finding in rule.findings) and (
            rule.methods is None or item.method in rule.methods
        ):
            return place, rule, item.observed_at
    return None


def _matching_stay(rules: LevelRules, item: Evidence, areas: AreaRisk) -> tuple[int, LevelRule, int] | None:
    begin, end = item.stay_from, item.stay_to
    if begin is None or end is None or begin >= end:
        return None
    history = areas.history(item.area)
    risks: dict[int, tuple[RiskLevel, int] | None] = {}
    for place, rule in rules.by_kind[item.kind]:
        seconds = rule.stay_seconds
        if rule.findings is not None or rule.methods is not None:
            continue  # a stay has neither
        if rule.risks is None:
            if end - begin >= seconds:
                return place, rule, begin + seconds
            continue
        if seconds not in risks:
            risks[seconds] = stay_risk(history, begin, end, seconds)
        found = risks[seconds]
        if found is not None and found[0] in rule.risks:
            return place, rule, found[1]
    return None


def _migrated(rules: LevelRules, item: Evidence) -> tuple[_Order, Ground] | None:
    """The ground of a level that was stated before the upgrade: that level and reason, until its own end."""
    if item.kind is not EvidenceKind.ORDER or item.finding not in {Finding.RED, Finding.YELLOW}:
        return None
    level = Level(item.finding)
    other = LevelReason.A8 if level is Level.RED else LevelReason.B6
    reason = LevelReason.__members__.get(item.reason or "", other)
    starts = item.observed_at
    ends = starts + _MIGRATED_SECONDS if item.until is None else item.until
    ends = min(ends, _moment(item) + rules.lookback_seconds + 1)
    if starts >= ends:
        return None
    order = (-SEVERITY[level], len(rules.rules), -starts, item.record, item.source)
    return order, Ground(MIGRATED_RULE, level, reason, item, starts, ends)


def _has(item: Evidence, need: Need) -> bool:
    match need:
        case Need.UNTIL:
            return item.until is not None
        case Need.INSTRUMENT:
            return bool(item.instrument.strip())
        case Need.PORT_OF_ENTRY:
            return bool(item.port_of_entry.strip())


def _moment(item: Evidence) -> int:
    """When the fact was so; the end of a stay."""
    return item.observed_at if item.stay_to is None else item.stay_to


def _at(participant: str, level: Level) -> Level:
    """`level` as this participant issues it: NO_ABNORMALITY is the GREEN of 00, and of 00 alone (R4)."""
    if level in {Level.GREEN, Level.NO_ABNORMALITY}:
        return Level.NO_ABNORMALITY if participant == NATIONAL_PLATFORM else Level.GREEN
    return level
