"""Lint of `places` and `checks` by going through all facts: rows never reached, and what no policy may decide."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, TypeVar

from healthcode.policy.book import Policy
from healthcode.policy.decide import Facts
from healthcode.policy.lint.problem import Problem, Severity
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Decision, Outcome, PersonCategory, PlaceType, RiskLevel
from healthcode.wire.claims import Level

__all__ = ["distinct_facts", "every_fact", "lint_checks", "lint_places"]

_Word = TypeVar("_Word")
PASSING = frozenset({Decision.PASS, Decision.CHECK_NOT_REQUIRED})


def every_fact() -> Iterator[Facts]:
    """All 25,872 inputs of a decision."""
    levels, areas = (None, *Level), (None, *RiskLevel)
    for row in product(Outcome, levels, TrustTier, PlaceType, areas, PersonCategory):
        yield Facts(*row)


def distinct_facts(policy: Policy) -> Iterator[Facts]:
    """The facts that stand for all others: what no rule of `policy` tells apart is there once."""
    rules = policy.rules
    tiers = _told_apart(TrustTier, [rule.tiers for rule in rules])
    # a refusal at a hospital is looked for by its name
    places = _told_apart(PlaceType, [frozenset({PlaceType.HOSPITAL}), *(rule.places for rule in rules)])
    areas = _told_apart(
        RiskLevel, [rule.areas for rule in rules]
    )  # None decides as the policy's default area
    categories = _told_apart(PersonCategory, [rule.categories for rule in rules])
    for row in product(Outcome, (None, *Level), tiers, places, areas, categories):
        yield Facts(*row)


def _told_apart(words: Iterable[_Word], conditions: Iterable[Collection[_Word] | None]) -> list[_Word]:
    """The first word of each kind: two words are of one kind if each condition names both or neither."""
    known = [condition for condition in conditions if condition is not None]
    kinds: dict[tuple[bool, ...], _Word] = {}
    for word in words:
        kinds.setdefault(tuple(word in condition for condition in known), word)
    return list(kinds.values())


@dataclass
class _Found:
    """The ids of rules with a problem, and an example of each."""

    reached: set[str] = field(default_factory=set)
    unlike: dict[str, Facts] = field(default_factory=dict)
    refused: dict[str, Facts] = field(default_factory=dict)
    passed: dict[str, Facts] = field(default_factory=dict)
    overruled: dict[str, str] = field(default_factory=dict)


def lint_places(
    policy: Policy, rules: Sequence[Mapping[str, Any]], *, hospital: Severity
) -> Iterator[Problem]:
    """The problems of `places`; `rules` is its JSON. A refusal at a hospital has the severity `hospital`."""
    found = _Found()
    for facts in distinct_facts(policy):
        _look(policy, facts, found)
    for rule in rules:
        name = rule["id"]
        path = f"places[{name}]"
        if name not in found.reached:
            yield Problem(path, "is never reached: the rows before it decide everything that it names")
        if name in found.unlike:
            yield Problem(
                path, f"decides GREEN and NO_ABNORMALITY differently, at {_where(found.unlike[name])}"
            )
        if name in found.refused:
            yield Problem(
                path,
                f"refuses a person at HOSPITAL ({_where(found.refused[name])}): decide FURTHER_CHECK, with the "
                "emergency route as remedy",
                hospital,
            )
        if name in found.passed:
            yield Problem(path, f"lets RED pass, at {_where(found.passed[name])}")
        if name in found.overruled:
            yield Problem(path, found.overruled[name])
        if rule["decision"] not in PASSING:
            for text in ("remedy", "remedy_zh"):
                if not rule.get(text):
                    yield Problem(f"{path}.{text}", "is missing: who is not let through is told what to do")


def _look(policy: Policy, facts: Facts, found: _Found) -> None:
    ruling = policy.decide(facts)
    rule, decision = ruling.rule_id, ruling.decision
    found.reached.add(rule)
    if facts.level is Level.GREEN:
        other = policy.decide(facts._replace(level=Level.NO_ABNORMALITY))
        if (other.decision, other.remedy) != (decision, ruling.remedy):
            found.unlike.setdefault(rule, facts)
    if decision is Decision.REFUSE and facts.place is PlaceType.HOSPITAL:
        found.refused.setdefault(rule, facts)
    if decision in PASSING and facts.level is Level.RED:
        found.passed.setdefault(rule, facts)
    if "POLICY_PASSES_INVALID" in ruling.warnings:
        found.overruled.setdefault(
            rule, f"lets pass what is not VALID ({facts.outcome}), which reads as UNDECIDED"
        )
    if "POLICY_REFUSES_OUTAGE" in ruling.warnings:
        found.overruled.setdefault(rule, f"refuses for an outage ({facts.outcome}), which reads as UNDECIDED")


def _where(facts: Facts) -> str:
    words = (facts.outcome, facts.level, facts.place, facts.area, facts.category)
    return " ".join(str(word) for word in words if word is not None)


def lint_checks(rules: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """The problems of `checks`, from its JSON."""
    ids = [rule["id"] for rule in rules]
    for name in sorted({each for each in ids if ids.count(each) > 1}):
        yield Problem(f"checks[{name}]", "two rows have this id")
    if any(value is not None for value in rules[-1].get("when", {}).values()):
        yield Problem(
            f"checks[{ids[-1]}].when", "the last row must have no conditions, so that some row always matches"
        )
    reached = {
        next((rule["id"] for rule in rules if _matches(rule, place, area, category)), None)
        for place, area, category in product(PlaceType, RiskLevel, PersonCategory)
    }
    for name in ids:
        if name not in reached:
            yield Problem(
                f"checks[{name}]", "is never reached: the rows before it decide everything that it names"
            )


def _matches(rule: Mapping[str, Any], place: PlaceType, area: RiskLevel, category: PersonCategory) -> bool:
    when = rule.get("when", {})
    return all(
        when.get(name) is None or word in when[name]
        for name, word in (("place", place), ("area", area), ("category", category))
    )
