"""Evidence in JSON: the examples of level rules, and files for `policy explain`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from healthcode.clock import rfc3339
from healthcode.errors import DecodeError
from healthcode.policy.area import AreaRisk, decode_areas
from healthcode.policy.book import Policy
from healthcode.policy.json_model import write_json
from healthcode.policy.levels.derive import derive
from healthcode.policy.levels.evidence import (
    FINDINGS,
    Evidence,
    EvidenceKind,
    EvidenceState,
    Finding,
    TestMethod,
)
from healthcode.policy.lint.policy_form import EvidenceForm, Example
from healthcode.policy.lint.problem import Problem, placed
from healthcode.policy.lint.written_model import find_unknown

__all__ = ["ExampleResult", "evidence_of", "lint_evidence", "lint_example", "run_examples"]

_NEVER = 253_402_300_799


@dataclass(frozen=True, slots=True)
class ExampleResult:
    """An example of a level rule, what it expects, and what was derived; `rule` is empty without a ground."""

    of: str
    note: str
    expected: tuple[str, str]
    derived: tuple[str, str]

    @property
    def is_met(self) -> bool:
        return self.expected == self.derived


def lint_example(given: Mapping[str, Any]) -> list[Problem]:
    """The faults of an example whose form is sound: its evidence and areas. Whether it is met is not asked."""
    problems = placed("evidence", lint_evidence(given["evidence"]))
    try:
        _areas(given.get("areas"))
    except DecodeError as error:
        problems.append(Problem("areas", error.message))
    return problems


def lint_evidence(items: Any) -> list[Problem]:
    """The faults of a JSON list of evidence."""
    if not isinstance(items, list):
        return [Problem("", "is not a list of evidence")]
    found = []
    for number, item in enumerate(items):
        found += placed(
            f"[{number}]", find_unknown(EvidenceForm, item) or _lint_item(EvidenceForm.model_validate(item))
        )
    return found


def _lint_item(item: EvidenceForm) -> Iterator[Problem]:
    kind = EvidenceKind(item.kind)
    if (item.finding is None) != (not FINDINGS[kind]) or (item.finding or "") not in {"", *FINDINGS[kind]}:
        yield Problem(
            "finding",
            f"{item.finding} is no finding of {kind}; it has {', '.join(sorted(FINDINGS[kind])) or 'none'}",
        )
    if kind is EvidenceKind.AREA_STAY:
        if item.stay_from is None or item.stay_to is None or not item.area:
            yield Problem("", "a stay needs area, from and to")
    elif item.observed_at is None:
        yield Problem("observed_at", "is missing")
    if (kind is EvidenceKind.TEST) != (item.method is not None):
        yield Problem("method", "a test has a method, NUCLEIC or ANTIBODY; nothing else has")


def evidence_of(items: Sequence[Mapping[str, Any]]) -> list[Evidence]:
    """Evidence from a JSON list without problems. What has no `known_at` counts at any time."""
    return [_item(EvidenceForm.model_validate(item)) for item in items]


def _item(form: EvidenceForm) -> Evidence:
    observed_at = form.stay_to if form.stay_to is not None else form.observed_at or 0
    return Evidence(
        source=form.source,
        record=form.record,
        revision=form.revision,
        kind=EvidenceKind(form.kind),
        observed_at=observed_at,
        known_at=observed_at if form.known_at is None else form.known_at,
        finding=None if form.finding is None else Finding(form.finding),
        method=None if form.method is None else TestMethod(form.method),
        area=form.area,
        stay_from=form.stay_from,
        stay_to=form.stay_to,
        until=form.until,
        instrument=form.instrument,
        port_of_entry=form.port_of_entry,
        laboratory=form.laboratory,
        product=form.product,
        dose=form.dose,
        state=EvidenceState(form.state),
    )


def run_examples(policy: Policy, written: Mapping[str, Any]) -> Iterator[ExampleResult]:
    """Derives every example of a policy of format 2; `written` is its JSON, without problems."""
    if policy.levels is None:
        return
    for rule in written["levels"]:
        for given in rule.get("examples", ()):
            example = Example.model_validate(given)
            areas = _areas(given.get("areas"))
            evidence = evidence_of(given["evidence"])
            found = derive(policy.levels, evidence, areas, example.at, participant=example.home)
            derived = (str(found.level), "" if found.ground is None else found.ground.rule)
            yield ExampleResult(rule["id"], example.note, (example.level, example.rule or ""), derived)


def _areas(intervals: Mapping[str, Any] | None) -> AreaRisk:
    if not intervals:
        return AreaRisk()
    return decode_areas(
        write_json({"format": "healthcode/areas/2", "as_of": rfc3339(_NEVER), "areas": intervals})
    )
