"""The policy book and the decision function."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from healthcode.clock import parse_rfc3339
from healthcode.errors import DecodeError, InvalidInputError
from healthcode.policy.book import (
    MIN_AGING_SECONDS,
    NOTICE_SECONDS,
    PolicyBook,
    check_freshness,
    check_notice,
)
from healthcode.policy.book_file import decode_policy, default_policy_bytes
from healthcode.policy.decide import Facts
from healthcode.policy.tier import Freshness, TrustTier
from healthcode.policy.words import OUTAGES, Decision, Outcome, PersonCategory, PlaceType, RiskLevel
from healthcode.wire.claims import Level

NOW = parse_rfc3339("2026-11-21T08:00:00Z")


def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(default_policy_bytes())
    return loaded


def book(change: dict[str, Any] | None = None, **fields: Any) -> PolicyBook:
    written = change or document()
    written["policies"][0].update(fields)
    return decode_policy(json.dumps(written).encode())


def facts(outcome: Outcome = Outcome.VALID, level: Level | None = Level.GREEN, **changes: Any) -> Facts:
    base = Facts(outcome, level, TrustTier.FRESH, PlaceType.OTHER, None, PersonCategory.GENERAL)
    return base._replace(**changes)


def every_fact() -> list[Facts]:
    return [
        Facts(*row)
        for row in itertools.product(
            Outcome, [None, *Level], TrustTier, PlaceType, [None, *RiskLevel], PersonCategory
        )
    ]


def test_the_default_keeps_the_promises_for_every_fact() -> None:
    """Whatever the facts: only VALID passes, an outage never refuses, all else has a remedy."""
    policy = book().in_force(NOW)
    for fact in every_fact():
        ruling = policy.decide(fact)
        if ruling.decision in {Decision.PASS, Decision.CHECK_NOT_REQUIRED}:
            assert fact.outcome is Outcome.VALID
            assert ruling.remedy is None
        else:
            assert ruling.remedy
        if fact.outcome in OUTAGES:
            assert ruling.decision is Decision.UNDECIDED
        assert not any(word.startswith("POLICY_") for word in ruling.warnings)


def test_no_abnormality_is_green_in_every_decision() -> None:
    """R4: the national platform's NO_ABNORMALITY gets the very ruling that a GREEN gets."""
    policy = book().in_force(NOW)
    for fact in every_fact():
        if fact.level is Level.GREEN:
            assert policy.decide(fact) == policy.decide(fact._replace(level=Level.NO_ABNORMALITY))


@pytest.mark.parametrize(
    ("fact", "decision"),
    [
        (facts(), Decision.PASS),
        (facts(tier=TrustTier.AGING), Decision.PASS),
        (facts(level=Level.YELLOW), Decision.FURTHER_CHECK),
        (facts(level=Level.PENDING), Decision.FURTHER_CHECK),
        (facts(level=Level.RED), Decision.REFUSE),
        (facts(Outcome.REVOKED), Decision.REFUSE),
        (facts(Outcome.EXPIRED), Decision.REFUSE),
        (facts(Outcome.EXPIRED, tier=TrustTier.STALE), Decision.UNDECIDED),
        (facts(Outcome.BAD_SIGNATURE, None, tier=TrustTier.STALE), Decision.REFUSE),
        (facts(Outcome.UNKNOWN_KEY, None), Decision.REFUSE),
        (facts(Outcome.UNKNOWN_KEY, None, tier=TrustTier.AGING), Decision.UNDECIDED),
        (facts(Outcome.HOLDER_MISMATCH), Decision.REFUSE),
        (facts(Outcome.NOT_FOUND), Decision.REFUSE),
        (facts(Outcome.MALFORMED, None), Decision.REFUSE),
        (facts(level=Level.UNKNOWN), Decision.UNDECIDED),
    ],
)
def test_the_default_decides_as_the_domain_says(fact: Facts, decision: Decision) -> None:
    """The rows of the national default that people meet."""
    assert book().in_force(NOW).decide(fact).decision is decision


def test_a_policy_cannot_pass_what_is_not_valid_nor_refuse_an_outage() -> None:
    """A careless table is overruled, and the verdict says so."""
    pass_all = book(places=[{"id": "X", "decision": "PASS"}]).in_force(NOW)
    for outcome in set(Outcome) - {Outcome.VALID}:
        ruling = pass_all.decide(facts(outcome))
        assert ruling.decision is Decision.UNDECIDED
        assert ruling.warnings == ("POLICY_PASSES_INVALID",)
        assert ruling.remedy
    assert pass_all.decide(facts(level=Level.UNKNOWN)).warnings == ("UNKNOWN_LEVEL",)
    refuse_all = book(places=[{"id": "X", "decision": "REFUSE", "remedy": "Go away."}]).in_force(NOW)
    for outcome in Outcome:
        expected = Decision.UNDECIDED if outcome in OUTAGES else Decision.REFUSE
        assert refuse_all.decide(facts(outcome)).decision is expected


def test_the_first_rule_that_holds_decides() -> None:
    """Place, area and category are looked at, an unlisted area as the default, in the order of the rows."""
    rules = [
        {"id": "HIGH", "when": {"area": ["HIGH"]}, "decision": "FURTHER_CHECK", "remedy": "Test."},
        {
            "id": "PARK",
            "when": {"place": ["PARK"], "category": ["GENERAL"]},
            "decision": "CHECK_NOT_REQUIRED",
        },
        {"id": "LAST", "decision": "UNDECIDED", "remedy": "Ask."},
    ]
    policy = book(places=rules).in_force(NOW)
    assert policy.decide(facts(place=PlaceType.PARK)).rule_id == "PARK"
    assert policy.decide(facts(place=PlaceType.PARK, area=RiskLevel.HIGH)).rule_id == "HIGH"
    assert policy.decide(facts(place=PlaceType.PARK, category=PersonCategory.SPECIAL)).rule_id == "LAST"
    strict = book(places=rules, area_default="HIGH").in_force(NOW)
    assert strict.decide(facts(place=PlaceType.PARK)).rule_id == "HIGH"
    assert strict.decide(facts(place=PlaceType.PARK, area=RiskLevel.LOW)).rule_id == "PARK"


def test_words_of_a_newer_version_do_no_harm() -> None:
    """An unknown word never matches, an unknown decision is UNDECIDED and flagged, unknown fields are passed over."""
    rules = [
        {"id": "NEW", "when": {"place": ["SPACEPORT"]}, "decision": "PASS"},
        {"id": "LAST", "decision": "SALUTE", "remedy": "Ask.", "colour": "blue"},
    ]
    ruling = book(places=rules, moon_phase="full").in_force(NOW).decide(facts())
    assert (ruling.rule_id, ruling.decision, ruling.warnings) == (
        "LAST",
        Decision.UNDECIDED,
        ("UNKNOWN_DECISION",),
    )


def test_thresholds_are_by_place() -> None:
    """A place without thresholds of its own takes the default."""
    policy = book().in_force(NOW)
    assert policy.freshness_at(PlaceType.OTHER) == Freshness(900, 86_400)
    assert policy.freshness_at(PlaceType.HOSPITAL) == Freshness(900, 43_200)
    tiers = [Freshness(900, 86_400).tier(age) for age in (-5, 900, 901, 86_400, 86_401)]
    assert tiers == [TrustTier.FRESH, TrustTier.FRESH, TrustTier.AGING, TrustTier.AGING, TrustTier.STALE]


def two_policies(second_from: str, **second: Any) -> dict[str, Any]:
    written = document()
    written["policies"].append(
        {**written["policies"][0], "version": "2026.2", "effective_from": second_from, **second}
    )
    return written


def test_the_latest_policy_that_has_begun_rules() -> None:
    """The switch is at the second of effective_from, and before the first begins it rules already."""
    both = book(two_policies("2026-12-01T00:00:00Z"))
    switch = parse_rfc3339("2026-12-01T00:00:00Z")
    assert both.in_force(switch - 1).version == "2026.1"
    assert both.in_force(switch).version == "2026.2"
    assert [policy.version for policy in both.upcoming(NOW)] == ["2026.2"]
    assert both.in_force(0).version == "2026.1"


def test_a_new_policy_needs_notice_or_an_emergency() -> None:
    """Less than 48 hours ahead is refused, unless it is flagged."""
    now = parse_rfc3339("2026-12-01T00:00:00Z") - NOTICE_SECONDS
    check_notice(book(), book(two_policies("2026-12-01T00:00:00Z")), now)
    with pytest.raises(InvalidInputError, match="48 hours"):
        check_notice(book(), book(two_policies("2026-12-01T00:00:00Z")), now + 1)
    check_notice(book(), book(two_policies("2026-12-01T00:00:00Z", emergency=True)), now + 1)


def test_a_policy_that_makes_every_node_stale_between_two_signatures_is_refused() -> None:
    """A zero that is missing in an emergency: refused by name, place and all; what stands already is let be."""
    for freshness in (
        {"default": {"fresh_seconds": 60, "aging_seconds": 90}},
        {
            "default": {"fresh_seconds": 900, "aging_seconds": 90000},
            "places": {"HOSPITAL": {"fresh_seconds": 60, "aging_seconds": MIN_AGING_SECONDS - 1}},
        },
    ):
        new = book(two_policies("2026-12-01T00:00:00Z", emergency=True, freshness=freshness))
        with pytest.raises(InvalidInputError, match=r"policy 2026\.2: aging_seconds"):
            check_freshness(book(), new)
        check_freshness(new, new)
    check_freshness(book(), book(two_policies("2026-12-01T00:00:00Z", emergency=True)))


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"skew_seconds": -1}, "document.field"),
        ({"skew_seconds": "300"}, "document.field"),
        ({"effective_from": "2026-11-21"}, "document.field"),
        ({"effective_from": "1969-12-31T23:59:59Z"}, "document.field"),
        ({"effective_from": "9999-12-31T23:59:59-01:00"}, "document.field"),
        ({"effective_from": 5}, "document.field"),
        ({"max_validity_seconds": {"LIVE": 1}}, "policy.validity"),
        ({"max_validity_seconds": {"LIVE": 0, "PAPER": 1}}, "policy.validity"),
        ({"freshness": {"default": {"fresh_seconds": 9, "aging_seconds": 8}}}, "policy.freshness"),
        ({"area_default": "NICE"}, "policy.area_default"),
        ({"places": []}, "document.field"),
        ({"places": [{"id": "A", "when": {"level": ["RED"]}, "decision": "PASS"}]}, "policy.rule"),
        ({"places": [{"id": "A", "decision": "REFUSE"}]}, "policy.rule"),
        ({"places": [{"id": "A", "decision": "PASS"}, {"id": "A", "decision": "PASS"}]}, "policy.rule"),
    ],
)
def test_a_broken_policy_is_refused_by_name(change: dict[str, Any], detail: str) -> None:
    """Each rule of the document has its own word."""
    with pytest.raises(DecodeError) as caught:
        book(**change)
    assert caught.value.detail == detail


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b'{"format":"a","format":"b"}', "json.duplicate_key"),
        (b'{"format":NaN}', "json.number"),
        (b'{"format":' + b"9" * 30 + b"}", "json.number"),
        (b"\xff", "json.encoding"),
        (b'{"format":"\\ud800"}', "json.encoding"),
        (b"{", "json.syntax"),
        (b"[" * 100_000, "json.depth"),
        (b" " * (2**20 + 1), "json.too_large"),
        (b"[]", "document.field"),
        (default_policy_bytes().replace(b"healthcode/policy/1", b"healthcode/policy/9"), "policy.format"),
    ],
)
def test_a_hostile_document_is_refused_by_name(data: bytes, detail: str) -> None:
    """What is no strict JSON never reaches the rules."""
    with pytest.raises(DecodeError) as caught:
        decode_policy(data)
    assert caught.value.detail == detail


def test_two_policies_cannot_begin_at_once_nor_share_a_version() -> None:
    """Which one rules must never be in doubt."""
    written = two_policies(document()["policies"][0]["effective_from"])
    with pytest.raises(DecodeError, match=r"policy\.effective_from"):
        book(written)
    with pytest.raises(DecodeError, match=r"policy\.version"):
        book(two_policies("2026-12-01T00:00:00Z", version="2026.1"))
