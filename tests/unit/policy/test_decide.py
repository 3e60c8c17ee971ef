"""The decision function."""

from __future__ import annotations

import pytest

from healthcode.policy.book import PolicyBook
from healthcode.policy.decide import Facts
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import OUTAGES, Decision, Outcome, PersonCategory, PlaceType, RiskLevel
from healthcode.wire.claims import Level
from tests.unit.policy.policies import NOW, book, every_fact, facts
from tests.world.level_rules import format_2_book


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


@pytest.mark.parametrize("policies", [book(), format_2_book()], ids=["national", "format 2"])
def test_no_abnormality_is_green_in_every_decision(policies: PolicyBook) -> None:
    """R4: the national platform's NO_ABNORMALITY gets the very ruling that a GREEN gets."""
    policy = policies.in_force(NOW)
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
