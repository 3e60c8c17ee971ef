"""The steps in which evidence makes levels: a laboratory's file, an area that turns HIGH, a level that lapses."""

from __future__ import annotations

import json
import time
from pathlib import Path

from examples.demo.evidence import DAY, HOUR, NEGATIVE, person, report, row
from examples.demo.federation import LABORATORY, TRACING
from examples.demo.report import UnexpectedError
from examples.demo.story import DEADLINE_SECONDS, HOME, Story, told
from healthcode.clock import rfc3339
from healthcode.v1 import province_node_pb2 as node_pb2
from healthcode.v1 import verdict_pb2
from healthcode.v1.province_node_pb2_grpc import ProvinceNodeServiceStub

LAPSES_IN_SECONDS = (8, 30, 120)
POLL_SECONDS = 0.05
AREA, PARK_AREA = "310115", "310104"
MET, STAYED, BRIEF = 10, (11, 12), 13
"""Holders: who met a case, who stayed in the area, whose level is short."""


class Levels:
    """What Shanghai's sources report, and what Guangdong then says of the codes."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.federation = story.federation
        self.yellow = ""

    def all_told(self) -> None:
        """One step for each way in which a level changes."""
        step = self.story.report.step
        self.story.report.chapter("Why a level")
        step(
            "Contact tracing reports that somebody was near a case three days ago",
            "the GREEN code is REVOKED, a new one YELLOW: FURTHER_CHECK",
            self.meets_a_case,
        )
        step(
            "The laboratory imports a file with two negative tests",
            "YELLOW turns GREEN: PASS",
            self.is_cleared,
        )
        step(
            "Two people stayed in an area; two operators then set it HIGH",
            "both RED, for what they did before",
            self.area_turns_high,
        )
        step("One of them asks why", "L-A7-1, in words, with its end", self.asks_why)
        step(
            f"A YELLOW level ends by itself after {LAPSES_IN_SECONDS[0]} s",
            "GREEN, and nobody did anything",
            self.lapses,
        )
        step(
            "A park in a low-risk area, and one in the area that is HIGH",
            "CHECK_NOT_REQUIRED; CHECK",
            self.parks,
        )

    def meets_a_case(self) -> str:
        report(
            self.federation, HOME, TRACING, row(MET, kind="CONTACT", finding="OVERLAP", observed_at=3 * DAY)
        )
        seconds = self.story.until(self.story.code(MET), "REVOKED")
        self.yellow = self.story.issue_one("", MET)
        words = told(
            self.story.verdict(self.yellow), outcome="VALID", level="YELLOW", decision="FURTHER_CHECK"
        )
        return f"REVOKED {seconds:.1f} s after the report; then {words}"

    def is_cleared(self) -> str:
        rows = [row(MET, **NEGATIVE, observed_at=ago) for ago in (50 * HOUR, 2 * HOUR)]
        report(self.federation, HOME, LABORATORY, *rows)
        seconds = self.story.until(self.yellow, "REVOKED")
        words = told(self.story.verdict(self.story.issue_one("", MET)), level="GREEN", decision="PASS")
        return f"the YELLOW code is REVOKED after {seconds:.1f} s; then {words}"

    def area_turns_high(self) -> str:
        stay = {"kind": "AREA_STAY", "area_code": AREA, "stay_from": 4 * HOUR, "stay_to": 2 * HOUR}
        report(self.federation, HOME, TRACING, *(row(holder, **stay) for holder in STAYED))
        told(self.story.verdict(self.story.code(STAYED[0])), outcome="VALID", decision="PASS")
        self._set_high(since=5 * HOUR)
        seconds = max(self.story.until(self.story.code(holder), "REVOKED") for holder in STAYED)
        words = {told(self.story.verdict(self.story.issue_one("", each)), level="RED") for each in STAYED}
        return f"{', '.join(words)}, {seconds:.1f} s after the second signature"

    def asks_why(self) -> str:
        about = person(STAYED[0])
        asked = self.federation.node_command(
            HOME, "explain", "--json", stdin=f"{about['document_type']}\n{about['number']}\n"
        ).json()
        if asked.get("rule") != "L-A7-1":
            raise UnexpectedError(f"rule {asked.get('rule')}")
        return f"{asked['rule']}, {asked['reason']}: {asked['text']} Until {asked['ends']}"

    def lapses(self) -> str:
        end = self._brief_level()
        self.story.until(self.story.code(BRIEF), "REVOKED")
        told(self.story.verdict(yellow := self.story.issue_one("", BRIEF)), level="YELLOW")
        while time.time() < end:
            time.sleep(POLL_SECONDS)
        words = told(self.story.verdict(self.story.issue_one("", BRIEF)), level="GREEN", decision="PASS")
        after = self.story.verdict(yellow)["outcome"]
        return f"{words}, {time.time() - end:.1f} s after its end; the YELLOW code is {after}"

    def _brief_level(self) -> int:
        """Reports evidence that ends soon; when it ends. On a busy machine the first may be over when it is reported."""
        for seconds in LAPSES_IN_SECONDS:
            end = int(time.time()) + seconds
            brief = row(BRIEF, kind="CONTACT", finding="CONVEYANCE", observed_at=HOUR)
            report(self.federation, HOME, TRACING, brief | {"until": rfc3339(end)})
            if time.time() < end - seconds / 2:
                return end
        raise UnexpectedError(f"to report it took more than {LAPSES_IN_SECONDS[-1] / 2:g} s")

    def parks(self) -> str:
        words = [self._requirement(area) for area in (PARK_AREA, AREA)]
        if words != ["CHECK_NOT_REQUIRED", "CHECK"]:
            raise UnexpectedError("; ".join(words))
        return "; ".join(words)

    def _requirement(self, area: str) -> str:
        request = node_pb2.CheckRequirementRequest(place_type=verdict_pb2.PLACE_TYPE_PARK, area_code=area)
        with self.federation.integrator(HOME) as channel:
            response = ProvinceNodeServiceStub(channel).CheckRequirement(request, timeout=DEADLINE_SECONDS)
        return node_pb2.Requirement.Name(response.requirement).removeprefix("REQUIREMENT_")

    def _set_high(self, *, since: int) -> None:
        """Two operators approve the same file."""
        now = int(time.time())
        risk = {"risk": "HIGH", "from": rfc3339(now - since)}
        file: Path = self.federation.root / "risk.json"
        file.write_text(
            json.dumps({"format": "healthcode/areas/2", "as_of": rfc3339(now), "areas": {AREA: [risk]}})
        )
        for operator in ("operator-1", "operator-2"):
            self.federation.set_areas(operator, file)
