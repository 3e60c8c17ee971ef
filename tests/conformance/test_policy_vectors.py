"""Levels, decisions and checks say what tests/vectors/policy says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from healthcode.clock import parse_rfc3339, rfc3339
from healthcode.errors import DecodeError
from healthcode.policy.area import decode_areas
from healthcode.policy.book import Policy
from healthcode.policy.book_file import decode_policy
from healthcode.policy.decide import Facts
from healthcode.policy.levels.derive import derive
from healthcode.policy.levels.evidence import Evidence, EvidenceKind, EvidenceState, Finding, TestMethod
from healthcode.policy.requirement import requirement
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Outcome, PersonCategory, PlaceType
from healthcode.verification.context import CheckContext
from healthcode.wire.claims import Level

FOLDER = Path(__file__).parent.parent / "vectors" / "policy"
# A1's hard cases, by words of the names of vectors
HARD_CASES = (
    "cleared-at-the-edge-of-not-before-days",
    "stay-that-goes-on-by-revisions",
    "stays-of-59-minutes-48-times",
    "high-in-the-last-minute",
    "held-revision-over-an-active-one",
    "a-lapsed-ground-under-a-longer-policy",
    "a-clock-set-back",
)


def load(name: str) -> Any:
    return json.loads((FOLDER / name).read_bytes())


BOOK = decode_policy((FOLDER / "policy.json").read_bytes())
CASES = load("levels.json")["levels"]


def policy_at(now: int) -> Policy:
    return BOOK.in_force(now)


def evidence(row: dict[str, Any]) -> Evidence:
    """An item of a vector; a stay is observed when it ends."""
    at = {name: parse_rfc3339(row[name]) for name in ("observed_at", "from", "to", "until") if name in row}
    observed_at = at.get("observed_at", at.get("to"))
    assert observed_at is not None
    return Evidence(
        source=row["source"],
        record=row["record"],
        revision=row["revision"],
        kind=EvidenceKind(row["kind"]),
        observed_at=observed_at,
        known_at=0,
        finding=Finding(row["finding"]) if "finding" in row else None,
        method=TestMethod(row["method"]) if "method" in row else None,
        area=row.get("area", ""),
        stay_from=at.get("from"),
        stay_to=at.get("to"),
        until=at.get("until"),
        instrument=row.get("instrument", ""),
        port_of_entry=row.get("port_of_entry", ""),
        reason=row.get("reason"),
        state=EvidenceState(row["state"]),
    )


def time_or_none(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)


@pytest.mark.parametrize("row", CASES, ids=lambda row: row["name"])
def test_levels(row: dict[str, Any]) -> None:
    """Each history gives the whole answer of its vector, at each of its times, in whatever order."""
    items = [evidence(each) for each in row["evidence"]]
    areas = decode_areas((FOLDER / row["areas"]).read_bytes())
    for answer in row["answers"]:
        now = parse_rfc3339(answer["now"])
        policy = policy_at(now)
        assert policy.version == answer["policy_version"]
        assert policy.levels is not None
        found = derive(policy.levels, items, areas, now, participant=row["home"])
        assert found == derive(policy.levels, items[::-1], areas, now, participant=row["home"])
        assert found.level == answer["level"]
        assert time_or_none(found.next_change) == answer["next_change"]
        assert time_or_none(found.expires_cut) == answer["expires_cut"]
        decides = (None, None) if found.ground is None else (found.ground.rule, found.ground.evidence.record)
        assert decides == (answer["rule"], answer["record"])
        grounds = [
            {
                "rule": each.rule,
                "level": each.level,
                "reason": each.reason,
                "source": each.evidence.source,
                "record": each.evidence.record,
                "starts": rfc3339(each.starts),
                "ends": rfc3339(each.ends),
                "cleared": each.cleared,
            }
            for each in found.grounds
        ]
        assert grounds == answer["grounds"]


def test_there_is_a_vector_for_each_level_rule_and_each_hard_case() -> None:
    """Each rule decides somewhere, each kind of evidence occurs, and no two vectors have one name."""
    names = [row["name"] for row in CASES]
    assert len(set(names)) == len(names)
    rules = {rule.id for policy in BOOK.policies if policy.levels for rule in policy.levels.rules}
    assert len(rules) == 15
    assert {answer["rule"] for row in CASES for answer in row["answers"]} >= rules | {"migrated"}
    assert {each["kind"] for row in CASES for each in row["evidence"]} == set(EvidenceKind)
    assert {each["state"] for row in CASES for each in row["evidence"]} == set(EvidenceState)
    for hard in HARD_CASES:
        assert any(hard in name for name in names), hard
    # an item never gives two grounds
    for row in CASES:
        for answer in row["answers"]:
            records = [(each["source"], each["record"]) for each in answer["grounds"]]
            assert len(set(records)) == len(records)


def test_decisions() -> None:
    """Place, area and category decide as the table says, and each of them matters somewhere."""
    content = load("decisions.json")
    now = parse_rfc3339(content["now"])
    areas = decode_areas((FOLDER / content["areas"]).read_bytes())
    decided: dict[tuple[str, ...], tuple[str, str]] = {}
    for outcome, level, tier, place, area, category, decision, rule in content["rows"]:
        context = CheckContext.of(place, area, category)
        risk = areas.risk(area, now) if area else None
        facts = Facts(
            Outcome(outcome),
            Level(level),
            TrustTier(tier),
            context.place_type,
            risk,
            context.person_category,
        )
        ruling = policy_at(now).decide(facts)
        assert (ruling.decision, ruling.rule_id) == (decision, rule)
        decided[outcome, level, place, area, category] = (decision, rule)
    # R4: GREEN and NO_ABNORMALITY never differ
    for (outcome, level, *where), found in decided.items():
        if level == "GREEN":
            assert decided[outcome, "NO_ABNORMALITY", *where] == found
    for place in (2, 3, 4):
        others: dict[tuple[str, ...], set[tuple[str, str]]] = {}
        for facts_of, found in decided.items():
            others.setdefault((*facts_of[:place], *facts_of[place + 1 :]), set()).add(found)
        assert any(len(found) > 1 for found in others.values())


def test_requirements() -> None:
    """The first row of `checks` answers; a place that is not known, or areas that have expired, waive nothing."""
    content = load("requirements.json")
    now = parse_rfc3339(content["now"])
    areas = decode_areas((FOLDER / content["areas"]).read_bytes())
    answers = set()
    for place, area, category, state, required, rule in content["rows"]:
        found = requirement(
            policy_at(now),
            PlaceType(place) if place in set(PlaceType) else None,
            area,
            PersonCategory(category or "GENERAL") if category in {*PersonCategory, ""} else None,
            areas,
            now,
            areas_expire=now + 1 if state == "current" else now,
        )
        assert (found.required, found.rule) == (required, rule)
        answers.add(required)
    assert answers == {"CHECK", "CHECK_NOT_REQUIRED"}


@pytest.mark.parametrize("row", load("unknown_words.json")["policies"], ids=lambda row: row["name"])
def test_unknown_words(row: dict[str, Any]) -> None:
    """A rule that cannot be understood is left out, and the rest of the file is used."""
    (policy,) = decode_policy(row["file"].encode()).policies
    if row["level_rules"] is None:
        assert (policy.levels, policy.format) == (None, 1)
        return
    assert policy.levels is not None
    assert [rule.id for rule in policy.levels.rules] == row["level_rules"]
    assert list(policy.levels.unknown) == row["left_out"]
    for home, level in row["without_evidence"].items():
        assert policy.levels.without_evidence(home) == level


@pytest.mark.parametrize(
    ("kind", "row"),
    [(kind, row) for kind, rows in load("malformed.json").items() for row in rows],
    ids=lambda each: each if isinstance(each, str) else each["name"],
)
def test_malformed_files(kind: str, row: dict[str, str]) -> None:
    """Each is refused with its word."""
    decode = {"policies": decode_policy, "areas": decode_areas}[kind]
    with pytest.raises(DecodeError, match=re.escape(row["detail"])):
        decode(row["file"].encode())
