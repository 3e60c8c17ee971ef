"""`policy/national.json` as we write it, in both formats: every field and every closed word."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from healthcode.identity.participant import PARTICIPANTS
from healthcode.policy.json_model import Rfc3339
from healthcode.policy.levels.evidence import EvidenceKind, EvidenceState, Finding, TestMethod
from healthcode.policy.levels.rules import Need
from healthcode.policy.lint.written_model import WrittenModel, one_of
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Decision, LevelReason, Outcome, PersonCategory, PlaceType, RiskLevel
from healthcode.wire.claims import Level, Presentation

__all__ = ["OTHER_RECORDS", "BookForm", "EvidenceForm", "Example", "PolicyForm1", "PolicyForm2"]

OTHER_RECORDS = ("LOOKUP_RECORD", "LEVEL", "AUDIT")
"""What has retention days besides evidence."""
_EVERYONE = "*"

_Count = Annotated[int, Field(gt=0)]
_Text = Annotated[str, Field(min_length=1, max_length=400)]
_RuleId = Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9.-]{0,31}$")]
_Days = Annotated[int, Field(gt=0, le=3_660)]
_Place = Annotated[str, one_of(PlaceType)]
_Level = Annotated[str, one_of(each for each in Level if each is not Level.UNKNOWN)]
_Risk = Annotated[str, one_of(RiskLevel)]
_Category = Annotated[str, one_of(PersonCategory)]
_Kind = Annotated[str, one_of(EvidenceKind)]
_Finding = Annotated[str, one_of(Finding)]
_Method = Annotated[str, one_of(TestMethod)]


class _Condition(WrittenModel):
    outcome: list[Annotated[str, one_of(Outcome)]] | None = None
    level: list[_Level] | None = None
    tier: list[Annotated[str, one_of(TrustTier)]] | None = None
    place: list[_Place] | None = None
    area: list[_Risk] | None = None
    category: list[_Category] | None = None


class _PlaceRule(WrittenModel):
    id: _RuleId
    when: _Condition = _Condition()
    decision: Annotated[str, one_of(Decision)]
    remedy: _Text | None = None
    remedy_zh: _Text | None = None


class _Thresholds(WrittenModel):
    fresh_seconds: _Count
    aging_seconds: _Count


class _Freshness(WrittenModel):
    default: _Thresholds
    places: dict[_Place, _Thresholds] = Field(default_factory=dict)


class PolicyForm1(WrittenModel):
    """A policy under which levels are stated."""

    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,31}$")]
    effective_from: Rfc3339
    emergency: bool = False
    skew_seconds: Annotated[int, Field(ge=0, le=3600)]
    max_validity_seconds: dict[Annotated[str, one_of(Presentation)], _Count]
    freshness: _Freshness
    reuse_seconds: Annotated[int, Field(ge=0, le=3600)]
    area_default: _Risk
    places: Annotated[list[_PlaceRule], Field(min_length=1, max_length=512)]


class EvidenceForm(WrittenModel):
    """One item of evidence in an example, or in a file for `policy explain`."""

    source: _Text
    record: _Text
    revision: Annotated[int, Field(ge=1)] = 1
    kind: _Kind
    finding: _Finding | None = None
    method: _Method | None = None
    observed_at: Rfc3339 | None = None
    known_at: Rfc3339 | None = None
    area: Annotated[str, Field(pattern=r"^([0-9]{6})?$")] = ""
    stay_from: Annotated[Rfc3339 | None, Field(alias="from")] = None
    stay_to: Annotated[Rfc3339 | None, Field(alias="to")] = None
    until: Rfc3339 | None = None
    instrument: str = ""
    port_of_entry: str = ""
    laboratory: str = ""
    product: str = ""
    dose: int | None = None
    state: Annotated[str, one_of(EvidenceState)] = EvidenceState.ACTIVE.value


class Example(WrittenModel):
    """A holder's evidence, and the level that it makes under the policy which has the example."""

    note: _Text
    at: Rfc3339
    home: Annotated[str, Field(pattern=r"^[0-9]{2}$")] = "44"
    areas: dict[str, Any] = Field(default_factory=dict)
    evidence: list[EvidenceForm]
    level: _Level
    rule: str | None = None


class _LevelCondition(WrittenModel):
    kind: _Kind
    finding: list[_Finding] | None = None
    method: list[_Method] | None = None
    risk: list[_Risk] | None = None
    stay_minutes_at_least: _Count | None = None


class _ClearedBy(WrittenModel):
    negative_tests: _Count
    apart_hours: Annotated[int, Field(ge=0)]
    not_before_days: Annotated[int, Field(ge=0)] = 0


class _LevelRule(WrittenModel):
    id: Annotated[str, Field(pattern=r"^L-[A-Z0-9][A-Z0-9.-]{0,29}$")]
    level: Annotated[str, one_of((Level.RED, Level.YELLOW))]
    reason: Annotated[str, one_of(LevelReason)]
    when: _LevelCondition
    needs: list[Annotated[str, one_of(Need)]] = Field(default_factory=list)
    two_persons: bool = False
    lasts_days: _Days
    cleared_by: _ClearedBy | None = None
    text: _Text
    text_zh: _Text
    examples: list[Example] = Field(default_factory=list)


class _Rates(WrittenModel):
    source: _Count
    unit: _Count
    area: _Count


class _Holds(WrittenModel):
    per_hour: _Rates
    per_day: _Rates


class _Appeal(WrittenModel):
    review_hours: _Count
    decide_hours: _Count
    unanswered: dict[
        Annotated[str, one_of((*LevelReason, _EVERYONE))], Annotated[str, one_of(("SUSPEND", "KEEP"))]
    ]


class _Lookups(WrittenModel):
    asker_per_hour: _Count
    officer_per_hour: _Count
    holder_per_hour: _Count


class _CheckCondition(WrittenModel):
    area: list[_Risk] | None = None
    category: list[_Category] | None = None
    place: list[_Place] | None = None


class _Check(WrittenModel):
    id: _RuleId
    when: _CheckCondition = _CheckCondition()
    requirement: Annotated[str, one_of(("CHECK", "CHECK_NOT_REQUIRED"))]


class PolicyForm2(PolicyForm1):
    """A policy that derives levels from evidence."""

    lookback_days: _Days
    no_evidence: dict[Annotated[str, one_of((*PARTICIPANTS, _EVERYONE))], _Level]
    levels: Annotated[list[_LevelRule], Field(min_length=1, max_length=256)]
    holds: _Holds | None = None
    appeal: _Appeal | None = None
    lookups: _Lookups | None = None
    checks: Annotated[list[_Check], Field(min_length=1, max_length=256)]
    retention_days: dict[Annotated[str, one_of((*EvidenceKind, *OTHER_RECORDS))], _Count]


class BookForm(WrittenModel):
    """The file without the content of each policy: a file of format 2 can have policies of both formats."""

    format: str
    policies: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=64)]
