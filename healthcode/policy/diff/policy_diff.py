"""What a new policy file changes against the one in force: one sentence, then what flips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from healthcode.clock import rfc3339
from healthcode.policy.book import Policy
from healthcode.policy.book_file import MAX_POLICY_BYTES, decode_policy
from healthcode.policy.diff.flips import Flips, find_check_flips, find_flips
from healthcode.policy.diff.level_changes import LevelChanges, find_level_changes
from healthcode.strict_json import load_json

__all__ = ["PolicyChange", "find_policy_changes", "policy_lines"]

_FACTS = 25_872
_UNITS = ((86_400, "days"), (3600, "hours"))
_TEXTS = {"places": ("remedy", "remedy_zh"), "levels": ("text", "text_zh")}
_SAME_LEVELS = LevelChanges((), ())
# fields that are compared in their own way, or say nothing to a person
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
    texts: Sequence[str] = ()

    @property
    def sentence(self) -> str:
        """What changes, in one sentence."""
        if self.policy is None:
            return "" if self.before is None else f"Policy {self.before.version} is taken out of the file."
        begins = rfc3339(self.policy.effective_from) + (", AS AN EMERGENCY" if self.policy.emergency else "")
        name = f"Policy {self.policy.version} begins {begins}"
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
            f"{_count(self.texts, 'text')} in other words" if self.texts else "",
        ]
        what = ", ".join(part for part in parts if part) or "nothing that it decides differs"
        if self.before.version == self.policy.version:
            return f"Policy {self.policy.version} IS CHANGED, and begins {begins}: {what}."
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
            "texts": list(self.texts),
        }


def find_policy_changes(old: bytes | None, new: bytes) -> list[PolicyChange]:
    """What differs between two policy files, policy by policy; empty if they decide and say the same.

    `old` is None if no policy is in force. Raises DecodeError.
    """
    book = decode_policy(new)
    if old is None:
        return [PolicyChange(None, policy) for policy in book.policies]
    in_force = decode_policy(old)
    texts, texts_before = _texts_by_version(new), _texts_by_version(old)
    changes = []
    for policy in book.policies:
        # a version that is in both files is compared with itself
        same = [each for each in in_force.policies if each.version == policy.version]
        before = same[0] if same else in_force.in_force(policy.effective_from)
        words = tuple(_changed_texts(texts_before[before.version], texts[policy.version]))
        if policy != before or words:
            changes.append(_compare(before, policy, words))
    versions = {policy.version for policy in book.policies}
    gone = [PolicyChange(policy, None) for policy in in_force.policies if policy.version not in versions]
    return changes + gone


def _compare(before: Policy, policy: Policy, texts: Sequence[str]) -> PolicyChange:
    return PolicyChange(
        before,
        policy,
        find_flips(before, policy),
        find_check_flips(before, policy),
        find_level_changes(before.levels, policy.levels),
        list(_settings(before, policy)),
        texts,
    )


def _texts_by_version(data: bytes) -> dict[str, dict[str, str]]:
    """By version, every text for people by its place, e.g. `N-RED-1 remedy_zh`."""
    return {
        policy["version"]: {
            f"{row['id']} {name}": row[name]
            for table, names in _TEXTS.items()
            for row in policy.get(table, ())
            for name in names
            if row.get(name)
        }
        for policy in load_json(data, MAX_POLICY_BYTES)["policies"]
    }


def _changed_texts(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    # a new row's text is a part of the new row
    for place, text in after.items():
        if before.get(place, text) != text:
            yield f"{place}: {before[place]!r} → {text!r}"
    rows = {place.partition(" ")[0] for place in after}
    for place in before:
        if place not in after and place.partition(" ")[0] in rows:
            yield f"{place}: is gone"


def _settings(before: Policy, policy: Policy) -> Iterator[str]:
    for field in fields(Policy):
        one, other = getattr(before, field.name), getattr(policy, field.name)
        if field.name not in _APART and one != other:
            yield f"{field.name}: {_shown(one, field.name)} → {_shown(other, field.name)}"
    if before.levels is not None and policy.levels is not None:
        for name in ("lookback_seconds", "no_evidence"):
            one, other = getattr(before.levels, name), getattr(policy.levels, name)
            if one != other:
                yield f"{name}: {_shown(one, name)} → {_shown(other, name)}"
    ids, ids_before = ([rule.id for rule in each.rules] for each in (policy, before))
    if new := [name for name in ids if name not in ids_before]:
        yield f"new rows of places: {', '.join(new)}"
    if gone := [name for name in ids_before if name not in ids]:
        yield f"rows of places that are gone: {', '.join(gone)}"


def _count(things: Sequence[object], word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"


def _shown(value: Any, name: str) -> str:
    """The value of a setting for people; numbers whose name is in seconds as days, hours or seconds."""
    if value is None:
        return "none"
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        # retention_seconds has kinds as names; terms and thresholds have names of their own
        unit = name if "seconds" in name else ""
        return ", ".join(f"{key} {_inner(each, unit or str(key))}" for key, each in value.items()) or "none"
    if isinstance(value, int) and "seconds" in name:
        units = (f"{value // size} {unit}" for size, unit in _UNITS if value and value % size == 0)
        return next(units, f"{value} s")
    return str(value)


def _inner(value: Any, name: str) -> str:
    text = _shown(value, name)
    return f"({text})" if is_dataclass(value) or isinstance(value, Mapping) else text


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
            ("texts", change.texts),
        ):
            if found:
                lines.append(f"  {title}:")
                lines += [f"    {each}" for each in found]
    return lines or ["Nothing changes."]
