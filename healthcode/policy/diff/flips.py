"""The facts for which two policies decide differently, in groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Any

from healthcode.policy.book import Policy
from healthcode.policy.checks import CheckRequired, CheckRule
from healthcode.policy.lint.table_lint import every_fact
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Decision, Outcome, PersonCategory, PlaceType, RiskLevel
from healthcode.wire.claims import Level

__all__ = ["Flips", "find_check_flips", "find_flips"]

_STRICTNESS: Mapping[str, int] = MappingProxyType(
    {
        CheckRequired.CHECK_NOT_REQUIRED: 0,
        Decision.PASS: 1,
        CheckRequired.CHECK: 1,
        Decision.FURTHER_CHECK: 2,
        Decision.UNDECIDED: 2,
        Decision.REFUSE: 3,
    }
)
# "none" stands for no level, and for an area that is not listed
_FACTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "outcome": tuple(Outcome),
        "level": ("none", *Level),
        "tier": tuple(TrustTier),
        "place": tuple(PlaceType),
        "area": ("none", *RiskLevel),
        "category": tuple(PersonCategory),
    }
)
_CHECK_FACTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {name: _FACTS[name] for name in ("place", "area", "category")}
)
_Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Flips:
    """`count` facts of one kind for which `before` becomes `after`, and the rules that decide.

    `when` has the words of each part of the facts, without parts that take every word. `is_whole`: all of their
    combinations flip.
    """

    before: str
    after: str
    rule_before: str
    rule_after: str
    count: int
    when: Mapping[str, tuple[str, ...]]
    is_whole: bool

    @property
    def is_stricter(self) -> bool | None:
        """Whether people pass less easily than before; None if neither."""
        one, other = _STRICTNESS[self.before], _STRICTNESS[self.after]
        return None if one == other else other > one

    def __str__(self) -> str:
        where = "; ".join(f"{name} {', '.join(words)}" for name, words in self.when.items()) or "always"
        part = "" if self.is_whole else ", in part"
        return f"{self.before} → {self.after} ({self.rule_before} → {self.rule_after}): {where}{part} [{self.count} facts]"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "before": self.before,
            "after": self.after,
            "rule_before": self.rule_before,
            "rule_after": self.rule_after,
            "facts": self.count,
            "when": {name: list(words) for name, words in self.when.items()},
            "whole": self.is_whole,
        }


def find_flips(old: Policy, new: Policy) -> list[Flips]:
    """The facts whose decision differs, grouped by decisions and rules, the largest group first."""
    groups: dict[_Key, list[tuple[str, ...]]] = {}
    for facts in every_fact():
        before, after = old.decide(facts), new.decide(facts)
        if before.decision is not after.decision:
            key = (str(before.decision), str(after.decision), before.rule_id, after.rule_id)
            groups.setdefault(key, []).append(tuple("none" if word is None else str(word) for word in facts))
    return _grouped(groups, _FACTS)


def find_check_flips(old: Policy, new: Policy) -> list[Flips]:
    """The same of `checks`: where codes begin or cease to be checked."""
    groups: dict[_Key, list[tuple[str, ...]]] = {}
    for words in product(PlaceType, RiskLevel, PersonCategory):
        before, after = _required(old.checks, *words), _required(new.checks, *words)
        if before[0] != after[0]:
            key = (before[0], after[0], before[1], after[1])
            groups.setdefault(key, []).append(tuple(map(str, words)))
    return _grouped(groups, {**_CHECK_FACTS, "area": tuple(RiskLevel)})


def _required(
    checks: Sequence[CheckRule], place: PlaceType, area: RiskLevel, category: PersonCategory
) -> tuple[str, str]:
    """(the requirement, the row that decides). Without a row every place checks."""
    for row in checks:
        if (
            (row.places is None or place in row.places)
            and (row.areas is None or area in row.areas)
            and (row.categories is None or category in row.categories)
        ):
            return str(row.requirement), row.id
    return str(CheckRequired.CHECK), "no row"


def _grouped(
    groups: Mapping[_Key, Sequence[tuple[str, ...]]], facts: Mapping[str, tuple[str, ...]]
) -> list[Flips]:
    found = []
    for (before, after, rule_before, rule_after), rows in groups.items():
        columns = [
            _in_order(column, every)
            for column, every in zip(zip(*rows, strict=True), facts.values(), strict=True)
        ]
        size = 1
        for words in columns:
            size *= len(words)
        when = {
            name: words
            for (name, every), words in zip(facts.items(), columns, strict=True)
            if len(words) < len(every)
        }
        found.append(Flips(before, after, rule_before, rule_after, len(rows), when, size == len(rows)))
    return sorted(found, key=lambda each: -each.count)


def _in_order(words: Iterable[str], every: Sequence[str]) -> tuple[str, ...]:
    given = set(words)
    return tuple(str(word) for word in every if word in given)
