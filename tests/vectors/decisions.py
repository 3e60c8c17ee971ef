"""Vectors of the policy beside levels: decisions by place, area and category, checks, unknown words, broken files."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from healthcode.errors import DecodeError
from healthcode.policy.area import decode_areas
from healthcode.policy.book_file import decode_policy
from healthcode.policy.decide import Facts
from healthcode.policy.requirement import requirement
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Outcome, PersonCategory, PlaceType
from healthcode.verification.context import CheckContext
from healthcode.wire.claims import Level
from tests.vectors.levels import AREAS, ENDED, HIGH, LOW, MEDIUM, NOW, UNLISTED, book

PLACES = ("STATION", "HOSPITAL", "PARK", "OTHER", "", "SPACEPORT")
AREA_CODES = (HIGH, MEDIUM, LOW, ENDED, UNLISTED, "")
CATEGORIES = ("GENERAL", "SPECIAL", "", "MARTIAN")


def decisions() -> list[list[str | None]]:
    """(outcome, level, tier, place, area code, category, decision, rule) at NOW, by words as a caller sends them."""
    policy = book().in_force(NOW)
    rows: list[list[str | None]] = []
    valid = itertools.product([Outcome.VALID], Level, PLACES, AREA_CODES, CATEGORIES)
    other = itertools.product(set(Outcome) - {Outcome.VALID}, [Level.RED], ["HOSPITAL"], [HIGH], ["SPECIAL"])
    for outcome, level, place, area, category in [*valid, *sorted(other)]:
        context = CheckContext.of(place, area, category)
        risk = AREAS.risk(area, NOW) if area else None
        ruling = policy.decide(
            Facts(outcome, level, TrustTier.FRESH, context.place_type, risk, context.person_category)
        )
        rows.append([outcome, level, "FRESH", place, area, category, ruling.decision, ruling.rule_id])
    return rows


def requirements() -> list[list[str | None]]:
    """(place, area code, category, whether the areas have expired, requirement, rule) at NOW."""
    policy = book().in_force(NOW)
    rows: list[list[str | None]] = []
    for place, area, category, areas in itertools.product(
        PLACES, AREA_CODES, CATEGORIES, ("current", "expired")
    ):
        known_place = PlaceType(place) if place in PlaceType.__members__ else None
        known_category = PersonCategory.__members__.get(category or "GENERAL")
        expires = NOW + (1 if areas == "current" else 0)
        found = requirement(policy, known_place, area, known_category, AREAS, NOW, areas_expire=expires)
        rows.append([place, area, category, areas, found.required, found.rule])
    return rows


_STAY: dict[str, Any] = {
    "id": "L-A7-1",
    "level": "RED",
    "reason": "A7",
    "when": {"kind": "AREA_STAY", "risk": ["HIGH"], "stay_minutes_at_least": 60},
    "lasts_days": 14,
}
_LAST: dict[str, Any] = {"id": "N-1", "decision": "UNDECIDED", "remedy": "Ask."}


def _policy(name: str = "healthcode/policy/2", **changes: Any) -> str:
    """The smallest policy file, with these fields changed."""
    policy: dict[str, Any] = {
        "version": "27.1",
        "effective_from": "2027-01-01T00:00:00Z",
        "skew_seconds": 300,
        "max_validity_seconds": {"LIVE": 3600, "PAPER": 1_209_600},
        "freshness": {"default": {"fresh_seconds": 900, "aging_seconds": 86_400}},
        "reuse_seconds": 300,
        "area_default": "LOW",
        "lookback_days": 30,
        "levels": [_STAY],
        "places": [_LAST],
    }
    kept = {field: value for field, value in (policy | changes).items() if value is not None}
    return json.dumps({"format": name, "policies": [kept]}, ensure_ascii=False, separators=(",", ":"))


def _areas(*intervals: dict[str, Any], code: str = HIGH, name: str = "healthcode/areas/2") -> str:
    """An areas file with one area."""
    written = {"format": name, "as_of": "2026-11-21T08:00:00Z", "areas": {code: intervals}}
    return json.dumps(written, separators=(",", ":"))


def unknown_words() -> list[dict[str, Any]]:
    """Files of a somewhat newer writer: which level rules are left out, which stay, and what no evidence means."""
    changes: dict[str, dict[str, Any]] = {
        "level": {"level": "ORANGE"},
        "level-without-a-colour": {"level": "GREEN"},
        "reason": {"reason": "C1"},
        "kind": {"when": {"kind": "RUMOUR"}},
        "risk": {"when": {"kind": "AREA_STAY", "risk": ["PURPLE"]}},
        "risk-beside-a-known-one": {"when": {"kind": "AREA_STAY", "risk": ["HIGH", "PURPLE"]}},
        "condition": {"when": {"kind": "AREA_STAY", "season": ["WINTER"]}},
        "need": {"needs": ["photograph"]},
        "clearing": {"cleared_by": {"negative_tests": 1, "apart_hours": 24, "doses": 3}},
        "field": {"colour": "#f00"},
    }
    files = {name: _policy(levels=[_STAY | change]) for name, change in changes.items()}
    files["no-evidence"] = _policy(no_evidence={"00": "AMBER", "*": "RED"})
    files["policy-without-levels"] = _policy(levels=None, lookback_days=None)
    rows = []
    for name, file in files.items():
        (policy,) = decode_policy(file.encode()).policies
        levels = policy.levels
        rows.append(
            {
                "name": name,
                "file": file,
                "level_rules": None if levels is None else [rule.id for rule in levels.rules],
                "left_out": None if levels is None else list(levels.unknown),
                "without_evidence": levels and {code: levels.without_evidence(code) for code in ("00", "31")},
            }
        )
    return rows


def _broken_policies() -> Iterator[tuple[str, str, str]]:
    yield "format", _policy("healthcode/policies/2"), "policy.format"
    yield "level-rules-empty", _policy(levels=[]), "document.field"
    yield "level-rule-id", _policy(levels=[_STAY | {"id": "A7"}]), "document.field"
    yield "level-rule-without-end", _policy(levels=[_STAY | {"lasts_days": 0}]), "document.field"
    yield "level-rule-twice", _policy(levels=[_STAY, _STAY]), "policy.level"
    yield "levels-without-lookback", _policy(lookback_days=None), "policy.level"
    yield "lookback-of-no-day", _policy(lookback_days=0), "document.field"
    yield (
        "clearing-by-no-test",
        _policy(levels=[_STAY | {"cleared_by": {"negative_tests": 0, "apart_hours": 24}}]),
        "document.field",
    )
    yield "holds-without-a-limit", _policy(holds={"per_hour": {"source": 20}}), "document.field"
    yield "check-twice", _policy(checks=[{"id": "C-1", "requirement": "CHECK"}] * 2), "policy.rule"
    yield "last-place-with-a-condition", _policy(places=[_LAST | {"when": {"level": ["RED"]}}]), "policy.rule"
    yield (
        "last-place-with-an-unknown-condition",
        _policy(places=[_LAST | {"when": {"moon": ["FULL"]}}]),
        "policy.rule",
    )
    yield "refusal-without-remedy", _policy(places=[{"id": "N-1", "decision": "REFUSE"}]), "policy.rule"
    yield "area-default", _policy(area_default="NONE"), "policy.area_default"
    yield "validity", _policy(max_validity_seconds={"LIVE": 3600}), "policy.validity"


def _broken_areas() -> Iterator[tuple[str, str, str]]:
    since = {"from": "2026-11-20T00:00:00Z"}
    yield "format", _areas(name="healthcode/area/2"), "areas.format"
    yield "code-of-a-province", _areas(code="31"), "areas.code"
    yield "code-in-wide-digits", _areas(code="３１０１１５"), "areas.code"
    yield "interval-without-risk", _areas(since), "document.field"
    yield "interval-without-from", _areas({"risk": "HIGH"}), "document.field"
    yield "interval-from-a-day", _areas({"risk": "HIGH", "from": "2026-11-20"}), "document.field"
    yield (
        "format-1-entry-in-format-2",
        json.dumps(
            {"format": "healthcode/areas/2", "as_of": "2026-11-21T08:00:00Z", "areas": {HIGH: "HIGH"}}
        ),
        "document.field",
    )


def malformed() -> dict[str, list[dict[str, str]]]:
    """Files that no reader may use, each with the word to refuse it with."""
    return {
        "policies": [_refused(decode_policy, *row) for row in _broken_policies()],
        "areas": [_refused(decode_areas, *row) for row in _broken_areas()],
    }


def _refused(decode: Any, name: str, file: str, detail: str) -> dict[str, str]:
    try:
        decode(file.encode())
    except DecodeError as error:
        if error.detail == detail:
            return {"name": name, "file": file, "detail": detail}
        raise RuntimeError(f"{name} is refused with {error.detail}, not {detail}") from error
    raise RuntimeError(f"{name} is not refused")
