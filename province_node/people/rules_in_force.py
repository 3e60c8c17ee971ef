"""The level rules and the area risk by which levels are derived now, and a fingerprint of their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from healthcode.policy.area import AreaRisk
from healthcode.policy.book import Policy
from healthcode.policy.levels.evidence import EvidenceKind
from healthcode.policy.levels.rules import LevelRules
from healthcode.trust.view import TrustView
from province_node.store.people_records import LevelBasis

__all__ = ["InForce", "RulesInForce", "kept_seconds"]


@dataclass(frozen=True, slots=True)
class InForce:
    """A policy of format 2 with the areas of the same view."""

    policy: Policy
    rules: LevelRules
    areas: AreaRisk
    basis: LevelBasis


def kept_seconds(policy: Policy) -> Mapping[EvidenceKind, int]:
    """How long evidence of each kind is kept: as the policy says, and never shorter than it is looked at."""
    if policy.levels is None:
        return {}
    lookback = policy.levels.lookback_seconds
    return {kind: max(lookback, policy.retention_seconds.get(kind, lookback)) for kind in EvidenceKind}


class RulesInForce:
    """What the trust in use says. What it computed for one view and policy, it keeps."""

    def __init__(self, trust: Callable[[], TrustView]) -> None:
        self._trust = trust
        # rules and areas are compared by identity: a new view often has the same ones
        self._last: tuple[Policy, AreaRisk, InForce] | None = None

    def at(self, now: int) -> InForce | None:
        """The rules in force at `now`; None under a policy of format 1, by which levels are stated."""
        view = self._trust()
        policy = view.policy.in_force(now)
        if policy.levels is None:
            return None
        last = self._last
        if last is not None and last[0] is policy and last[1] is view.areas:
            return last[2]
        found = InForce(
            policy,
            policy.levels,
            view.areas,
            LevelBasis(_fingerprint(policy, view.areas), policy.version, view.areas.as_of or 0),
        )
        self._last = (policy, view.areas, found)
        return found


def _fingerprint(policy: Policy, areas: AreaRisk) -> str:
    """Of all that a derivation reads; a file that was signed again without a change has the same."""
    # a file of format 1 does not tell since when: there `as_of` counts
    read = [policy.version, policy.levels, areas.intervals, areas.risks, areas.as_of if areas.risks else None]
    return hashlib.sha256(json.dumps(_plain(read)).encode()).hexdigest()[:32]


def _plain(value: Any) -> Any:
    """The same for the same content, in every process."""
    if is_dataclass(value) and not isinstance(value, type):
        return [_plain(getattr(value, each.name)) for each in fields(value) if each.compare]
    if isinstance(value, Mapping):
        return sorted((str(key), _plain(each)) for key, each in value.items())
    if isinstance(value, frozenset):
        return sorted(map(str, value))
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
