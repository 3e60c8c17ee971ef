"""Examples of level rules, and evidence in files."""

from __future__ import annotations

import json
from typing import Any

import pytest

from healthcode.policy.book_file import decode_policy
from healthcode.policy.levels_policy import levels_policy_bytes
from healthcode.policy.lint.example import evidence_of, lint_evidence, run_examples


def test_every_example_of_the_national_policy_is_met() -> None:
    """Every rule has one, and its level and rule are what is derived."""
    written = json.loads(levels_policy_bytes())["policies"][0]
    results = list(run_examples(decode_policy(levels_policy_bytes()).policies[0], written))
    assert [each for each in results if not each.is_met] == []
    assert {each.of for each in results} == {rule["id"] for rule in written["levels"]}
    # a rule's own name is what some example of it derives
    assert {rule["id"] for rule in written["levels"]} <= {each.derived[1] for each in results}


def test_an_example_that_is_not_met_says_what_was_derived() -> None:
    """Both sides are told."""
    written = json.loads(levels_policy_bytes())["policies"][0]
    written["levels"] = written["levels"][:1]
    written["levels"][0]["examples"][0]["level"] = "YELLOW"
    first = next(run_examples(decode_policy(levels_policy_bytes()).policies[0], written))
    assert (first.is_met, first.expected, first.derived) == (False, ("YELLOW", "L-A1-1"), ("RED", "L-A1-1"))


def item(**changes: Any) -> dict[str, Any]:
    base = {"source": "lab", "record": "1", "kind": "TEST", "finding": "NEGATIVE", "method": "NUCLEIC"}
    return {**base, "observed_at": "2027-01-01T00:00:00Z", **changes}


@pytest.mark.parametrize(
    ("items", "told"),
    [
        ({}, "is not a list"),
        ([item(findng="X")], "[0].findng: unknown field 'findng'; did you mean finding?"),
        ([item(), item(kind="TESST")], "[1].kind: unknown word 'TESST'; did you mean TEST?"),
        ([item(finding="CLOSE")], "[0].finding: CLOSE is no finding of TEST"),
        ([item(finding=None)], "[0].finding"),
        ([item(kind="VACCINATION", method=None)], "it has none"),
        ([item(method=None)], "[0].method"),
        ([item(observed_at=None)], "[0].observed_at: is missing"),
        ([item(observed_at="2027-02-30T00:00:00Z")], "day is out of range"),
        ([item(kind="AREA_STAY", finding=None, method=None)], "[0]: a stay needs area"),
    ],
)
def test_a_slip_in_evidence_is_named(items: Any, told: str) -> None:
    """By item and field."""
    assert told in str(lint_evidence(items)[0])


def test_a_stay_is_observed_at_its_end() -> None:
    """As derive has it."""
    stay = item(kind="AREA_STAY", finding=None, method=None, observed_at=None, area="310115")
    stay |= {"from": "2027-01-01T00:00:00Z", "to": "2027-01-01T01:00:00Z"}
    assert lint_evidence([stay]) == []
    (found,) = evidence_of([stay])
    assert (found.observed_at, found.area) == (found.stay_to, "310115")
