"""Whatever lint accepts is read as it is written: it decodes, and every word in it is known."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from healthcode.policy.area import decode_areas
from healthcode.policy.book_file import decode_policy, default_policy_bytes
from healthcode.policy.diff.area_diff import area_lines, find_area_changes
from healthcode.policy.diff.policy_diff import find_policy_changes, policy_lines
from healthcode.policy.levels.evidence import EvidenceKind, Finding, TestMethod
from healthcode.policy.levels_policy import levels_policy_bytes
from healthcode.policy.lint.areas_lint import PROVINCES, lint_areas
from healthcode.policy.lint.policy_lint import lint_policy
from healthcode.policy.lint.problem import Severity
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Decision, LevelReason, Outcome, PersonCategory, PlaceType, RiskLevel
from healthcode.wire.claims import Level

WORDS: dict[str, frozenset[str]] = {
    "outcome": frozenset(Outcome),
    "level": frozenset(Level) - {"UNKNOWN"},
    "tier": frozenset(TrustTier),
    "place": frozenset(PlaceType),
    "area": frozenset(RiskLevel),
    "risk": frozenset(RiskLevel),
    "category": frozenset(PersonCategory),
    "decision": frozenset(Decision),
    "requirement": frozenset({"CHECK", "CHECK_NOT_REQUIRED"}),
    "reason": frozenset(LevelReason),
    "kind": frozenset(EvidenceKind),
    "finding": frozenset(Finding),
    "method": frozenset(TestMethod),
    "needs": frozenset({"instrument", "until", "port_of_entry"}),
}
POLICIES = [json.loads(default_policy_bytes()), json.loads(levels_policy_bytes())]
AREAS = [
    {"format": "healthcode/areas/1", "as_of": "2026-11-21T00:00:00Z", "areas": {"310115": "HIGH"}},
    {
        "format": "healthcode/areas/2",
        "as_of": "2026-11-21T00:00:00Z",
        "areas": {"310115": [{"risk": "HIGH", "from": "2026-11-20T00:00:00Z"}], "110101": [{"risk": "LOW", "from": "2026-11-20T09:00:00Z"}]},
    },
]  # fmt: skip
VALUE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 10**19),
    st.sampled_from(sorted(set().union(*WORDS.values()))),
    st.sampled_from(["GREN", "high", "", "*", "00", "27.2", "2027-02-29T00:00:00Z", "990115", "310115"]),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.lists(st.sampled_from(["GREEN", "RED", "VALID", "PARK", "OVERLAP", "SECOND", "X"]), max_size=3),
)


def mutated(originals: list[Any]) -> st.SearchStrategy[Any]:
    """One of the files with one to three values replaced, removed, renamed or doubled."""

    @st.composite
    def build(draw: st.DrawFn) -> Any:
        document = copy.deepcopy(draw(st.sampled_from(originals)))
        for _ in range(draw(st.integers(1, 3))):
            change_one(draw, document)
        return document

    return build()


def change_one(draw: st.DrawFn, document: Any) -> None:
    inside = document
    while True:
        keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
        if not keys:
            return
        key = draw(st.sampled_from(keys))
        below = inside[key]
        if isinstance(below, dict | list) and below and draw(st.integers(0, 4)):
            inside = below
            continue
        match draw(st.integers(0, 3)):
            case 0:
                inside[key] = draw(VALUE)
            case 1:
                del inside[key]
            case 2 if isinstance(inside, dict):
                inside[draw(st.sampled_from([*WORDS, "until", "remedy", "310115", "x"]))] = inside.pop(key)
            case _:
                if isinstance(inside, list):
                    inside.insert(0, copy.deepcopy(below))
        return


def unknown_words(value: Any, name: str = "") -> list[Any]:
    """The words of conditions and decisions that no closed list has, wherever they stand."""
    if isinstance(value, dict):
        return [word for key, below in value.items() for word in unknown_words(below, key)]
    if isinstance(value, list):
        return [word for below in value for word in unknown_words(below, name)]
    # an item of evidence has the area's code, and `holds` a number
    is_code = name == "area" and str(value).isdigit()
    return [value] if name in WORDS and value is not None and value not in WORDS[name] and not is_code else []


def is_accepted(problems: list[Any]) -> bool:
    return all(each.severity is not Severity.ERROR for each in problems)


@settings(max_examples=150, deadline=None)
@given(mutated(POLICIES))
def test_a_policy_that_lint_accepts_is_read_as_it_is_written(document: Any) -> None:
    """It decodes, no word is passed over, no level rule is left out, and a diff with it can be told."""
    data = json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
    if not is_accepted(lint_policy(data)):
        return
    book = decode_policy(data)
    assert unknown_words(document) == []
    for policy in book.policies:
        assert policy.levels is None or policy.levels.unknown == ()
        assert all(rule.warnings == () for rule in policy.rules)
    for before in (None, default_policy_bytes(), levels_policy_bytes()):
        assert policy_lines(find_policy_changes(before, data))


@settings(max_examples=300, deadline=None)
@given(mutated(AREAS))
def test_areas_that_lint_accepts_are_read_as_they_are_written(document: Any) -> None:
    """They decode, every risk is a word, and every area is of a province."""
    data = json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
    if not is_accepted(lint_areas(data)):
        return
    areas = decode_areas(data)
    assert unknown_words(document) == []
    assert all(code[:2] in PROVINCES for code in (*areas.risks, *areas.intervals))
    before = decode_areas(json.dumps(AREAS[0]).encode())
    assert area_lines(find_area_changes(before, areas), areas)
