"""`explain` shows what is set, in words, and says what clears a ground."""

from __future__ import annotations

from rich.console import Console

from healthcode.cli.table import details
from healthcode.v1 import province_issuer_pb2 as pb
from healthcode.v1 import verdict_pb2
from province_node.cli.explain import facts_of


def test_a_ground_is_shown_with_its_clearing() -> None:
    """Rule, texts, times and tests; nothing that is unset has a line."""
    found = pb.ExplainLevelResponse(level=verdict_pb2.LEVEL_RED, sequence=3, policy_version="27.1")
    found.ground.rule, found.ground.reason = "L-A7-1", pb.LEVEL_REASON_A7
    found.ground.text_zh = "原因"
    found.ground.ends.seconds = 1_795_248_000
    found.ground.clearing.negative_tests = 3
    found.ground.clearing.apart_hours = 24
    found.ground.clearing.not_before.seconds = 1_795_248_000
    shown = facts_of(found)
    assert shown == {
        "level": "RED",
        "sequence": 3,
        "policy_version": "27.1",
        "rule": "L-A7-1",
        "reason": "A7",
        "text_zh": "原因",
        "ends": "2026-11-21T08:00:00Z",
        "cleared_by": "3 negative nucleic-acid tests, 24 hours apart, not before 2026-11-21T08:00:00Z",
    }
    console = Console(width=200, record=True, file=None)
    with console.capture() as captured:
        console.print(details(shown))
    assert "L-A7-1" in captured.get()


def test_a_level_without_a_ground_is_short() -> None:
    """And a holder about whom nothing was ever stated has no level."""
    green = pb.ExplainLevelResponse(level=verdict_pb2.LEVEL_GREEN, policy_version="27.1")
    assert facts_of(green) == {"level": "GREEN", "sequence": 0, "policy_version": "27.1"}
    assert facts_of(pb.ExplainLevelResponse())["level"] == "not stated"
