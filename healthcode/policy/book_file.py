"""`policy/national.json`: the policy book as a signed JSON file. Unknown words never match.

Format 2 adds levels from evidence, checks and accountability; a policy in it without `levels` is one of format 1.
"""

from __future__ import annotations

from importlib.resources import files
from types import MappingProxyType
from typing import Any

from pydantic import ConfigDict, Field

from healthcode.errors import DecodeError, InvalidInputError
from healthcode.policy.accountability import (
    AppealsModel,
    HoldsModel,
    LookUpsModel,
    RetentionDays,
    retention_seconds,
)
from healthcode.policy.book import Policy, PolicyBook
from healthcode.policy.checks import CheckModel
from healthcode.policy.decide import Rule
from healthcode.policy.json_model import JsonModel, Rfc3339, known_words, load_versioned, parse_model
from healthcode.policy.levels.rules_file import LevelModel, decode_level_rules
from healthcode.policy.tier import Freshness, TrustTier
from healthcode.policy.words import Decision, Outcome, PersonCategory, PlaceType, RiskLevel
from healthcode.wire.claims import Level, Presentation

__all__ = [
    "MAX_POLICY_BYTES",
    "NEWEST_POLICY_FORMAT",
    "decode_policy",
    "default_policy_bytes",
]

NEWEST_POLICY_FORMAT = 2
"""This software reads `healthcode/policy/1` to `/N`. Nodes report it, and `propose` asks all of them."""
MAX_POLICY_BYTES = 1 << 20

_DERIVED_LEVELS = 2


class _WhenModel(JsonModel):
    model_config = ConfigDict(extra="allow")

    outcome: list[str] | None = None
    level: list[str] | None = None
    tier: list[str] | None = None
    place: list[str] | None = None
    area: list[str] | None = None
    category: list[str] | None = None


class _RuleModel(JsonModel):
    id: str = Field(pattern=r"^[A-Z0-9][A-Z0-9.-]{0,31}$")
    when: _WhenModel = _WhenModel()
    decision: str
    remedy: str | None = Field(default=None, max_length=400)


class _ThresholdsModel(JsonModel):
    fresh_seconds: int = Field(gt=0)
    aging_seconds: int = Field(gt=0)


class _FreshnessModel(JsonModel):
    default: _ThresholdsModel
    places: dict[str, _ThresholdsModel] = Field(default_factory=dict)


class _PolicyModel(JsonModel):
    # a version of format 2 has 1 to 6 of A-Z, 0-9, . and -, so that codes can carry it: whoever publishes checks that,
    # and a reader, which cannot mend it, takes every version of format 1
    # what format 2 adds is validated by _AddedModel, and only in a file of format 2
    model_config = ConfigDict(extra="allow")

    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,31}$")
    effective_from: Rfc3339
    emergency: bool = False
    skew_seconds: int = Field(ge=0, le=3600)
    max_validity_seconds: dict[str, int]
    freshness: _FreshnessModel
    reuse_seconds: int = Field(ge=0, le=3600)
    area_default: str
    places: list[_RuleModel] = Field(min_length=1, max_length=512)


class _AddedModel(JsonModel):
    """What a policy of format 2 has beside the fields of format 1."""

    levels: list[LevelModel] | None = Field(default=None, min_length=1, max_length=512)
    lookback_days: int | None = Field(default=None, gt=0, le=3_660)
    no_evidence: dict[str, str] = Field(default_factory=dict, max_length=64)
    checks: list[CheckModel] = Field(default_factory=list, max_length=512)
    holds: HoldsModel | None = None
    appeal: AppealsModel | None = None
    lookups: LookUpsModel | None = None
    retention_days: RetentionDays = Field(default_factory=dict, max_length=64)


class _BookModel(JsonModel):
    policies: list[_PolicyModel] = Field(min_length=1, max_length=64)


def decode_policy(data: bytes) -> PolicyBook:
    """Decodes `policy/national.json`.

    Raises DecodeError: json.…, document.field, policy.format, policy.format_newer, policy.validity, policy.freshness,
    policy.area_default, policy.rule, policy.level, policy.effective_from.
    """
    number, document = load_versioned(data, "policy", newest=NEWEST_POLICY_FORMAT, max_bytes=MAX_POLICY_BYTES)
    model = parse_model(document, _BookModel)
    policies = [_policy(policy, number) for policy in model.policies]
    seen: set[str] = set()
    for policy in policies:
        if policy.version in seen:
            raise DecodeError(
                "policy.version", f"two policies have version {policy.version}: give the new one another"
            )
        seen.add(policy.version)
    try:
        return PolicyBook(policies)
    except InvalidInputError as error:
        raise DecodeError("policy.effective_from", error.message) from error


def default_policy_bytes() -> bytes:
    """The first national policy of format 1: each province states its levels."""
    return files("healthcode.policy").joinpath("national.json").read_bytes()


def _policy(model: _PolicyModel, number: int) -> Policy:
    where = f"policy {model.version}"
    try:
        validity = {kind: model.max_validity_seconds[kind] for kind in Presentation}
    except KeyError as error:
        raise DecodeError(
            "policy.validity", f"{where} has no max_validity_seconds for {error.args[0]}"
        ) from error
    if min(validity.values()) <= 0:
        raise DecodeError("policy.validity", f"{where}: max_validity_seconds must be positive")
    thresholds = model.freshness.places
    known_places = {PlaceType(name): thresholds[name] for name in thresholds if name in set(PlaceType)}
    if model.area_default not in set(RiskLevel):
        raise DecodeError("policy.area_default", f"{where}: area_default is not a risk level")
    rules = tuple(_rule(rule, number) for rule in model.places)
    if len({rule.id for rule in rules}) != len(rules):
        raise DecodeError("policy.rule", f"{where}: two rules have the same id")
    if rules[-1].is_conditional:
        raise DecodeError(
            "policy.rule", f"{where}: the last rule must have no conditions, so that some rule always matches"
        )
    return Policy(
        version=model.version,
        effective_from=model.effective_from,
        emergency=model.emergency,
        skew_seconds=model.skew_seconds,
        max_validity_seconds=MappingProxyType(validity),
        freshness=_freshness(model.freshness.default, where),
        freshness_by_place=MappingProxyType(
            {place: _freshness(given, where) for place, given in known_places.items()}
        ),
        reuse_seconds=model.reuse_seconds,
        area_default=RiskLevel(model.area_default),
        rules=rules,
        **(_added(model, where) if number >= _DERIVED_LEVELS else {}),
    )


def _added(model: _PolicyModel, where: str) -> dict[str, Any]:
    """The fields of `Policy` that only a file of format 2 has."""
    added = parse_model(model.model_extra, _AddedModel, f"{where}: ")
    checks = tuple(check.rule() for check in added.checks)
    if len({check.id for check in checks}) != len(checks):
        raise DecodeError("policy.rule", f"{where}: two checks have the same id")
    return {
        "levels": None
        if added.levels is None
        else decode_level_rules(added.levels, added.lookback_days, added.no_evidence, where),
        "checks": checks,
        "holds": added.holds and added.holds.holds(),
        "appeal": added.appeal and added.appeal.appeals(),
        "lookups": added.lookups and added.lookups.limits(),
        "retention_seconds": retention_seconds(added.retention_days),
    }


def _freshness(given: _ThresholdsModel, where: str) -> Freshness:
    if given.fresh_seconds > given.aging_seconds:
        raise DecodeError("policy.freshness", f"{where}: fresh_seconds is greater than aging_seconds")
    return Freshness(given.fresh_seconds, given.aging_seconds)


def _rule(model: _RuleModel, number: int) -> Rule:
    when = model.when
    known = model.decision in set(Decision)
    decision = Decision(model.decision) if known else Decision.UNDECIDED
    if decision not in {Decision.PASS, Decision.CHECK_NOT_REQUIRED} and not model.remedy:
        raise DecodeError(
            "policy.rule", f"rule {model.id} needs a remedy, because its decision does not let people pass"
        )
    # format 1 passes over a condition that this version does not know; from format 2 on, it is never met
    never = frozenset[Outcome]() if number >= _DERIVED_LEVELS and when.model_extra else None
    return Rule(
        id=model.id,
        decision=decision,
        remedy=model.remedy,
        outcomes=known_words(Outcome, when.outcome) if never is None else never,
        levels=known_words(Level, when.level),
        tiers=known_words(TrustTier, when.tier),
        places=known_words(PlaceType, when.place),
        areas=known_words(RiskLevel, when.area),
        categories=known_words(PersonCategory, when.category),
        warnings=() if known else ("UNKNOWN_DECISION",),
    )
