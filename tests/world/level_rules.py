"""A policy of format 2 with a level rule for each reason, for tests and vectors; the national policy may change."""

from __future__ import annotations

import copy
import json
from typing import Any

from healthcode.policy.book import PolicyBook
from healthcode.policy.book_file import decode_policy

__all__ = ["format_2", "format_2_book"]

_TESTS = {"negative_tests": 3, "apart_hours": 24, "not_before_days": 7}
_REMEDY = {
    "remedy": "Check by another way. Appeals: the home province.",
    "remedy_zh": "请以其他方式核查；申诉请联系发码省份。",
}


def _level(name: str, kind: str, *finding: str, lasts_days: int = 14, **more: Any) -> dict[str, Any]:
    """A level rule; the letter of its reason is its level. `when` adds conditions."""
    reason = name.split("-")[1]
    when = {"kind": kind} | ({"finding": list(finding)} if finding else {}) | more.pop("when", {})
    return {
        "id": name,
        "level": "RED" if reason[0] == "A" else "YELLOW",
        "reason": reason,
        "when": when,
        "lasts_days": lasts_days,
        "text": f"Reason {reason}.",
        "text_zh": f"原因 {reason}。",
        **more,
    }


def _stay(name: str, risk: str, **more: Any) -> dict[str, Any]:
    return _level(name, "AREA_STAY", when={"risk": [risk], "stay_minutes_at_least": 60}, **more)


_ORDER = {"needs": ["instrument", "until"], "two_persons": True}

_POLICY: dict[str, Any] = {
    "version": "27.1",
    "effective_from": "2020-01-01T00:00:00Z",
    "emergency": False,
    "skew_seconds": 300,
    "max_validity_seconds": {"LIVE": 3600, "PAPER": 1_209_600},
    "freshness": {
        "default": {"fresh_seconds": 900, "aging_seconds": 86_400},
        "places": {"AIRPORT": {"fresh_seconds": 900, "aging_seconds": 43_200}},
    },
    "reuse_seconds": 300,
    "area_default": "LOW",
    "lookback_days": 30,
    "no_evidence": {"00": "PENDING", "*": "GREEN"},
    "levels": [
        _level("L-A1-1", "PUSH", "RED"),
        _level("L-A2-1", "CASE_REPORT", "CONFIRMED", "ASYMPTOMATIC"),
        _level("L-A3-1", "CASE_REPORT", "SUSPECTED"),
        _level("L-A4-1", "CONTACT", "CLOSE", cleared_by=_TESTS),
        _level("L-A4-2", "CONTACT", "SECOND", lasts_days=7, cleared_by=_TESTS),
        _level("L-A5-1", "QUARANTINE_ORDER", "ENTRANT", lasts_days=21, needs=["port_of_entry", "instrument"]),
        _level("L-A6-1", "QUARANTINE_ORDER", "RETURNEE", needs=["instrument"]),
        _stay("L-A7-1", "HIGH", cleared_by=_TESTS),
        _level("L-A8-1", "ORDER", "RED", **_ORDER),
        _level("L-B1-1", "PUSH", "YELLOW"),
        _level("L-B2-1", "CASE_REPORT", "DISCHARGED"),
        _level("L-B3-1", "CONTACT", "OVERLAP", cleared_by={"negative_tests": 2, "apart_hours": 24}),
        _stay("L-B4-1", "MEDIUM", cleared_by={"negative_tests": 2, "apart_hours": 24}),
        _level("L-B5-1", "CONTACT", "CONVEYANCE", cleared_by={"negative_tests": 2, "apart_hours": 24}),
        _level("L-B6-1", "ORDER", "YELLOW", **_ORDER),
    ],
    "holds": {
        "per_hour": {"source": 20, "unit": 50, "area": 2000},
        "per_day": {"source": 100, "unit": 200, "area": 10_000},
    },
    "appeal": {"review_hours": 24, "decide_hours": 48, "unanswered": {"A8": "SUSPEND", "*": "KEEP"}},
    "lookups": {"asker_per_hour": 2000, "officer_per_hour": 30, "holder_per_hour": 5},
    "checks": [
        {
            "id": "C-LOW-1",
            "when": {
                "area": ["LOW"],
                "category": ["GENERAL"],
                "place": ["PARK", "RESIDENTIAL_QUARTER", "OTHER"],
            },
            "requirement": "CHECK_NOT_REQUIRED",
        },
        {"id": "C-1", "requirement": "CHECK"},
    ],
    "retention_days": {
        "TEST": 30,
        "VACCINATION": 30,
        "AREA_STAY": 30,
        "CONTACT": 30,
        "CASE_REPORT": 60,
        "QUARANTINE_ORDER": 60,
        "PUSH": 60,
        "ORDER": 60,
        "LOOKUP_RECORD": 180,
        "LEVEL": 365,
        "AUDIT": 1095,
    },
    "places": [
        {
            "id": "N-AREA-1",
            "when": {
                "outcome": ["VALID"],
                "level": ["GREEN", "NO_ABNORMALITY"],
                "area": ["HIGH"],
                "category": ["SPECIAL"],
                "place": ["STATION", "AIRPORT", "PASSENGER_STATION", "FERRY"],
            },
            "decision": "FURTHER_CHECK",
            **_REMEDY,
        },
        {
            "id": "N-PASS-1",
            "when": {"outcome": ["VALID"], "level": ["GREEN", "NO_ABNORMALITY"]},
            "decision": "PASS",
        },
        {
            "id": "N-HOSPITAL-1",
            "when": {"outcome": ["VALID"], "place": ["HOSPITAL"]},
            "decision": "FURTHER_CHECK",
            "remedy": "The emergency route is open to everybody.",
            "remedy_zh": "急诊通道对所有人开放。",
        },
        {
            "id": "N-CAUTION-1",
            "when": {"outcome": ["VALID"], "level": ["YELLOW", "PENDING"]},
            "decision": "FURTHER_CHECK",
            **_REMEDY,
        },
        {
            "id": "N-RED-1",
            "when": {"outcome": ["VALID"], "level": ["RED"], "area": ["MEDIUM", "HIGH"]},
            "decision": "REFUSE",
            **_REMEDY,
        },
        {
            "id": "N-RED-2",
            "when": {"outcome": ["VALID"], "level": ["RED"], "category": ["GENERAL"]},
            "decision": "REFUSE",
            **_REMEDY,
        },
        {
            "id": "N-RED-3",
            "when": {"outcome": ["VALID"], "level": ["RED"]},
            "decision": "FURTHER_CHECK",
            **_REMEDY,
        },
        {"id": "N-LAST-1", "decision": "UNDECIDED", **_REMEDY},
    ],
}


def format_2(**changes: Any) -> dict[str, Any]:
    """The file as JSON data, with these fields of its policy changed."""
    return {"format": "healthcode/policy/2", "policies": [{**copy.deepcopy(_POLICY), **changes}]}


def format_2_book(**changes: Any) -> PolicyBook:
    """The book decoded from `format_2`."""
    return decode_policy(json.dumps(format_2(**changes)).encode())
