"""Vectors of levels from evidence: histories with the level that is expected by hand, and what derive says of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from healthcode.clock import parse_rfc3339, rfc3339
from healthcode.policy.area import AreaRisk, RiskInterval
from healthcode.policy.book import PolicyBook
from healthcode.policy.book_file import decode_policy
from healthcode.policy.levels.derive import derive
from healthcode.policy.levels.evidence import (
    MIGRATED_SOURCE,
    Evidence,
    EvidenceKind,
    EvidenceState,
    Finding,
    TestMethod,
)
from healthcode.policy.words import RiskLevel
from tests.world.evidence_items import item, nucleic, stay
from tests.world.level_rules import format_2

NOW = parse_rfc3339("2026-11-21T08:00:00Z")
HOUR, DAY = 3600, 86_400
K, F = EvidenceKind, Finding
HIGH, MEDIUM, WORSE, LOW, ENDED, MIXED, UNLISTED = (
    "310115",
    "440106",
    "110105",
    "330106",
    "500103",
    "210102",
    "640104",
)
AREAS_1 = AreaRisk(NOW, {HIGH: RiskLevel.HIGH})
AREAS = AreaRisk(
    NOW,
    intervals={
        HIGH: (RiskInterval(RiskLevel.HIGH, NOW - 20 * DAY),),
        MEDIUM: (RiskInterval(RiskLevel.MEDIUM, NOW - 20 * DAY),),
        # became worse in the last minute before NOW
        WORSE: (
            RiskInterval(RiskLevel.HIGH, NOW - 60),
            RiskInterval(RiskLevel.MEDIUM, NOW - 20 * DAY, NOW - 60),
        ),
        LOW: (RiskInterval(RiskLevel.LOW, NOW - 20 * DAY),),
        ENDED: (RiskInterval(RiskLevel.HIGH, NOW - 9 * DAY, NOW - 3 * DAY, True, "沪疫〔2026〕7号"),),
        # HIGH for half an hour, twice, with MEDIUM between and two intervals that say the same
        MIXED: (
            RiskInterval(RiskLevel.HIGH, NOW - 4 * HOUR, NOW - 4 * HOUR + 1800),
            RiskInterval(RiskLevel.HIGH, NOW - 4 * HOUR, NOW - 4 * HOUR + 1200),
            RiskInterval(RiskLevel.HIGH, NOW - 3 * HOUR, NOW - 3 * HOUR + 1800),
            RiskInterval(RiskLevel.MEDIUM, NOW - 5 * HOUR, NOW - HOUR),
        ),
    },
)
FILES = {"areas.json": AREAS, "areas-1.json": AREAS_1}
Expected = tuple[int, str, str | None]


@dataclass(frozen=True)
class Case:
    """A history, and by hand for each time the level and the deciding rule."""

    name: str
    evidence: Sequence[Evidence]
    expected: Sequence[Expected]
    home: str = "31"
    areas: str = "areas.json"


def policy_file() -> dict[str, Any]:
    """Two policies: from 2026-12-15 on a close contact counts for 28 days instead of 14."""
    written = format_2()
    (longer,) = format_2(version="27.2", effective_from="2026-12-15T00:00:00Z")["policies"]
    for rule in longer["levels"]:
        if rule["id"] == "L-A4-1":
            rule["lasts_days"] = 28
    return {**written, "policies": [*written["policies"], longer]}


@cache
def book() -> PolicyBook:
    """The policies of the vectors."""
    return decode_policy(json.dumps(policy_file()).encode())


def _lasting(name: str, evidence: Evidence, level: str, days: int = 14) -> Case:
    """One rule alone: nothing before the start, the level to the last second, nothing from the end on."""
    start = evidence.observed_at
    ends = start + days * DAY
    edges = [(start - 1, "GREEN", None), (start, level, name), (ends - 1, level, name), (ends, "GREEN", None)]
    return Case(name, [evidence], edges)


def _rules() -> Iterator[Case]:
    yield _lasting("L-A1-1", item(K.PUSH, NOW, F.RED), "RED")
    yield _lasting("L-A2-1", item(K.CASE_REPORT, NOW, F.CONFIRMED), "RED")
    yield replace(
        _lasting("L-A2-1", item(K.CASE_REPORT, NOW, F.ASYMPTOMATIC), "RED"), name="L-A2-1-asymptomatic"
    )
    yield _lasting("L-A3-1", item(K.CASE_REPORT, NOW, F.SUSPECTED), "RED")
    yield _lasting("L-A4-1", item(K.CONTACT, NOW, F.CLOSE), "RED")
    yield _lasting("L-A4-2", item(K.CONTACT, NOW, F.SECOND), "RED", days=7)
    ordered = {"instrument": "No. 1"}
    port = {**ordered, "port_of_entry": "PVG"}
    yield _lasting("L-A5-1", item(K.QUARANTINE_ORDER, NOW, F.ENTRANT, **port), "RED", days=21)
    yield _lasting("L-A6-1", item(K.QUARANTINE_ORDER, NOW, F.RETURNEE, **ordered), "RED")
    yield _lasting("L-B1-1", item(K.PUSH, NOW, F.YELLOW), "YELLOW")
    yield _lasting("L-B2-1", item(K.CASE_REPORT, NOW, F.DISCHARGED), "YELLOW")
    yield _lasting("L-B3-1", item(K.CONTACT, NOW, F.OVERLAP), "YELLOW")
    yield _lasting("L-B5-1", item(K.CONTACT, NOW, F.CONVEYANCE), "YELLOW")
    for rule, area, level in (("L-A7-1", HIGH, "RED"), ("L-B4-1", MEDIUM, "YELLOW")):
        # reached after an hour, and counted from the end of the stay
        edges = [
            (NOW - HOUR - 1, "GREEN", None),
            (NOW - HOUR, level, rule),
            (NOW + 14 * DAY - 1, level, rule),
            (NOW + 14 * DAY, "GREEN", None),
        ]
        yield Case(rule, [stay(area, NOW - 2 * HOUR, NOW)], edges)
    for rule, finding, level in (("L-A8-1", F.RED, "RED"), ("L-B6-1", F.YELLOW, "YELLOW")):
        order = item(K.ORDER, NOW, finding, **ordered, until=NOW + 3 * DAY)
        edges = [(NOW, level, rule), (NOW + 3 * DAY - 1, level, rule), (NOW + 3 * DAY, "GREEN", None)]
        yield Case(rule, [order], edges)
        late = _lasting(rule, order._replace(until=NOW + 99 * DAY), level)
        yield replace(late, name=f"{rule}-lasts-no-longer-than-the-rule")


def _needs() -> Iterator[Case]:
    ordered = {"instrument": "No. 1"}
    for name, missing in {
        "port": item(K.QUARANTINE_ORDER, NOW, F.ENTRANT, **ordered),
        "instrument": item(K.QUARANTINE_ORDER, NOW, F.RETURNEE),
        "end": item(K.ORDER, NOW, F.RED, **ordered),
        "order-instrument": item(K.ORDER, NOW, F.YELLOW, until=NOW + DAY),
    }.items():
        yield Case(f"without-{name}-no-ground", [missing], [(NOW, "GREEN", None)])
    yield Case("a-positive-test-alone-is-no-ground", [nucleic(NOW, F.POSITIVE)], [(NOW, "GREEN", None)])
    yield Case("a-vaccination-is-no-ground", [item(K.VACCINATION, NOW)], [(NOW, "GREEN", None)])


def _stays() -> Iterator[Case]:
    green, red, yellow = (NOW, "GREEN", None), (NOW, "RED", "L-A7-1"), (NOW, "YELLOW", "L-B4-1")
    yield Case("stay-of-59-minutes-and-59-seconds", [stay(HIGH, NOW - HOUR + 1, NOW)], [green])
    yield Case("stay-of-60-minutes", [stay(HIGH, NOW - HOUR, NOW)], [(NOW - 1, "GREEN", None), red])
    short = [stay(HIGH, NOW - n * HOUR, NOW - n * HOUR + 59 * 60) for n in range(1, 49)]
    yield Case("stays-of-59-minutes-48-times", short, [green])
    joined = short[-1]._replace(observed_at=NOW - 60, stay_to=NOW - 60, revision=2)
    yield Case("stays-of-59-minutes-joined-by-their-source", [*short, joined], [red])
    goes_on = [stay(HIGH, NOW - 3 * DAY, NOW - n * DAY, revision=4 - n) for n in (2, 0, 1)]
    ends = NOW + 14 * DAY
    yield Case("stay-that-goes-on-by-revisions", goes_on, [red, (ends - 1, *red[1:]), (ends, "GREEN", None)])
    yield Case("high-in-the-last-minute", [stay(WORSE, NOW - HOUR, NOW)], [yellow])
    later = NOW + 59 * 60
    worse = stay(WORSE, NOW - HOUR, later)
    yield Case("high-long-enough", [worse], [(later - 1, "GREEN", None), (later, "RED", "L-A7-1")])
    yield Case("stay-in-a-low-risk-area", [stay(LOW, NOW - DAY, NOW)], [green])
    yield Case("stay-in-an-unlisted-area", [stay(UNLISTED, NOW - DAY, NOW)], [green])
    yield Case("stay-after-the-risk-ended", [stay(ENDED, NOW - 3 * DAY, NOW)], [green])
    yield Case("stay-while-the-risk-was-high", [stay(ENDED, NOW - 4 * DAY, NOW - 3 * DAY + 60)], [red])
    yield Case("high-for-half-an-hour-twice", [stay(MIXED, NOW - 5 * HOUR, NOW - HOUR)], [red])
    yield Case("high-for-half-an-hour-once", [stay(MIXED, NOW - 5 * HOUR, NOW - 3 * HOUR)], [yellow])
    before, after = stay(HIGH, NOW - 2 * HOUR, NOW), stay(HIGH, NOW, NOW + HOUR)
    yield Case("areas-1-stay-before-as-of", [before], [green], areas="areas-1.json")
    in_an_hour = (NOW + HOUR, "RED", "L-A7-1")
    yield Case("areas-1-stay-after-as-of", [after], [in_an_hour], areas="areas-1.json")


def _clearing() -> Iterator[Case]:
    left = NOW - 10 * DAY
    lived, rule = stay(HIGH, left - HOUR, left), "L-A7-1"
    seventh = left + 7 * DAY
    three = [nucleic(left + n * DAY) for n in (1, 2, 3)]

    def after_seven(level: str) -> list[Expected]:
        return [(seventh - 1, "RED", rule), (seventh, level, rule if level == "RED" else None)]

    yield Case("cleared-at-the-edge-of-not-before-days", [lived, *three], after_seven("GREEN"))
    positive = nucleic(seventh - 1, F.POSITIVE)
    yield Case("positive-in-the-last-second-before-the-end", [lived, *three, positive], after_seven("RED"))
    positive = nucleic(seventh, F.POSITIVE)
    yield Case("positive-in-the-second-of-the-end", [lived, *three, positive], after_seven("GREEN"))
    too_few = [lived, *three[:2]]
    yield Case("one-negative-too-few", too_few, after_seven("RED"))
    early = nucleic(three[1].observed_at + DAY - 1)
    yield Case("a-negative-a-second-too-early", [*too_few, early], after_seven("RED"))
    sixth = nucleic(left + 6 * DAY)
    yield Case("a-negative-too-early-is-not-counted-from", [*too_few, early, sixth], after_seven("GREEN"))
    antibody = three[2]._replace(method=TestMethod.ANTIBODY)
    yield Case("an-antibody-test-clears-nothing", [*too_few, antibody], after_seven("RED"))
    at_end = nucleic(left)
    yield Case("sampled-in-the-second-of-leaving", [*too_few, at_end], after_seven("RED"))
    late = left + 9 * DAY
    edges = [(late - 1, "RED", rule), (late, "GREEN", None)]
    yield Case("cleared-by-the-last-negative", [*too_few, nucleic(late)], edges)
    reset = nucleic(left + 2 * DAY + HOUR, F.POSITIVE)
    again = [nucleic(left + n * DAY + 2 * HOUR) for n in (2, 3, 4)]
    yield Case("a-positive-sets-the-count-to-0", [*too_few, reset, *again[:2]], after_seven("RED"))
    yield Case("after-a-positive-the-count-begins-at-once", [*too_few, reset, *again], after_seven("GREEN"))
    same = nucleic(three[0].observed_at, F.POSITIVE)
    yield Case("positive-and-negative-of-one-second", [lived, *three, same], after_seven("RED"))
    held = three[2]._replace(state=EvidenceState.HELD)
    yield Case("a-held-negative-clears-nothing", [*too_few, held], after_seven("RED"))


def _revisions() -> Iterator[Case]:
    overlap = item(K.CONTACT, NOW, F.OVERLAP, record="c")
    close = item(K.CONTACT, NOW, F.CLOSE, record="c", revision=2)
    yellow, red, green = (NOW, "YELLOW", "L-B3-1"), (NOW, "RED", "L-A4-1"), (NOW, "GREEN", None)
    yield Case("higher-revision-replaces", [close, overlap], [red])
    for state in ("HELD", "REJECTED", "EXPIRED", "SUSPENDED"):
        above = close._replace(state=EvidenceState(state))
        yield Case(f"{state.lower()}-revision-over-an-active-one", [above, overlap], [yellow])
    withdrawn = overlap._replace(revision=2, state=EvidenceState.WITHDRAWN)
    yield Case("withdrawn", [withdrawn, overlap], [green])
    yield Case("withdrawn-and-sent-again", [close._replace(revision=3), withdrawn, overlap], [red])
    yield Case("twice-the-same", [overlap, overlap], [yellow])
    other = close._replace(source="source-2", revision=1)
    yield Case("one-record-id-of-two-sources", [overlap, other], [red])


def _ties() -> Iterator[Case]:
    close = item(K.CONTACT, NOW, F.CLOSE)
    overlap = item(K.CONTACT, NOW, F.OVERLAP)
    ends = NOW + 14 * DAY
    yield Case("the-worst-ground-decides", [overlap, close], [(NOW, "RED", "L-A4-1")])
    push = item(K.PUSH, NOW - DAY, F.RED)
    steps = [(NOW, "RED", "L-A1-1"), (ends - DAY, "RED", "L-A4-1"), (ends, "GREEN", None)]
    yield Case("of-two-the-first-rule-decides", [close, push], steps)
    second = item(K.CONTACT, NOW, F.SECOND)
    steps = [(NOW + 7 * DAY - 1, "RED", "L-A4-2"), (NOW + 7 * DAY, "YELLOW", "L-B3-1")]
    yield Case("a-red-lapses-to-yellow", [overlap, second], steps)
    later = close._replace(record="0", observed_at=NOW - HOUR)
    yield Case("the-later-start-decides", [close, later], [(NOW, "RED", "L-A4-1")])
    records = [close._replace(record=record) for record in ("b", "a", "c")]
    yield Case("then-the-record", records, [(NOW, "RED", "L-A4-1")])
    coming = item(K.CONTACT, NOW + 300, F.CLOSE)
    steps = [(NOW, "YELLOW", "L-B3-1"), (NOW + 300, "RED", "L-A4-1")]
    yield Case("an-item-a-little-in-the-future", [overlap, coming], steps)
    ending = second._replace(observed_at=NOW + 300 - 7 * DAY)
    steps = [(NOW, "RED", "L-A4-2"), (NOW + 300, "RED", "L-A4-1")]
    yield Case("a-red-that-goes-on-where-another-ends", [ending, coming], steps)


def _time() -> Iterator[Case]:
    close = item(K.CONTACT, NOW, F.CLOSE)
    switch = parse_rfc3339("2026-12-15T00:00:00Z")
    steps: list[Expected] = [
        (NOW + 14 * DAY, "GREEN", None),
        (switch - 1, "GREEN", None),
        (switch, "RED", "L-A4-1"),
        (NOW + 28 * DAY - 1, "RED", "L-A4-1"),
        (NOW + 28 * DAY, "GREEN", None),
    ]
    yield Case("a-lapsed-ground-under-a-longer-policy", [close], steps)
    back: list[Expected] = [
        (NOW + 14 * DAY, "GREEN", None),
        (NOW + DAY, "RED", "L-A4-1"),
        (NOW - 1, "GREEN", None),
    ]
    yield Case("a-clock-set-back", [close], back)
    test, older = nucleic(NOW), nucleic(NOW - 5 * DAY)
    ends = NOW + 30 * DAY
    known: list[Expected] = [
        (NOW, "NO_ABNORMALITY", None),
        (ends, "NO_ABNORMALITY", None),
        (ends + 1, "PENDING", None),
    ]
    yield Case("00-forgets-the-last-item", [test, older], known, home="00")
    yield Case("00-without-evidence", [], [(NOW, "PENDING", None)], home="00")
    yield Case("31-without-evidence", [], [(NOW, "GREEN", None)])
    held = close._replace(state=EvidenceState.HELD)
    yield Case("00-with-held-evidence-alone", [held], [(NOW, "PENDING", None)], home="00")
    after_lapse: list[Expected] = [(NOW, "RED", "L-A4-1"), (NOW + 14 * DAY, "NO_ABNORMALITY", None)]
    yield Case("00-after-a-lapse", [close], after_lapse, home="00")
    order = item(K.ORDER, NOW, F.RED, source=MIGRATED_SOURCE, reason="A2", until=NOW + 5 * DAY)
    stated: list[Expected] = [(NOW, "RED", "migrated"), (NOW + 5 * DAY, "GREEN", None)]
    yield Case("migrated-with-an-end", [order], stated)
    open_end = order._replace(until=None, finding=F.YELLOW, reason="B3")
    stated = [(NOW + 14 * DAY - 1, "YELLOW", "migrated"), (NOW + 14 * DAY, "GREEN", None)]
    yield Case("migrated-without-an-end", [open_end], stated)


def cases() -> list[Case]:
    """Every rule's examples, and the hard cases."""
    parts = (_rules(), _needs(), _stays(), _clearing(), _revisions(), _ties(), _time())
    return [case for part in parts for case in part]


def levels() -> list[dict[str, Any]]:
    """Each case with the whole answer at each time; raises if derive contradicts what is expected by hand."""
    return [
        {
            "name": case.name,
            "home": case.home,
            "areas": case.areas,
            "evidence": [_written(each) for each in case.evidence],
            "answers": [_answer(case, *expected) for expected in case.expected],
        }
        for case in cases()
    ]


def _answer(case: Case, now: int, level: str, rule: str | None) -> dict[str, Any]:
    policy = book().in_force(now)
    if policy.levels is None:
        raise RuntimeError("the policy of the vectors has level rules")
    found = derive(policy.levels, case.evidence, FILES[case.areas], now, participant=case.home)
    decides = None if found.ground is None else found.ground.rule
    if (found.level, decides) != (level, rule):
        raise RuntimeError(
            f"{case.name} at {rfc3339(now)}: {found.level} by {decides}, not {level} by {rule}"
        )
    return {
        "now": rfc3339(now),
        "policy_version": policy.version,
        "level": found.level,
        "rule": decides,
        "record": None if found.ground is None else found.ground.evidence.record,
        "next_change": _time_or_none(found.next_change),
        "expires_cut": _time_or_none(found.expires_cut),
        "grounds": [
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
        ],
    }


def _written(each: Evidence) -> dict[str, Any]:
    """An item as the file has it: no field that is empty, and a stay without observed_at (it is its `to`)."""
    is_stay = each.kind is K.AREA_STAY
    fields: dict[str, Any] = {
        "source": each.source,
        "record": each.record,
        "revision": each.revision,
        "state": each.state,
        "kind": each.kind,
        "finding": each.finding,
        "method": each.method,
        "observed_at": None if is_stay else rfc3339(each.observed_at),
        "area": each.area,
        "from": _time_or_none(each.stay_from),
        "to": _time_or_none(each.stay_to),
        "until": _time_or_none(each.until),
        "instrument": each.instrument,
        "port_of_entry": each.port_of_entry,
        "reason": each.reason,
    }
    return {name: value for name, value in fields.items() if value not in {None, ""}}


def _time_or_none(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)
