"""The policy book: `policy/national.json`, the policy in force and those to come.

The policy with the greatest effective_from ≤ now rules. A new one lies at least
48 hours ahead when it is signed, unless it is flagged as an emergency, which shows.
Rules are plain data (policy/national.json beside this module is the default):

- a rule says when it holds, by lists of words for outcome, level, tier, place,
  area and category, and then what to do; a list that is left out holds always;
- the first rule that holds decides; the last one has no conditions, so that
  something always decides;
- a word which this version does not know never matches; a decision which it
  does not know reads as UNDECIDED, and is flagged.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.resources import files
from types import MappingProxyType
from typing import TypeVar

from pydantic import Field

from healthcode.errors import DecodeError, InvalidInputError
from healthcode.policy.json_model import JsonModel, Rfc3339, parse_json
from healthcode.policy.tier import Freshness, TrustTier
from healthcode.policy.words import Decision, Outcome, PersonCategory, PlaceType, RiskLevel
from healthcode.wire.claims import Level, Presentation

__all__ = [
    "MAX_POLICY_BYTES",
    "MIN_AGING_SECONDS",
    "NOTICE_SECONDS",
    "POLICY_FORMAT",
    "Policy",
    "PolicyBook",
    "Rule",
    "check_freshness",
    "check_notice",
    "decode_policy",
    "default_policy_bytes",
]

POLICY_FORMAT = "healthcode/policy/1"
MAX_POLICY_BYTES = 1 << 20
MIN_AGING_SECONDS = 900
"""Nodes sign each five minutes; one signature that is late, and its way to every node, make nobody STALE."""
NOTICE_SECONDS = 48 * 3600

_Word = TypeVar("_Word", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table; None in a condition holds always."""

    id: str
    decision: Decision
    remedy: str | None
    outcomes: frozenset[Outcome] | None
    levels: frozenset[Level] | None
    tiers: frozenset[TrustTier] | None
    places: frozenset[PlaceType] | None
    areas: frozenset[RiskLevel] | None
    categories: frozenset[PersonCategory] | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy. Durations in seconds; `freshness_by_place` overrides `freshness`."""

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
    rulings: dict[object, object] = field(default_factory=dict, repr=False, compare=False)
    """What `decide` already worked out: the words are closed lists, so this stays small."""

    def freshness_at(self, place: PlaceType) -> Freshness:
        """The thresholds that hold at `place`."""
        return self.freshness_by_place.get(place, self.freshness)


class PolicyBook:
    """Every policy of one signed document, by time."""

    __slots__ = ("_starts", "policies")

    def __init__(self, policies: Sequence[Policy]) -> None:
        """Raises InvalidInputError without a policy, or with two that begin at once."""
        ordered = tuple(sorted(policies, key=lambda policy: policy.effective_from))
        self.policies = ordered
        self._starts = [policy.effective_from for policy in ordered]
        if not ordered or len(set(self._starts)) != len(ordered):
            raise InvalidInputError("a policy book needs policies that begin at different times")

    def in_force(self, now: int) -> Policy:
        """The policy that rules at `now`.

        Before the first one begins it is the first: a clock that far behind shows by the
        trust's signed times, which verification finds (NOT_YET_VALID, a clock alarm).
        """
        return self.policies[max(0, bisect_right(self._starts, now) - 1)]

    def upcoming(self, now: int) -> tuple[Policy, ...]:
        """The policies that begin after `now`."""
        return self.policies[bisect_right(self._starts, now) :]


def check_freshness(old: PolicyBook, new: PolicyBook) -> None:
    """Refuses a book with a policy, not in `old`, by which trust is STALE between two signatures of a sound node.

    Raises InvalidInputError naming the policy and the place: every province would be UNDECIDED there.
    """
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
    """Refuses a book to be signed at `now` which changes the near future without being an emergency.

    Raises InvalidInputError naming the policy. A policy that stands in both books needs no notice.
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


class _When(JsonModel):
    outcome: list[str] | None = None
    level: list[str] | None = None
    tier: list[str] | None = None
    place: list[str] | None = None
    area: list[str] | None = None
    category: list[str] | None = None


class _RuleDocument(JsonModel):
    id: str = Field(pattern=r"^[A-Z0-9][A-Z0-9.-]{0,31}$")
    when: _When = _When()
    decision: str
    remedy: str | None = Field(default=None, max_length=400)


class _Thresholds(JsonModel):
    fresh_seconds: int = Field(gt=0)
    aging_seconds: int = Field(gt=0)


class _FreshnessDocument(JsonModel):
    default: _Thresholds
    places: dict[str, _Thresholds] = Field(default_factory=dict)


class _PolicyDocument(JsonModel):
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,31}$")
    effective_from: Rfc3339
    emergency: bool = False
    skew_seconds: int = Field(ge=0, le=3600)
    max_validity_seconds: dict[str, int]
    freshness: _FreshnessDocument
    reuse_seconds: int = Field(ge=0, le=3600)
    area_default: str
    places: list[_RuleDocument] = Field(min_length=1, max_length=512)


class _BookDocument(JsonModel):
    format: str
    policies: list[_PolicyDocument] = Field(min_length=1, max_length=64)


def decode_policy(data: bytes) -> PolicyBook:
    """Decodes `policy/national.json`.

    Raises DecodeError: json.…, document.field, policy.format, policy.validity, policy.freshness,
    policy.area_default, policy.rule, policy.effective_from.
    """
    document = parse_json(data, _BookDocument, max_bytes=MAX_POLICY_BYTES)
    if document.format != POLICY_FORMAT:
        raise DecodeError("policy.format", f"format {document.format!r} is not {POLICY_FORMAT}")
    policies = [_policy(policy) for policy in document.policies]
    if len({policy.version for policy in policies}) != len(policies):
        raise DecodeError("policy.version", "two policies have the same version")
    try:
        return PolicyBook(policies)
    except InvalidInputError as error:
        raise DecodeError("policy.effective_from", error.message) from error


def default_policy_bytes() -> bytes:
    """The national default, as a test realm starts with it."""
    return files("healthcode.policy").joinpath("national.json").read_bytes()


def _policy(document: _PolicyDocument) -> Policy:
    where = f"policy {document.version}"
    try:
        validity = {kind: document.max_validity_seconds[kind] for kind in Presentation}
    except KeyError as error:
        raise DecodeError(
            "policy.validity", f"{where} has no max_validity_seconds for {error.args[0]}"
        ) from error
    if min(validity.values()) <= 0:
        raise DecodeError("policy.validity", f"{where}: max_validity_seconds must be positive")
    thresholds = document.freshness.places
    known_places = {PlaceType(name): thresholds[name] for name in thresholds if name in set(PlaceType)}
    if document.area_default not in set(RiskLevel):
        raise DecodeError("policy.area_default", f"{where}: area_default is no risk")
    rules = tuple(_rule(rule) for rule in document.places)
    if len({rule.id for rule in rules}) != len(rules):
        raise DecodeError("policy.rule", f"{where}: two rules have the same id")
    if document.places[-1].when != _When():
        raise DecodeError("policy.rule", f"{where}: the last rule must hold always, so it has no conditions")
    return Policy(
        version=document.version,
        effective_from=document.effective_from,
        emergency=document.emergency,
        skew_seconds=document.skew_seconds,
        max_validity_seconds=MappingProxyType(validity),
        freshness=_freshness(document.freshness.default, where),
        freshness_by_place=MappingProxyType(
            {place: _freshness(given, where) for place, given in known_places.items()}
        ),
        reuse_seconds=document.reuse_seconds,
        area_default=RiskLevel(document.area_default),
        rules=rules,
    )


def _freshness(given: _Thresholds, where: str) -> Freshness:
    if given.fresh_seconds > given.aging_seconds:
        raise DecodeError("policy.freshness", f"{where}: fresh_seconds is greater than aging_seconds")
    return Freshness(given.fresh_seconds, given.aging_seconds)


def _rule(document: _RuleDocument) -> Rule:
    when = document.when
    known = document.decision in set(Decision)
    decision = Decision(document.decision) if known else Decision.UNDECIDED
    if decision not in {Decision.PASS, Decision.CHECK_NOT_REQUIRED} and not document.remedy:
        raise DecodeError("policy.rule", f"rule {document.id} needs a remedy, since it lets nobody pass")
    return Rule(
        id=document.id,
        decision=decision,
        remedy=document.remedy,
        outcomes=_words(Outcome, when.outcome),
        levels=_words(Level, when.level),
        tiers=_words(TrustTier, when.tier),
        places=_words(PlaceType, when.place),
        areas=_words(RiskLevel, when.area),
        categories=_words(PersonCategory, when.category),
        warnings=() if known else ("UNKNOWN_DECISION",),
    )


def _words(kind: type[_Word], given: list[str] | None) -> frozenset[_Word] | None:
    if given is None:
        return None
    known = {word.value for word in kind}
    return frozenset(kind(word) for word in given if word in known)
