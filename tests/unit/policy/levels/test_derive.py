"""The level of a holder from the evidence about them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from healthcode.policy.area import AreaRisk, RiskInterval
from healthcode.policy.levels.derive import MIGRATED_RULE, DerivedLevel, derive
from healthcode.policy.levels.evidence import (
    MIGRATED_SOURCE,
    Evidence,
    EvidenceKind,
    EvidenceState,
    Finding,
)
from healthcode.policy.levels.rules import LevelRules
from healthcode.policy.words import LevelReason, RiskLevel
from healthcode.wire.claims import Level
from tests.world.evidence_items import item, nucleic, stay
from tests.world.level_rules import format_2, format_2_book

NOW = 1_795_248_000
HOUR, DAY = 3600, 86_400
K, F = EvidenceKind, Finding
HIGH_AREA, MEDIUM_AREA, QUIET_AREA = "310115", "440106", "330106"
AREAS = AreaRisk(
    NOW,
    intervals={
        HIGH_AREA: (RiskInterval(RiskLevel.HIGH, NOW - 20 * DAY),),
        MEDIUM_AREA: (RiskInterval(RiskLevel.MEDIUM, NOW - 20 * DAY),),
    },
)


def rules(**changes: Any) -> LevelRules:
    found = format_2_book(**changes).policies[0].levels
    assert found is not None
    return found


RULES = rules()


def derived(*evidence: Evidence, at: int = NOW, home: str = "31", by: LevelRules = RULES) -> DerivedLevel:
    return derive(by, evidence, AREAS, at, participant=home)


def rule_of(found: DerivedLevel) -> str | None:
    return None if found.ground is None else found.ground.rule


@pytest.mark.parametrize(
    ("evidence", "rule"),
    [
        (item(K.PUSH, NOW, F.RED), "L-A1-1"),
        (item(K.CASE_REPORT, NOW, F.ASYMPTOMATIC), "L-A2-1"),
        (item(K.CASE_REPORT, NOW, F.SUSPECTED), "L-A3-1"),
        (item(K.CONTACT, NOW, F.CLOSE), "L-A4-1"),
        (item(K.CONTACT, NOW, F.SECOND), "L-A4-2"),
        (item(K.QUARANTINE_ORDER, NOW, F.ENTRANT, port_of_entry="PVG", instrument="No. 1"), "L-A5-1"),
        (item(K.QUARANTINE_ORDER, NOW, F.RETURNEE, instrument="No. 1"), "L-A6-1"),
        (stay(HIGH_AREA, NOW - HOUR, NOW), "L-A7-1"),
        (item(K.ORDER, NOW, F.RED, instrument="No. 1", until=NOW + DAY), "L-A8-1"),
        (item(K.PUSH, NOW, F.YELLOW), "L-B1-1"),
        (item(K.CASE_REPORT, NOW, F.DISCHARGED), "L-B2-1"),
        (item(K.CONTACT, NOW, F.OVERLAP), "L-B3-1"),
        (stay(MEDIUM_AREA, NOW - HOUR, NOW), "L-B4-1"),
        (item(K.CONTACT, NOW, F.CONVEYANCE), "L-B5-1"),
        (item(K.ORDER, NOW, F.YELLOW, instrument="No. 1", until=NOW + DAY), "L-B6-1"),
    ],
)
def test_each_reason_has_its_ground(evidence: Evidence, rule: str) -> None:
    """One item gives one ground, of the rule that takes its kind and finding; it starts when the fact was so."""
    found = derived(evidence)
    assert found.ground is not None
    assert (found.ground.rule, f"L-{found.ground.reason}") == (rule, rule[:-2])
    assert found.level is (Level.RED if rule[2] == "A" else Level.YELLOW)
    assert found.grounds == (found.ground,)
    assert (found.ground.starts, found.ground.evidence) == (NOW, evidence)
    assert found.next_change == found.ground.ends


@pytest.mark.parametrize(
    "evidence",
    [
        nucleic(NOW, F.POSITIVE),
        item(K.VACCINATION, NOW),
        stay(QUIET_AREA, NOW - 5 * HOUR, NOW),
        stay(HIGH_AREA, NOW - HOUR + 1, NOW),
        stay(HIGH_AREA, NOW, NOW - HOUR),
        stay(HIGH_AREA, NOW - HOUR, NOW, stay_from=None),
        item(K.QUARANTINE_ORDER, NOW, F.ENTRANT, instrument="No. 1"),
        item(K.QUARANTINE_ORDER, NOW, F.ENTRANT, port_of_entry="PVG", instrument=" "),
        item(K.ORDER, NOW, F.YELLOW, instrument="No. 1"),
        item(K.ORDER, NOW, F.YELLOW, until=NOW + DAY),
        item(K.ORDER, NOW, F.YELLOW, instrument="No. 1", until=NOW),
        item(K.CONTACT, NOW),
    ],
)
def test_what_no_rule_takes_colours_nobody(evidence: Evidence) -> None:
    """A test alone, a quiet area, a minute too few, a missing instrument or end: GREEN, without a ground."""
    assert derived(evidence) == DerivedLevel(Level.GREEN, None, None)


def test_a_ground_is_active_from_its_start_to_before_its_end() -> None:
    """[start, end): 14 days are 14 × 86,400 s, and each edge is known in advance."""
    contact = item(K.CONTACT, NOW, F.CLOSE)
    end = NOW + 14 * DAY
    assert [derived(contact, at=at).level for at in (NOW - 1, NOW, end - 1, end)] == [
        Level.GREEN,
        Level.RED,
        Level.RED,
        Level.GREEN,
    ]
    assert [derived(contact, at=at).next_change for at in (NOW - 1, NOW, end - 1, end)] == [
        NOW,
        end,
        end,
        None,
    ]


def test_an_item_that_states_its_end_ends_then_but_a_stay_does_not() -> None:
    """The earlier of the rule's and the item's end; a stay ends its own time after it was left."""
    order = item(K.ORDER, NOW, F.RED, instrument="No. 1", until=NOW + 60)
    assert derived(order).next_change == NOW + 60
    assert derived(order._replace(until=NOW + 99 * DAY)).next_change == NOW + 14 * DAY
    left = stay(HIGH_AREA, NOW - 5 * HOUR, NOW, until=NOW + 60)
    found = derived(left).ground
    assert found is not None
    assert (found.starts, found.ends) == (NOW - 4 * HOUR, NOW + 14 * DAY)


def test_fifty_nine_minutes_many_times_are_no_stay_of_an_hour() -> None:
    """Each stay is an item of its own: only its source can join its records."""
    many = [stay(HIGH_AREA, NOW - n * HOUR, NOW - n * HOUR + 59 * 60) for n in range(1, 49)]
    assert derived(*many).level is Level.GREEN
    joined = stay(HIGH_AREA, NOW - 48 * HOUR, NOW - 60, revision=2)
    assert derived(*many, joined).level is Level.RED


def test_a_stay_that_goes_on_by_revisions_keeps_its_start_and_moves_its_end() -> None:
    """The same record with a higher revision replaces the lower one."""
    first = stay(HIGH_AREA, NOW - 2 * HOUR, NOW - HOUR)
    second = stay(HIGH_AREA, NOW - 2 * HOUR, NOW, revision=2)
    for order in itertools.permutations([first, second]):
        found = derived(*order)
        assert len(found.grounds) == 1
        assert (found.grounds[0].starts, found.grounds[0].ends) == (NOW - HOUR, NOW + 14 * DAY)


@pytest.mark.parametrize("state", [s for s in EvidenceState if s not in {"ACTIVE", "WITHDRAWN"}])
def test_a_revision_that_does_not_count_changes_nothing(state: EvidenceState) -> None:
    """HELD, REJECTED, EXPIRED, SUSPENDED: the ACTIVE revision below stays, and alone it is as without it."""
    contact = item(K.CONTACT, NOW, F.OVERLAP, record="c")
    above = item(K.CONTACT, NOW, F.CLOSE, record="c", revision=2, state=state)
    assert rule_of(derived(contact, above)) == "L-B3-1"
    assert derived(above, home="00") == derived(home="00") == DerivedLevel(Level.PENDING, None, None)


def test_a_withdrawn_record_gives_no_ground_until_a_higher_revision_does() -> None:
    """Withdrawing is a revision, whenever it arrives."""
    contact = item(K.CONTACT, NOW, F.CLOSE, record="c")
    withdrawn = contact._replace(revision=2, state=EvidenceState.WITHDRAWN)
    back = contact._replace(revision=3)
    for order in itertools.permutations([contact, withdrawn]):
        assert derived(*order).level is Level.GREEN
    for three in itertools.permutations([contact, withdrawn, back]):
        assert derived(*three).level is Level.RED


def test_two_sources_may_use_one_record_id() -> None:
    """A record is a source's own."""
    one = item(K.CONTACT, NOW, F.CLOSE, record="7", source="a")
    other = item(K.CONTACT, NOW, F.OVERLAP, record="7", source="b", revision=9)
    assert len(derived(one, other).grounds) == 2


def test_the_worst_ground_decides_then_rule_order_then_the_later_start_then_the_record() -> None:
    """Whatever the order in which they came."""
    in_order = [
        item(K.PUSH, NOW - 5, F.RED),
        item(K.CONTACT, NOW - 1, F.CLOSE, record="b"),
        item(K.CONTACT, NOW - 2, F.CLOSE, record="a"),
        item(K.CONTACT, NOW - 2, F.CLOSE, record="b", source="source-2"),
        item(K.CONTACT, NOW, F.OVERLAP),
    ]
    for count in range(len(in_order)):
        for order in itertools.permutations(in_order[count:]):
            found = derived(*order)
            assert found.ground is not None
            assert found.ground.evidence == in_order[count]
            assert [each.evidence for each in found.grounds] == in_order[count:]


def test_negative_tests_clear_at_the_edge_of_the_first_possible_day() -> None:
    """L-A7-1: three negatives a day apart after the stay, and not before seven days after the start."""
    left = NOW - 10 * DAY
    lived = stay(HIGH_AREA, left - HOUR, left)
    negatives = [nucleic(left + n * DAY) for n in (1, 2, 3)]
    seventh = left + 7 * DAY
    found = derived(lived, *negatives, at=seventh - 1)
    assert (found.level, found.next_change) == (Level.RED, seventh)
    assert found.ground is not None
    assert found.ground.cleared
    assert derived(lived, *negatives, at=seventh).level is Level.GREEN
    assert derived(lived, *negatives[:2], at=seventh).level is Level.RED
    assert derived(lived, *negatives, nucleic(seventh - 1, F.POSITIVE), at=seventh).level is Level.RED
    late = [*negatives[:2], nucleic(left + 8 * DAY)]
    assert derived(lived, *late, at=left + 8 * DAY - 1).level is Level.RED
    assert derived(lived, *late, at=left + 8 * DAY).level is Level.GREEN


def test_a_negative_of_before_the_end_of_the_stay_clears_nothing() -> None:
    """Sampled while the person was still there."""
    left = NOW - 10 * DAY
    lived = stay(MEDIUM_AREA, left - 3 * DAY, left)
    early = [nucleic(left - 2 * DAY), nucleic(left - DAY), nucleic(left)]
    assert derived(lived, *early, at=left + DAY).level is Level.YELLOW
    assert derived(lived, *early, nucleic(left + DAY), nucleic(left + 2 * DAY)).level is Level.GREEN


def test_an_item_of_too_long_ago_is_not_looked_at() -> None:
    """At lookback_days it still counts, one second later it does not; a ground of a careless rule ends then too."""
    long = rules(
        lookback_days=1,
        levels=[{**each, "lasts_days": 14} for each in format_2()["policies"][0]["levels"]],
    )
    contact = item(K.CONTACT, NOW, F.CLOSE)
    assert derived(contact, at=NOW + DAY, by=long).level is Level.RED
    assert derived(contact, by=long).next_change == NOW + DAY + 1
    assert derived(contact, at=NOW + DAY + 1, by=long) == DerivedLevel(Level.GREEN, None, None)


def test_a_lapsed_ground_is_judged_by_the_policy_of_now() -> None:
    """Under a longer policy it is active again: the policy in force judges all evidence."""
    contact = item(K.CONTACT, NOW - 15 * DAY, F.CLOSE)
    assert derived(contact).level is Level.GREEN
    longer = rules(levels=[{**each, "lasts_days": 21} for each in format_2()["policies"][0]["levels"]])
    assert derived(contact, by=longer).level is Level.RED


def test_at_00_a_holder_without_evidence_is_pending_and_green_is_no_abnormality() -> None:
    """00 learns of evidence before it says anything, and forgets it after the last item's look-back."""
    test = nucleic(NOW - 2 * DAY)
    older = nucleic(NOW - 9 * DAY)
    forgotten = NOW + 28 * DAY + 1
    assert derived(home="00") == DerivedLevel(Level.PENDING, None, None)
    assert derived(test, older, home="00") == DerivedLevel(Level.NO_ABNORMALITY, None, forgotten)
    assert derived(test, older, home="00", at=forgotten - 1).level is Level.NO_ABNORMALITY
    assert derived(test, older, home="00", at=forgotten).level is Level.PENDING
    assert derived(test, older) == DerivedLevel(Level.GREEN, None, None)
    assert derived(home="31") == DerivedLevel(Level.GREEN, None, None)
    assert derived(item(K.CONTACT, NOW, F.CLOSE), home="00").level is Level.RED
    everywhere = rules(no_evidence={"00": "GREEN", "*": "NO_ABNORMALITY"})
    assert [derived(home=home, by=everywhere).level for home in ("00", "31")] == [
        Level.NO_ABNORMALITY,
        Level.GREEN,
    ]


@pytest.mark.parametrize(
    ("reason", "finding", "expected"),
    [
        ("A2", F.RED, LevelReason.A2),
        ("B3", F.YELLOW, LevelReason.B3),
        (None, F.RED, LevelReason.A8),
        ("Z9", F.YELLOW, LevelReason.B6),
    ],
)
def test_a_level_of_before_the_upgrade_goes_on_to_its_end(
    reason: str | None, finding: Finding, expected: LevelReason
) -> None:
    """It keeps its level and reason, needs no instrument, ends at its `until`, and without one after 14 days."""
    order = item(K.ORDER, NOW, finding, source=MIGRATED_SOURCE, reason=reason, until=NOW + 5 * DAY)
    found = derived(order).ground
    assert found is not None
    assert (found.rule, found.level, found.reason) == (MIGRATED_RULE, Level(finding), expected)
    assert (found.starts, found.ends) == (NOW, NOW + 5 * DAY)
    assert derived(order._replace(until=None)).next_change == NOW + 14 * DAY
    # a rule of the policy comes before it
    push = item(K.PUSH, NOW - 1, F(finding))
    assert rule_of(derived(order, push)) != MIGRATED_RULE


@pytest.mark.parametrize(
    ("evidence", "cut"),
    [
        ([], None),
        ([nucleic(NOW)], None),
        ([item(K.CONTACT, NOW + 60, F.CLOSE)], None),
        ([item(K.CONTACT, NOW, F.OVERLAP)], NOW + 14 * DAY),
        # a RED that ends before the YELLOW: the code says RED, so it ends with the RED
        (
            [
                item(K.ORDER, NOW, F.RED, instrument="1", until=NOW + 60),
                item(K.CONTACT, NOW, F.OVERLAP),
            ],
            NOW + 60,
        ),
        # one RED goes on where the other ends
        ([item(K.CONTACT, NOW, F.CLOSE), item(K.CONTACT, NOW - DAY, F.CLOSE)], NOW + 14 * DAY),
        ([item(K.CONTACT, NOW, F.SECOND), item(K.CONTACT, NOW + 7 * DAY, F.CLOSE)], NOW + 21 * DAY),
        ([item(K.CONTACT, NOW, F.SECOND), item(K.CONTACT, NOW + 7 * DAY + 1, F.CLOSE)], NOW + 7 * DAY),
    ],
)
def test_only_the_lapse_of_a_colour_cuts_the_expiry_of_codes(
    evidence: Sequence[Evidence], cut: int | None
) -> None:
    """A code ends when its RED or YELLOW lapses; what begins later, or a GREEN, cuts nothing."""
    assert derived(*evidence).expires_cut == cut
