"""The level of a holder from evidence: one derivation, as issuing and re-derivation do it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from benchmarks.measure import Figure, benchmark, cpu_seconds
from healthcode.policy.area import AreaRisk, RiskInterval
from healthcode.policy.levels.derive import derive
from healthcode.policy.levels.evidence import Evidence, EvidenceKind, Finding, TestMethod
from healthcode.policy.words import RiskLevel
from healthcode.wire.claims import Level
from tests.world.level_rules import format_2_book

NOW = 1_795_248_000
DAY = 86_400
ROUNDS = 15
DERIVATIONS = 1000


def items() -> list[Evidence]:
    """Eight items of a holder: tests, a vaccination, two stays, two contacts. Two grounds are active."""
    kinds = EvidenceKind
    tests = [
        Evidence(
            "lab-1",
            f"t-{days}",
            1,
            kinds.TEST,
            NOW - days * DAY,
            NOW - days * DAY,
            finding=Finding.NEGATIVE,
            method=TestMethod.NUCLEIC,
        )
        for days in (1, 3, 6)
    ]
    stays = [
        Evidence(
            "transit-1",
            f"s-{area}",
            2,
            kinds.AREA_STAY,
            NOW - 5 * DAY,
            NOW - 5 * DAY,
            area=area,
            stay_from=NOW - 5 * DAY - 7200,
            stay_to=NOW - 5 * DAY,
        )
        for area in ("310115", "440106")
    ]
    contacts = [
        Evidence("cdc-1", f"c-{finding}", 1, kinds.CONTACT, NOW - 4 * DAY, NOW - 4 * DAY, finding=finding)
        for finding in (Finding.CLOSE, Finding.OVERLAP)
    ]
    vaccination = Evidence("clinic-1", "v-1", 1, kinds.VACCINATION, NOW - 20 * DAY, NOW - 20 * DAY, dose=3)
    return [*tests, *stays, *contacts, vaccination]


@benchmark("derive_us")
def derivation() -> Iterator[Figure]:
    """Derives the level of one holder over and over, under the 15 rules of the tests' policy."""
    rules = format_2_book().in_force(NOW).levels
    history = {
        "310115": (
            RiskInterval(RiskLevel.HIGH, NOW - 6 * DAY),
            RiskInterval(RiskLevel.MEDIUM, NOW - 9 * DAY, NOW - 6 * DAY),
        ),
        "440106": (RiskInterval(RiskLevel.MEDIUM, NOW - 8 * DAY, NOW - 2 * DAY),),
    }
    areas = AreaRisk(NOW, intervals=history)
    evidence = items()
    if rules is None or len(rules.rules) != 15 or len(evidence) != 8:
        raise RuntimeError("the figure is for 15 rules and 8 items")
    if derive(rules, evidence, areas, NOW, participant="31").level is not Level.RED:
        raise RuntimeError("the stay in the high-risk area does not count")

    def work() -> None:
        for _ in range(DERIVATIONS):
            derive(rules, evidence, areas, NOW, participant="31")

    yield Figure(
        "derive_us",
        "CPU time of one derivation, 8 items and 15 rules",
        statistics.median(cpu_seconds(work) for _ in range(ROUNDS)) / DERIVATIONS * 1e6,
        "µs",
        "<= 50",
        ROUNDS,
    )
