"""What a new policy changes in the level rules, and whose level would come back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from healthcode.policy.levels.derive import derive
from healthcode.policy.levels.rules import SEVERITY, Clearing, LevelRule, LevelRules, Need
from healthcode.policy.lint.witness import witnesses

__all__ = ["LevelChanges", "find_level_changes"]

_DAY = 86_400
_HOUR = 3600
_TEXTS = frozenset({"text", "text_zh"})
# as the policy file names them
_NAMES = {
    "lasts_seconds": "lasts_days",
    "stay_seconds": "stay_minutes_at_least",
    "findings": "finding",
    "methods": "method",
    "risks": "risk",
}


@dataclass(frozen=True, slots=True)
class LevelChanges:
    """Sentences: which rules change, and `revived`: which evidence of the past makes a level again."""

    rules: tuple[str, ...]
    revived: tuple[str, ...]


def find_level_changes(old: LevelRules | None, new: LevelRules | None) -> LevelChanges:
    """Compares the level rules of two policies; None is a policy under which levels are stated."""
    if new is None:
        lost = () if old is None else ("levels are no longer derived from evidence: the issuer states them",)
        return LevelChanges(lost, ())
    if old is None:
        names = ", ".join(rule.id for rule in new.rules)
        return LevelChanges(
            (f"levels are derived from evidence from now on, by {len(new.rules)} rules: {names}",),
            ("levels that were stated become orders with an end; green ones become nothing",),
        )
    return LevelChanges(tuple(_changed(old, new)), tuple(_revived(old, new)))


def _changed(old: LevelRules, new: LevelRules) -> Iterator[str]:
    before, after = ({rule.id: rule for rule in rules.rules} for rules in (old, new))
    for name, rule in after.items():
        if name not in before:
            yield f"{name} is new: {_sentence(rule)}"
    for name, rule in before.items():
        if name not in after:
            yield f"{name} is gone: {_sentence(rule)}"
    for name, rule in after.items():
        if name in before and rule != before[name]:
            parts = [
                f"{_NAMES.get(field.name, field.name)} {_shown(one)} → {_shown(other)}"
                for field in fields(rule)
                if (one := getattr(before[name], field.name)) != (other := getattr(rule, field.name))
                and field.name not in _TEXTS
            ]
            yield f"{name}: {'; '.join(parts) or 'its words alone'}"
    common = [name for name in before if name in after]
    if common != [name for name in after if name in before]:
        yield "the order of the rules changes, which decides between two grounds of one level"


def _sentence(rule: LevelRule) -> str:
    findings = ", ".join(sorted(rule.findings or ())) or ", ".join(sorted(rule.risks or ())) or "any"
    return f"{rule.kind} {findings} makes {rule.level} ({rule.reason}) for {_shown(rule.lasts_seconds)}"


def _shown(value: Any) -> str:
    if isinstance(value, Clearing):
        plural = "" if value.negative_tests == 1 else f"s {value.apart_seconds // _HOUR} h apart"
        tests = f"{value.negative_tests} negative{plural}"
        return tests + (
            f", not before {value.not_before_seconds // _DAY} days" if value.not_before_seconds else ""
        )
    if isinstance(value, frozenset):
        return ", ".join(sorted(map(str, value))) or "none"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value // _DAY} days" if value and value % _DAY == 0 else f"{value // 60} minutes"
    return "none" if value is None else str(value)


def _revived(old: LevelRules, new: LevelRules) -> Iterator[str]:
    """Evidence that is over under the old rules, or never gave a ground, and gives one under the new."""
    by_id: Mapping[str, LevelRule] = {rule.id: rule for rule in old.rules}
    longest = max((rule.stay_seconds for rule in old.rules), default=0)
    for rule in new.rules:
        seen: set[str] = set()
        # evidence with everything that an old rule could ask for finds the rule that had it
        full = replace(rule, needs=frozenset(Need), stay_seconds=max(longest, rule.stay_seconds))
        for item, areas in witnesses(full):
            ground = derive(old, [item], areas, item.observed_at, participant="44").ground
            before = None if ground is None else by_id[ground.rule]
            kind = " ".join(str(word) for word in (item.kind, item.finding, *(rule.risks or ())) if word)
            for text in _why(before, rule, old.lookback_seconds):
                if text not in seen:
                    seen.add(text)
                    yield f"{kind} → {rule.level} ({rule.id}): {text}"


def _why(before: LevelRule | None, after: LevelRule, lookback: int) -> Iterator[str]:
    days = after.lasts_seconds // _DAY
    if before is None:
        yield f"evidence of the last {days} days had no rule"
        return
    if SEVERITY[after.level] > SEVERITY[before.level]:
        yield f"evidence of the last {days} days made {before.level}"
    least = min(before.lasts_seconds, lookback)
    if after.lasts_seconds > least:
        yield f"evidence {least // _DAY} to {days} days old had ended"
    if before.needs - after.needs:
        yield f"evidence without {', '.join(sorted(before.needs - after.needs))} counted for nothing"
    if after.stay_seconds < before.stay_seconds:
        yield f"stays of {after.stay_seconds // 60} to {before.stay_seconds // 60} minutes were too short"
    if before.cleared_by is not None and _is_harder(before.cleared_by, after.cleared_by):
        yield f"who was cleared by {_shown(before.cleared_by)} now needs {_shown(after.cleared_by)}"


def _is_harder(before: Clearing, after: Clearing | None) -> bool:
    return after is None or (
        after.negative_tests > before.negative_tests
        or after.apart_seconds > before.apart_seconds
        or after.not_before_seconds > before.not_before_seconds
    )
