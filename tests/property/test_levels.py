"""Levels from evidence: any history gives what the literal second implementation says, in whatever order it came."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from healthcode.policy.area import AreaRisk, RiskInterval
from healthcode.policy.levels.derive import DerivedLevel, derive
from healthcode.policy.levels.evidence import (
    FINDINGS,
    MIGRATED_SOURCE,
    Evidence,
    EvidenceKind,
    EvidenceState,
    TestMethod,
)
from healthcode.policy.levels.rules import SEVERITY, Clearing, LevelRule, LevelRules, Need
from healthcode.policy.words import LevelReason, RiskLevel
from healthcode.wire.claims import Level
from tests.property.levels_oracle import Oracle
from tests.world.evidence_items import stay

# seconds stand for days here, so that the oracle can walk through each of them
LAST, LOOKBACK = 40, 20
AREA = "310115"
K = EvidenceKind
TIME = st.integers(0, LAST)
COUNTING = st.sampled_from([EvidenceState.ACTIVE, EvidenceState.ACTIVE, *EvidenceState])


@st.composite
def clearings(draw: st.DrawFn) -> Clearing:
    return Clearing(draw(st.integers(1, 3)), draw(st.integers(0, 4)), draw(st.integers(0, 12)))


@st.composite
def policies(draw: st.DrawFn) -> LevelRules:
    """Level rules with words of every kind; they may overlap, and last longer than the look-back."""
    rules = []
    for number in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from([K.CONTACT, K.CASE_REPORT, K.QUARANTINE_ORDER, K.ORDER, K.AREA_STAY]))
        red = draw(st.booleans())
        stay = kind is K.AREA_STAY
        findings = sorted(FINDINGS[kind])
        rules.append(
            LevelRule(
                id=f"L-{number}",
                level=Level.RED if red else Level.YELLOW,
                reason=LevelReason.A8 if red else LevelReason.B6,
                kind=kind,
                lasts_seconds=draw(st.integers(1, 25)),
                findings=None if stay else frozenset(draw(st.sets(st.sampled_from(findings), min_size=1))),
                risks=draw(st.frozensets(st.sampled_from(RiskLevel), min_size=1)) if stay else None,
                stay_seconds=draw(st.integers(0, 8)) if stay else 0,
                needs=draw(st.frozensets(st.sampled_from(Need), max_size=1)),
                cleared_by=draw(st.none() | clearings()),
            )
        )
    return LevelRules(tuple(rules), LOOKBACK, {"00": Level.PENDING, "*": Level.GREEN})


@st.composite
def items(draw: st.DrawFn, record: str) -> Evidence:
    """One item. The identity is (source, record, revision), so no two items of a history have the same."""
    kind = draw(
        st.sampled_from([K.TEST, K.TEST, K.VACCINATION, K.CONTACT, K.CASE_REPORT, K.ORDER, K.AREA_STAY])
    )
    at = draw(TIME)
    values: dict[str, Any] = {
        "source": "s",
        "record": record,
        "revision": draw(st.integers(1, 3)),
        "kind": kind,
        "observed_at": at,
        "known_at": at,
        "finding": draw(st.sampled_from(sorted(FINDINGS[kind]))) if FINDINGS[kind] else None,
        "until": draw(st.none() | TIME),
        "instrument": draw(st.sampled_from(["", "No. 1"])),
        "state": draw(COUNTING),
    }
    if kind is K.TEST:
        values["method"] = draw(
            st.sampled_from([TestMethod.NUCLEIC, TestMethod.NUCLEIC, TestMethod.ANTIBODY])
        )
    if kind is K.AREA_STAY:
        values |= {"area": AREA, "stay_to": at, "stay_from": at - draw(st.integers(0, 15))}
    if kind is K.ORDER and draw(st.booleans()):
        values |= {"source": MIGRATED_SOURCE, "reason": draw(st.sampled_from(["A2", "B3", None]))}
    return Evidence(**values)


@st.composite
def histories(draw: st.DrawFn) -> list[Evidence]:
    found = [draw(items(draw(st.sampled_from("abcdef")))) for _ in range(draw(st.integers(0, 7)))]
    unique = {(each.source, each.record, each.revision): each for each in found}
    return list(unique.values())


@st.composite
def risks(draw: st.DrawFn) -> AreaRisk:
    """The history of one area, with gaps and overlaps."""
    found = [
        RiskInterval(draw(st.sampled_from(RiskLevel)), draw(TIME), draw(st.none() | TIME))
        for _ in range(draw(st.integers(0, 4)))
    ]
    order = [RiskLevel.HIGH, RiskLevel.MEDIUM, RiskLevel.LOW]
    return AreaRisk(0, intervals={AREA: tuple(sorted(found, key=lambda each: order.index(each.risk)))})


HOME = st.sampled_from(["00", "31"])
CASE = st.tuples(policies(), histories(), risks(), HOME)
Case = tuple[LevelRules, list[Evidence], AreaRisk, str]


def at(case: Case, now: int) -> DerivedLevel:
    rules, evidence, areas, home = case
    return derive(rules, evidence, areas, now, participant=home)


def decides(found: DerivedLevel) -> tuple[str, str, str] | None:
    ground = found.ground
    return None if ground is None else (ground.evidence.source, ground.evidence.record, ground.rule)


@given(CASE, st.integers(0, LAST + 25))
def test_the_literal_second_implementation_says_the_same(case: Case, now: int) -> None:
    """The level, the ground that decides, and every active ground, at any second."""
    found, expected = at(case, now), Oracle(*case).at(now)
    assert found.level is expected.level
    assert decides(found) == expected.decides
    active = {
        (each.evidence.source, each.evidence.record, each.rule)
        for each in found.grounds
        if each.starts <= now < each.ends
    }
    assert active == expected.active


@given(CASE, st.integers(0, LAST + 25))
def test_nothing_changes_before_next_change_and_there_something_does(case: Case, now: int) -> None:
    """Up to it every second says the same; at it a ground begins or ends, or 00 forgets its last item."""
    oracle, found = Oracle(*case), at(case, now)
    first = oracle.at(now)
    last = LAST + 50 if found.next_change is None else found.next_change
    if found.next_change is not None:
        assert found.next_change > now
    for second in range(now + 1, min(last, LAST + 50)):
        answer = oracle.at(second)
        assert (answer.level, answer.active) == (first.level, first.active)
        assert at(case, second).level is first.level
    if found.next_change is not None and found.next_change < LAST + 50:
        before, after = oracle.at(found.next_change - 1), oracle.at(found.next_change)
        forgets = case[3] == "00" and before.is_known and not after.is_known
        assert before.active != after.active or forgets


@given(CASE, TIME, st.randoms(use_true_random=False))
def test_the_order_of_arrival_never_matters_nor_does_twice(
    case: Case, now: int, shuffled: random.Random
) -> None:
    """Any permutation, and any item again, gives the very same answer."""
    rules, evidence, areas, home = case
    other = evidence + evidence[: len(evidence) // 2]
    shuffled.shuffle(other)
    assert at((rules, other, areas, home), now) == at(case, now)


@given(CASE, st.integers(0, LAST + 25))
def test_00_says_of_evidence_what_a_province_says(case: Case, now: int) -> None:
    """R4: the same grounds decide; NO_ABNORMALITY is GREEN, and only 00 without evidence is PENDING."""
    rules, evidence, areas, _ = case
    here, there = (derive(rules, evidence, areas, now, participant=home) for home in ("31", "00"))
    assert (here.ground, here.grounds, here.expires_cut) == (there.ground, there.grounds, there.expires_cut)
    if here.level is Level.GREEN:
        known = Oracle(rules, evidence, areas, "00").at(now).is_known
        assert there.level is (Level.NO_ABNORMALITY if known else Level.PENDING)
    else:
        assert here.level is there.level


@given(CASE, TIME, st.integers(1, 9))
def test_what_does_not_count_changes_nothing(case: Case, now: int, revision: int) -> None:
    """A higher revision that is HELD, REJECTED, EXPIRED or SUSPENDED is as none; a withdrawn one ends its record."""
    rules, evidence, areas, home = case
    assume(evidence)
    top = {"revision": 3 + revision}
    for state in set(EvidenceState) - {EvidenceState.ACTIVE, EvidenceState.WITHDRAWN}:
        waiting = [each._replace(state=state, **top) for each in evidence]
        assert at((rules, evidence + waiting, areas, home), now) == at(case, now)
    withdrawn = [each._replace(state=EvidenceState.WITHDRAWN, **top) for each in evidence[:1]]
    without = [
        each for each in evidence if (each.source, each.record) != (evidence[0].source, evidence[0].record)
    ]
    assert at((rules, evidence + withdrawn, areas, home), now) == at((rules, without, areas, home), now)


@given(CASE, st.integers(0, LAST + 25))
def test_a_code_is_cut_where_its_colour_lapses(case: Case, now: int) -> None:
    """Up to the cut the level is never better; at it, it is. A level without a ground cuts nothing."""
    found = at(case, now)
    if found.ground is None:
        assert found.expires_cut is None
        return
    assert found.expires_cut is not None
    assert found.expires_cut > now
    severity = SEVERITY[found.level]
    for second in range(now, min(found.expires_cut, LAST + 50)):
        assert SEVERITY[at(case, second).level] >= severity
    assert SEVERITY[at(case, found.expires_cut).level] < severity


STAYS = st.tuples(TIME, st.integers(1, 20)).map(lambda cut: stay(AREA, cut[0], cut[0] + cut[1]))
MONOTONE = LevelRules(
    tuple(
        LevelRule(f"L-{risk}", level, reason, K.AREA_STAY, 30, risks=frozenset({risk}), stay_seconds=5)
        for risk, level, reason in (
            (RiskLevel.HIGH, Level.RED, LevelReason.A7),
            (RiskLevel.MEDIUM, Level.YELLOW, LevelReason.B4),
        )
    ),
    LOOKBACK,
)


@given(STAYS, risks().filter(lambda areas: areas.history(AREA)), st.integers(0, 30), st.integers(0, 3))
def test_an_area_that_becomes_worse_makes_no_stay_better(
    lived: Evidence, areas: AreaRisk, after: int, place: int
) -> None:
    """Raising one interval to HIGH never gives a better level, at any time after the stay."""
    history = areas.history(AREA)
    chosen = history[place % len(history)]
    raised = AreaRisk(0, intervals={AREA: (replace(chosen, risk=RiskLevel.HIGH), *history)})
    now = lived.observed_at + after
    before = derive(MONOTONE, [lived], areas, now, participant="31")
    worse = derive(MONOTONE, [lived], raised, now, participant="31")
    assert SEVERITY[worse.level] >= SEVERITY[before.level]
