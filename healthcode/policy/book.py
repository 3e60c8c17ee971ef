"""The policy book: the policy in force and those to come, and the rules for changing it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from healthcode.errors import InvalidInputError
from healthcode.policy.accountability import Appeals, Holds, LookUpLimits
from healthcode.policy.checks import CheckRule
from healthcode.policy.decide import Facts, Rule, RuleTable, Ruling
from healthcode.policy.levels.rules import LevelRules
from healthcode.policy.tier import Freshness
from healthcode.policy.words import PlaceType, RiskLevel
from healthcode.wire.claims import Presentation

__all__ = [
    "MIN_AGING_SECONDS",
    "NOTICE_SECONDS",
    "Policy",
    "PolicyBook",
    "check_freshness",
    "check_notice",
]

MIN_AGING_SECONDS = 900
"""Nodes sign every five minutes: below this, one late signature would make its issuer STALE."""
NOTICE_SECONDS = 48 * 3600


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy. Durations in seconds; `freshness_by_place` overrides `freshness`.

    `levels` is None in a policy of format 1: levels are stated, not derived. `checks` are empty where every place
    checks. `holds`, `appeal` and `lookups` are None where the policy says nothing. `retention_seconds` is by the
    kind of what is stored.
    """

    version: str
    effective_from: int
    emergency: bool
    skew_seconds: int
    max_validity_seconds: Mapping[Presentation, int]
    freshness: Freshness
    freshness_by_place: Mapping[PlaceType, Freshness]
    reuse_seconds: int
    area_default: RiskLevel
    rules: tuple[Rule, ...]
    levels: LevelRules | None = None
    checks: tuple[CheckRule, ...] = ()
    holds: Holds | None = None
    appeal: Appeals | None = None
    lookups: LookUpLimits | None = None
    retention_seconds: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    table: RuleTable = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", RuleTable(self.rules, self.area_default))

    @property
    def format(self) -> int:
        """2 if levels are derived from evidence, else 1. A book of format 2 can have policies of both."""
        return 1 if self.levels is None else 2

    def decide(self, facts: Facts) -> Ruling:
        """The ruling on these facts. Pure."""
        return self.table.decide(facts)

    def freshness_at(self, place: PlaceType) -> Freshness:
        """The thresholds at `place`."""
        return self.freshness_by_place.get(place, self.freshness)


class PolicyBook:
    """All policies of one signed file, in order of time."""

    __slots__ = ("_starts", "policies")

    def __init__(self, policies: Sequence[Policy]) -> None:
        """Raises InvalidInputError without a policy, or if two begin at the same time."""
        ordered = tuple(sorted(policies, key=lambda policy: policy.effective_from))
        self.policies = ordered
        self._starts = [policy.effective_from for policy in ordered]
        if not ordered or len(set(self._starts)) != len(ordered):
            raise InvalidInputError("a policy book needs policies that begin at different times")

    def in_force(self, now: int) -> Policy:
        """The policy with the greatest `effective_from` ≤ `now`; the first one if none has begun."""
        # a clock so far behind is found by the signed times of the trust (NOT_YET_VALID, a clock alarm)
        return self.policies[max(0, bisect_right(self._starts, now) - 1)]

    def upcoming(self, now: int) -> tuple[Policy, ...]:
        """The policies that begin after `now`."""
        return self.policies[bisect_right(self._starts, now) :]


def check_freshness(old: PolicyBook, new: PolicyBook) -> None:
    """Raises InvalidInputError for a policy not in `old` under which a healthy node's trust would be STALE."""
    for policy in new.policies:
        if policy in old.policies:
            continue
        by_place = ((str(place), each) for place, each in policy.freshness_by_place.items())
        for place, freshness in (("default", policy.freshness), *by_place):
            if freshness.aging_seconds < MIN_AGING_SECONDS:
                raise InvalidInputError(
                    f"policy {policy.version}: aging_seconds {freshness.aging_seconds} ({place}) is below "
                    f"{MIN_AGING_SECONDS}: nodes sign each five minutes, so all codes would be UNDECIDED in between"
                )


def check_notice(old: PolicyBook, new: PolicyBook, now: int) -> None:
    """Raises InvalidInputError if a book to be signed at `now` changes the next 48 hours without an emergency flag.

    A policy that is in both books needs no notice.
    """
    for policy in new.policies:
        soon = policy.effective_from < now + NOTICE_SECONDS
        if soon and not policy.emergency and policy not in old.policies:
            raise InvalidInputError(
                f"policy {policy.version} begins less than 48 hours from now; give it a later "
                "effective_from, or mark it as an emergency"
            )
    if not {policy.version for policy in old.policies if policy.effective_from <= now} & {
        policy.version for policy in new.policies if policy.effective_from <= now
    } and not any(policy.emergency for policy in new.policies):
        raise InvalidInputError(
            "the policy in force is missing from the new book; keep it until the next one begins"
        )
