"""A second implementation of the levels from evidence: slow and literal, it walks through every second."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from healthcode.policy.area import AreaRisk
from healthcode.policy.levels.evidence import MIGRATED_SOURCE, Evidence, EvidenceKind, EvidenceState, Finding
from healthcode.policy.levels.rules import LevelRule, LevelRules
from healthcode.policy.words import RiskLevel
from healthcode.wire.claims import Level

__all__ = ["Answer", "Oracle"]

_RISKS = {RiskLevel.LOW: 1, RiskLevel.MEDIUM: 2, RiskLevel.HIGH: 3}


@dataclass(frozen=True)
class Answer:
    """The level at one second, the record and rule that decide, and every active (record, rule)."""

    level: Level
    decides: tuple[str, str, str] | None
    active: frozenset[tuple[str, str, str]]
    is_known: bool


class Oracle:
    """What A1 says, sentence by sentence."""

    def __init__(
        self, rules: LevelRules, evidence: Iterable[Evidence], areas: AreaRisk, participant: str
    ) -> None:
        self._rules = rules
        self._evidence = list(evidence)
        self._areas = areas
        self._participant = participant

    def at(self, now: int) -> Answer:
        """The answer at `now`."""
        items = [each for each in self._counting() if now - _moment(each) <= self._rules.lookback_seconds]
        active = []
        for each in items:
            found = self._ground(each)
            if found is not None and self._is_active(each, *found, now):
                number, rule, starts = found
                level = Level(each.finding) if rule is None and each.finding else rule and rule.level
                name = "migrated" if rule is None else rule.id
                worse_first = 0 if level is Level.RED else 1
                order = (worse_first, number, -starts, each.record, each.source)
                active.append((order, level, (each.source, each.record, name)))
        active.sort(key=lambda row: row[0])
        green = Level.NO_ABNORMALITY if self._participant == "00" else Level.GREEN
        nothing = Level.PENDING if self._participant == "00" else Level.GREEN
        level = active[0][1] if active else green if items else nothing
        assert level is not None
        return Answer(
            level, active[0][2] if active else None, frozenset(row[2] for row in active), bool(items)
        )

    def _counting(self) -> Iterator[Evidence]:
        for each in self._evidence:
            higher = [
                other
                for other in self._evidence
                if (other.source, other.record) == (each.source, each.record)
                and other.state in {EvidenceState.ACTIVE, EvidenceState.WITHDRAWN}
                and other.revision > each.revision
            ]
            if each.state is EvidenceState.ACTIVE and not higher:
                yield each

    def _ground(self, each: Evidence) -> tuple[int, LevelRule | None, int] | None:
        """(number, rule, start); a level of before the upgrade has no rule and comes last."""
        if each.source == MIGRATED_SOURCE:
            is_order = each.kind is EvidenceKind.ORDER
            return (len(self._rules.rules), None, each.observed_at) if is_order else None
        for number, rule in enumerate(self._rules.rules):
            if rule.kind is not each.kind:
                continue
            if rule.findings is not None and each.finding not in rule.findings:
                continue
            starts: int | None = each.observed_at
            if rule.kind is EvidenceKind.AREA_STAY:
                starts = self._stay(each, rule)
            if starts is None:
                continue
            fields = {
                "until": each.until is not None,
                "instrument": each.instrument != "",
                "port_of_entry": each.port_of_entry != "",
            }
            return (number, rule, starts) if all(fields[need] for need in rule.needs) else None
        return None

    def _stay(self, each: Evidence, rule: LevelRule) -> int | None:
        assert each.stay_from is not None
        assert each.stay_to is not None
        risks = [self._areas.risk(each.area, second) for second in range(each.stay_from, each.stay_to)]
        for risk in sorted(_RISKS, key=_RISKS.__getitem__, reverse=True):
            seconds = 0
            for place, found in enumerate(risks):
                if found is not None and _RISKS[found] >= _RISKS[risk]:
                    seconds += 1
                    if seconds == max(1, rule.stay_seconds):
                        matches = rule.risks is not None and risk in rule.risks
                        ended = place + (1 if rule.stay_seconds else 0)
                        return each.stay_from + ended if matches else None
        return None

    def _is_active(self, each: Evidence, number: int, rule: LevelRule | None, starts: int, now: int) -> bool:
        if rule is None:
            ends = starts + 14 * 86_400 if each.until is None else each.until
            return starts <= now < ends
        if rule.kind is EvidenceKind.AREA_STAY:
            ends = _moment(each) + rule.lasts_seconds
        else:
            ends = starts + rule.lasts_seconds
            ends = ends if each.until is None else min(ends, each.until)
        return starts <= now < ends and not self._is_cleared(each, rule, starts, now)

    def _is_cleared(self, each: Evidence, rule: LevelRule, starts: int, now: int) -> bool:
        clearing = rule.cleared_by
        if clearing is None:
            return False
        tests = [other for other in self._counting() if other.method == "NUCLEIC"]
        counted: list[int] = []
        for second in range(_moment(each) + 1, now + 1):
            if len(counted) >= clearing.negative_tests and second >= starts + clearing.not_before_seconds:
                return True
            findings = {test.finding for test in tests if test.observed_at == second}
            if Finding.POSITIVE in findings:
                counted = []
            elif Finding.NEGATIVE in findings and (
                not counted or second >= counted[-1] + clearing.apart_seconds
            ):
                counted.append(second)
            if len(counted) >= clearing.negative_tests and second >= starts + clearing.not_before_seconds:
                return True
        return False


def _moment(each: Evidence) -> int:
    return (
        each.stay_to if each.kind is EvidenceKind.AREA_STAY and each.stay_to is not None else each.observed_at
    )
