"""Which levels may be stated, and on what ground."""

from __future__ import annotations

import pytest

from healthcode.errors import HealthcodeError, Reason
from healthcode.policy.words import LevelReason
from healthcode.wire.claims import Level
from province_node.people.level import check_level
from province_node.store.records import LevelStatement

NOW = 1_000_000


def state(
    level: Level, reason: str | None = None, instrument: str = "", until: int | None = None
) -> LevelStatement:
    return LevelStatement(level, LevelReason(reason) if reason else None, instrument, until)


@pytest.mark.parametrize(
    "statement",
    [
        state(Level.GREEN),
        state(Level.PENDING),
        state(Level.RED, "A1"),
        state(Level.RED, "A7", until=NOW + 1),
        state(Level.RED, "A8", "沪卫〔2022〕1号", NOW + 86_400),
        state(Level.YELLOW, "B5"),
        state(Level.YELLOW, "B6", "No. 7", NOW + 1),
    ],
)
def test_a_level_with_its_ground_may_be_stated(statement):
    """Every level passes with a reason of its own letter, and A8 and B6 with instrument and end."""
    check_level(statement, issuer="31", now=NOW)


@pytest.mark.parametrize(
    ("statement", "field"),
    [
        (state(Level.RED), "reason"),
        (state(Level.YELLOW), "reason"),
        (state(Level.RED, "B1"), "reason"),
        (state(Level.YELLOW, "A1"), "reason"),
        (state(Level.GREEN, "A1"), "reason"),
        (state(Level.PENDING, "B1"), "reason"),
        (state(Level.RED, "A8", "", NOW + 1), "legal_instrument"),
        (state(Level.RED, "A8", "  ", NOW + 1), "legal_instrument"),
        (state(Level.RED, "A8", "No. 7"), "level_until"),
        (state(Level.YELLOW, "B6", "", None), "legal_instrument"),
        (state(Level.RED, "A1", "No. 7"), "legal_instrument"),
        (state(Level.RED, "A8", "x" * 129, NOW + 1), "legal_instrument"),
        (state(Level.GREEN, until=NOW), "level_until"),
        (state(Level.UNKNOWN), "level"),
    ],
)
def test_a_level_without_its_ground_is_refused_by_field(statement, field):
    """A missing, foreign or outlived ground is refused, and the error names the field."""
    with pytest.raises(HealthcodeError) as refused:
        check_level(statement, issuer="31", now=NOW)
    assert list(refused.value.fields) == [field]


def test_a_reason_of_the_other_level_has_its_own_word():
    """That a reason may not give this level is told apart from a missing field."""
    with pytest.raises(HealthcodeError) as refused:
        check_level(state(Level.RED, "B1"), issuer="31", now=NOW)
    assert refused.value.reason is Reason.LEVEL_FORBIDDEN


def test_no_abnormality_belongs_to_the_national_platform():
    """Participant 00 alone may say NO_ABNORMALITY."""
    check_level(state(Level.NO_ABNORMALITY), issuer="00", now=NOW)
    with pytest.raises(HealthcodeError) as refused:
        check_level(state(Level.NO_ABNORMALITY), issuer="31", now=NOW)
    assert refused.value.reason is Reason.LEVEL_FORBIDDEN
