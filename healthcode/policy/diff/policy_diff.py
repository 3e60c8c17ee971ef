"""What a new policy file changes against the one in force: one sentence, then what flips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from healthcode.clock import rfc3339
from healthcode.policy.book import Policy, PolicyBook
from healthcode.policy.diff.flips import Flips, find_check_flips, find_flips
from healthcode.policy.diff.level_changes import LevelChanges, find_level_changes

__all__ = ["PolicyChange", "find_policy_changes", "policy_lines"]

_FACTS = 25_872
_SAME_LEVELS = LevelChanges((), ())
# what is compared in its own way, or says nothing to a person
_APART = frozenset({"version", "effective_from", "emergency", "rules", "levels", "checks", "table"})


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """A policy that is new or changed, compared with the one that would else be in force when it begins.

    `policy` is None if the policy `before` is taken out.
    """

    before: Policy | None
    policy: Policy | None
    flips: Sequence[Flips] = ()
    checks: Sequence[Flips] = ()
    levels: LevelChanges = _SAME_LEVELS
    settings: Sequence[str] = ()

    @property
    def sentence(self) -> str:
        """What changes, in one sentence."""
        if self.policy is None:
            return "" if self.before is None else f"Policy {self.before.version} is taken out of the file."
        name = f"Policy {self.policy.version} begins {rfc3339(self.policy.effective_from)}"
        name += ", AS AN EMERGENCY" if self.policy.emergency else ""
        if self.before is None:
            return f"{name}; nothing is in force before it."
        stricter = sum(each.count for each in self.flips if each.is_stricter)
        milder = sum(each.count for each in self.flips if each.is_stricter is False)
        flipped = sum(each.count for each in self.flips)
        decisions = f"{flipped:,} of {_FACTS:,} decisions flip ({stricter:,} stricter, {milder:,} milder)"
        parts = [
            decisions if flipped else "",
            f"{_count(self.levels.rules, 'change')} of level rules" if self.levels.rules else "",
            f"{_count(self.checks, 'change')} of where codes are checked" if self.checks else "",
            _count(self.settings, "other change") if self.settings else "",
        ]
        what = ", ".join(part for part in parts if part) or "nothing that it decides differs"
        return f"{name} and replaces {self.before.version}: {what}."

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "version": None if self.policy is None else self.policy.version,
            "effective_from": None if self.policy is None else rfc3339(self.policy.effective_from),
            "emergency": self.policy is not None and self.policy.emergency,
            "compared_with": None if self.before is None else self.before.version,
            "sentence": self.sentence,
            "decisions": [each.to_dict() for each in self.flips],
            "checks": [each.to_dict() for each in self.checks],
            "level_rules": list(self.levels.rules),
            "revived": list(self.levels.revived),
            "settings": list(self.settings),
        }


def find_policy_changes(old: PolicyBook | None, new: PolicyBook) -> list[PolicyChange]:
    """What differs, policy by policy in order of time; empty if the policies are the same."""
    if old is None:
        return [PolicyChange(None, policy) for policy in new.policies]
    changes = [
        _compare(old.in_force(policy.effective_from), policy)
        for policy in new.policies
        if policy not in old.policies
    ]
    versions = {policy.version for policy in new.policies}
    gone = [PolicyChange(policy, None) for policy in old.policies if policy.version not in versions]
    return changes + gone


def _compare(before: Policy, policy: Policy) -> PolicyChange:
    return PolicyChange(
        before,
        policy,
        find_flips(before, policy),
        find_check_flips(before, policy),
        find_level_changes(before.levels, policy.levels),
        list(_settings(before, policy)),
    )


def _settings(before: Policy, policy: Policy) -> Iterator[str]:
    for field in fields(Policy):
        one, other = getattr(before, field.name), getattr(policy, field.name)
        if field.name not in _APART and one != other:
            yield f"{field.name}: {_shown(one)} → {_shown(other)}"
    if before.levels is not None and policy.levels is not None:
        for name in ("lookback_seconds", "no_evidence"):
            one, other = getattr(before.levels, name), getattr(policy.levels, name)
            if one != other:
                yield f"{name}: {_shown(one)} → {_shown(other)}"
    texts = [name for name in _texts(before) if _texts(before)[name] != _texts(policy).get(name)]
    if texts:
        yield f"remedies in other words: {', '.join(texts)}"


def _texts(policy: Policy) -> dict[str, str | None]:
    return {rule.id: rule.remedy for rule in policy.rules}


def _count(things: Sequence[object], word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if hasattr(value, "items"):
        parts = (f"{name} {_inner(each)}" for name, each in value.items())
        return ", ".join(parts) or "none"
    return str(value)


def _inner(value: Any) -> str:
    text = _shown(value)
    return f"({text})" if is_dataclass(value) or hasattr(value, "items") else text


def policy_lines(changes: Sequence[PolicyChange]) -> list[str]:
    """The changes as lines of text: for each policy its sentence, then what flips."""
    lines = []
    for change in changes:
        lines.append(change.sentence)
        for title, found in (
            ("decisions that flip", change.flips),
            ("checks that flip", change.checks),
            ("level rules", change.levels.rules),
            ("evidence that makes a level again", change.levels.revived),
            ("settings", change.settings),
        ):
            if found:
                lines.append(f"  {title}:")
                lines += [f"    {each}" for each in found]
    return lines or ["Nothing changes."]
