"""Lint of the level rules of a policy of format 2: reasons, kinds, ends, overlaps, retention."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from types import MappingProxyType
from typing import Any

from healthcode.identity.participant import NATIONAL_PLATFORM
from healthcode.policy.levels.evidence import FINDINGS, EvidenceKind, TestMethod
from healthcode.policy.levels.rules import Need
from healthcode.policy.lint.policy_form import OTHER_RECORDS
from healthcode.policy.lint.problem import Problem, Severity
from healthcode.policy.words import LevelReason, RiskLevel
from healthcode.wire.claims import Level

__all__ = ["KIND_OF_REASON", "lint_levels"]

_VERSION = re.compile(r"[A-Z0-9.-]{1,6}")
_LETTERS = {"A": Level.RED, "B": Level.YELLOW}
_HOURS_A_DAY = 24

KIND_OF_REASON: Mapping[LevelReason, EvidenceKind] = MappingProxyType(
    {
        LevelReason.A1: EvidenceKind.PUSH,
        LevelReason.A2: EvidenceKind.CASE_REPORT,
        LevelReason.A3: EvidenceKind.CASE_REPORT,
        LevelReason.A4: EvidenceKind.CONTACT,
        LevelReason.A5: EvidenceKind.QUARANTINE_ORDER,
        LevelReason.A6: EvidenceKind.QUARANTINE_ORDER,
        LevelReason.A7: EvidenceKind.AREA_STAY,
        LevelReason.A8: EvidenceKind.ORDER,
        LevelReason.B1: EvidenceKind.PUSH,
        LevelReason.B2: EvidenceKind.CASE_REPORT,
        LevelReason.B3: EvidenceKind.CONTACT,
        LevelReason.B4: EvidenceKind.AREA_STAY,
        LevelReason.B5: EvidenceKind.CONTACT,
        LevelReason.B6: EvidenceKind.ORDER,
    }
)
"""The kind of evidence that a reason rests on."""


def lint_levels(policy: Mapping[str, Any]) -> Iterator[Problem]:
    """The problems of a policy of format 2 whose form is sound, but for its tables of places and checks."""
    if not _VERSION.fullmatch(policy["version"]):
        yield Problem(
            "version", f"{policy['version']!r}: codes carry it as their rule: 1 to 6 of A-Z, 0-9, . and -"
        )
    rules: Sequence[Mapping[str, Any]] = policy["levels"]
    yield from _lint_ids(rules)
    for rule in rules:
        path = f"levels[{rule['id']}]"
        yield from _lint_reason(rule, path)
        yield from _lint_conditions(rule, path)
        yield from _lint_end(rule, path, policy["lookback_days"])
        if not rule.get("examples"):
            yield Problem(f"{path}.examples", "has none for `healthcode policy test`", Severity.WARNING)
    for missing in sorted(set(LevelReason) - {rule["reason"] for rule in rules}):
        yield Problem("levels", f"reason {missing} has no rule: every reason of the closed list needs one")
    for one, other in combinations(rules, 2):
        if (shared := _overlap(one, other)) is not None:
            yield Problem(
                f"levels[{other['id']}]",
                f"overlaps with {one['id']}: an item of {shared} would match both, and an item gives one ground",
            )
    yield from _lint_retention(policy)
    yield from _lint_no_evidence(policy["no_evidence"])


def _lint_ids(rules: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    ids = [rule["id"] for rule in rules]
    for name in sorted({each for each in ids if ids.count(each) > 1}):
        yield Problem(f"levels[{name}]", "two rules have this id")


def _lint_reason(rule: Mapping[str, Any], path: str) -> Iterator[Problem]:
    reason, kind = LevelReason(rule["reason"]), rule["when"]["kind"]
    wanted = _LETTERS[reason[0]]
    if rule["level"] != wanted:
        yield Problem(f"{path}.level", f"{rule['level']}, but reason {reason} means {wanted}")
    if kind != KIND_OF_REASON[reason]:
        yield Problem(f"{path}.when.kind", f"{kind}, but reason {reason} rests on {KIND_OF_REASON[reason]}")
    if reason in {LevelReason.A8, LevelReason.B6}:
        lacking = sorted({Need.INSTRUMENT, Need.UNTIL} - set(rule.get("needs", ())))
        if lacking:
            yield Problem(
                f"{path}.needs", f"lacks {' and '.join(lacking)}: {reason} is for what no other rule has"
            )
        if not rule.get("two_persons"):
            yield Problem(f"{path}.two_persons", f"must be true: two persons decide on {reason}")


def _lint_conditions(rule: Mapping[str, Any], path: str) -> Iterator[Problem]:
    when = rule["when"]
    kind = EvidenceKind(when["kind"])
    for word in when.get("finding") or ():
        if word not in FINDINGS[kind]:
            known = ", ".join(sorted(FINDINGS[kind])) or "none"
            yield Problem(f"{path}.when.finding", f"{word} is no finding of {kind}; it has {known}")
    if when.get("method") is not None and kind is not EvidenceKind.TEST:
        yield Problem(f"{path}.when.method", f"{kind} has no method: it is of tests alone")
    for name in ("risk", "stay_minutes_at_least"):
        if (when.get(name) is not None) != (kind is EvidenceKind.AREA_STAY):
            wanted = (
                "is missing"
                if kind is EvidenceKind.AREA_STAY
                else f"{kind} has none: it is of AREA_STAY alone"
            )
            yield Problem(f"{path}.when.{name}", wanted)
    for name in ("finding", "method", "risk"):
        if when.get(name) == []:
            yield Problem(f"{path}.when.{name}", "is empty, so the rule can never be reached")


def _lint_end(rule: Mapping[str, Any], path: str, lookback_days: int) -> Iterator[Problem]:
    lasts = rule["lasts_days"]
    if lasts > lookback_days:
        yield Problem(
            f"{path}.lasts_days",
            f"{lasts}, but evidence is looked at for lookback_days, {lookback_days}: the level would end earlier",
        )
    clearing = rule.get("cleared_by")
    if clearing is None:
        return
    least = max(
        clearing.get("not_before_days", 0),
        (clearing["negative_tests"] - 1) * clearing["apart_hours"] / _HOURS_A_DAY,
    )
    if least >= lasts:
        text = f"clears after {least:g} days at the earliest, when the level has ended"
        yield Problem(f"{path}.cleared_by", text, Severity.WARNING)


def _overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """An item that both rules take, in words; None if there is none."""
    kind = EvidenceKind(one["when"]["kind"])
    if kind != other["when"]["kind"]:
        return None
    parts = [str(kind)]
    for name, every in (
        ("finding", FINDINGS[kind]),
        ("method", frozenset(TestMethod) if kind is EvidenceKind.TEST else frozenset()),
        ("risk", frozenset(RiskLevel) if kind is EvidenceKind.AREA_STAY else frozenset()),
    ):
        if not every:
            continue
        mine, theirs = (each["when"].get(name) for each in (one, other))
        shared = (every if mine is None else set(mine)) & (every if theirs is None else set(theirs))
        if not shared:
            return None
        parts.append(min(shared))
    return " ".join(parts)


def _lint_retention(policy: Mapping[str, Any]) -> Iterator[Problem]:
    kept, lookback = policy["retention_days"], policy["lookback_days"]
    for kind in (*EvidenceKind, *OTHER_RECORDS):
        if kind not in kept:
            yield Problem(f"retention_days.{kind}", "is missing: everything that is kept has an end")
        elif kind in set(EvidenceKind) and kept[kind] < lookback:
            yield Problem(f"retention_days.{kind}", f"{kept[kind]}, but it is looked at for {lookback} days")


def _lint_no_evidence(levels: Mapping[str, str]) -> Iterator[Problem]:
    if "*" not in levels:
        yield Problem("no_evidence", 'has no "*": say what a person is about whom nothing is known')
    for code, level in levels.items():
        if level not in {Level.GREEN, Level.PENDING}:
            yield Problem(f"no_evidence.{code}", f"{level} without evidence: only GREEN or PENDING")
    if levels.get(NATIONAL_PLATFORM, levels.get("*")) != Level.PENDING:
        yield Problem(
            "no_evidence",
            f"{NATIONAL_PLATFORM} must be PENDING without evidence, or it would clear persons who are RED at home",
        )
