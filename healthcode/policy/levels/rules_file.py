"""Level rules in the policy file: read leniently word by word, and bounded.

A rule with a level, reason, kind, need or condition of a newer version matches nothing; a part of it must not colour.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated

from pydantic import ConfigDict, Field

from healthcode.errors import DecodeError
from healthcode.policy.json_model import JsonModel, known_words
from healthcode.policy.levels.evidence import EvidenceKind, Finding, TestMethod
from healthcode.policy.levels.rules import Clearing, LevelRule, LevelRules, Need
from healthcode.policy.words import LevelReason, RiskLevel
from healthcode.wire.claims import Level

__all__ = ["LevelModel", "decode_level_rules"]

_DAY_SECONDS = 86_400
_COLOURED = frozenset({Level.YELLOW, Level.RED})
_UNCOLOURED = frozenset({Level.GREEN, Level.PENDING, Level.NO_ABNORMALITY})

_Days = Annotated[int, Field(gt=0, le=3_660)]
_Words = Annotated[list[str], Field(max_length=64)]


class _LevelWhenModel(JsonModel):
    model_config = ConfigDict(extra="allow")

    kind: str
    finding: _Words | None = None
    method: _Words | None = None
    risk: _Words | None = None
    stay_minutes_at_least: int = Field(default=0, ge=0, le=527_040)


class _ClearingModel(JsonModel):
    model_config = ConfigDict(extra="allow")

    negative_tests: int = Field(gt=0, le=100)
    apart_hours: int = Field(ge=0, le=8_784)
    not_before_days: int = Field(default=0, ge=0, le=3_660)


class LevelModel(JsonModel):
    """A row of `levels` in the file."""

    id: str = Field(pattern=r"^L-[A-Z0-9][A-Z0-9.-]{0,29}$")
    level: str
    reason: str
    when: _LevelWhenModel
    lasts_days: _Days
    needs: list[str] = Field(default_factory=list, max_length=64)
    two_persons: bool = False
    cleared_by: _ClearingModel | None = None
    text: str = Field(default="", max_length=2_000)
    text_zh: str = Field(default="", max_length=2_000)

    def rule(self) -> LevelRule | None:
        """None if the rule matches nothing, because this version does not know one of its words."""
        when, cleared_by = self.when, self.cleared_by
        findings = known_words(Finding, when.finding)
        methods = known_words(TestMethod, when.method)
        risks = known_words(RiskLevel, when.risk)
        if (
            self.level not in _COLOURED
            or self.reason not in set(LevelReason)
            or when.kind not in set(EvidenceKind)
            or not set(self.needs) <= set(Need)
            or when.model_extra
            or (cleared_by is not None and cleared_by.model_extra)
            or any(words is not None and not words for words in (findings, methods, risks))
        ):
            return None
        return LevelRule(
            id=self.id,
            level=Level(self.level),
            reason=LevelReason(self.reason),
            kind=EvidenceKind(when.kind),
            lasts_seconds=self.lasts_days * _DAY_SECONDS,
            findings=findings,
            methods=methods,
            risks=risks,
            stay_seconds=when.stay_minutes_at_least * 60,
            needs=frozenset(Need(word) for word in self.needs),
            two_persons=self.two_persons,
            cleared_by=None if cleared_by is None else _clearing(cleared_by),
            text=self.text,
            text_zh=self.text_zh,
        )


def decode_level_rules(
    levels: list[LevelModel], lookback_days: int | None, no_evidence: dict[str, str], where: str
) -> LevelRules:
    """The level rules of one policy. Raises DecodeError (policy.level) naming the policy and the rule."""
    if lookback_days is None:
        raise DecodeError("policy.level", f"{where} has levels, and no lookback_days")
    if len({level.id for level in levels}) != len(levels):
        raise DecodeError("policy.level", f"{where}: two level rules have the same id")
    rules = [level.rule() for level in levels]
    return LevelRules(
        rules=tuple(rule for rule in rules if rule is not None),
        lookback_seconds=lookback_days * _DAY_SECONDS,
        # a colour needs a ground, so an unknown word, or a colour here, reads as not yet determined
        no_evidence=MappingProxyType(
            {
                participant: Level(word) if word in _UNCOLOURED else Level.PENDING
                for participant, word in no_evidence.items()
            }
        ),
        unknown=tuple(level.id for level, rule in zip(levels, rules, strict=True) if rule is None),
    )


def _clearing(model: _ClearingModel) -> Clearing:
    return Clearing(
        model.negative_tests,
        model.apart_hours * 3600,
        not_before_seconds=model.not_before_days * _DAY_SECONDS,
    )
