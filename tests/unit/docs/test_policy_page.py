"""docs/policy.md is true: its examples are read, linted and derived, and no word is missing."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from healthcode.policy.accountability import Unanswered
from healthcode.policy.area import decode_areas
from healthcode.policy.book_file import decode_policy
from healthcode.policy.checks import CheckRequired
from healthcode.policy.levels.evidence import EvidenceKind, EvidenceState, Finding, TestMethod
from healthcode.policy.levels.rules import Need
from healthcode.policy.lint.areas_form import AreasForm1, AreasForm2
from healthcode.policy.lint.areas_lint import lint_areas
from healthcode.policy.lint.example import run_examples
from healthcode.policy.lint.policy_form import PolicyForm1, PolicyForm2
from healthcode.policy.lint.policy_lint import lint_policy
from healthcode.policy.lint.problem import Severity
from healthcode.policy.lint.written_model import find_unknown
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Decision, LevelReason, Outcome, PersonCategory, PlaceType, RiskLevel
from healthcode.wire.claims import Level, Presentation

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "policy.md").read_text("utf-8")
BLOCKS = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)]
POLICIES = [block for block in BLOCKS if "/policy/" in block["format"]]
AREAS = [block for block in BLOCKS if "/areas/" in block["format"]]


def encoded(block: Any) -> bytes:
    return json.dumps(block, ensure_ascii=False).encode()


def test_the_examples_have_every_format() -> None:
    """Both formats of both files, each read by this software."""
    assert [block["format"][-1] for block in POLICIES] == ["1", "2"]
    assert [block["format"][-1] for block in AREAS] == ["1", "2"]
    assert [decode_policy(encoded(block)).policies[0].format for block in POLICIES] == [1, 2]
    assert all(decode_areas(encoded(block)).as_of for block in AREAS)


def test_the_examples_have_known_words_alone() -> None:
    """Those of policies are short, so only what they leave out may be missing."""
    for form, block in zip((PolicyForm1, PolicyForm2), POLICIES, strict=True):
        found = find_unknown(form, block["policies"][0])
        assert [each for each in found if each.text != "is missing"] == []
    assert [each.severity for each in lint_policy(encoded(POLICIES[0]))] == [
        Severity.WARNING
    ]  # its hospitals
    assert [str(each) for each in lint_areas(encoded(AREAS[0]))] == []
    # the medium risk goes on from the file before
    assert [each.path for each in lint_areas(encoded(AREAS[1]))] == ["areas.310115"]


def test_the_examples_of_a_level_rule_are_what_is_derived() -> None:
    """As `healthcode policy test` derives them."""
    policy = decode_policy(encoded(POLICIES[1])).policies[0]
    results = list(run_examples(policy, POLICIES[1]["policies"][0]))
    assert len(results) == 2
    assert all(each.is_met for each in results), results


@pytest.mark.parametrize(
    "words",
    [
        *(
            Outcome,
            Level,
            TrustTier,
            PlaceType,
            RiskLevel,
            PersonCategory,
            Decision,
            LevelReason,
            Presentation,
        ),
        *(EvidenceKind, Finding, TestMethod, EvidenceState, Need, CheckRequired, Unanswered),
    ],
)
def test_every_word_is_in_the_page(words: type[StrEnum]) -> None:
    """A closed list that gains a word is a change of the page."""
    missing = [word for word in words if word is not Level.UNKNOWN and not re.search(rf"\b{word}\b", PAGE)]
    assert missing == []


def test_every_field_is_in_the_page() -> None:
    """Of policies, their rules and areas."""
    fields = {
        name for form in (PolicyForm1, PolicyForm2, AreasForm1, AreasForm2) for name in form.model_fields
    } | {
        "negative_tests",
        "apart_hours",
        "not_before_days",
        "stay_minutes_at_least",
        "lasts_days",
        "two_persons",
    }
    assert [name for name in sorted(fields) if f"`{name}`" not in PAGE and f'"{name}"' not in PAGE] == []


def details(*folders: str) -> set[str]:
    """The stable words that the code of these folders gives as detail."""
    text = "".join(
        path.read_text("utf-8") for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))
    )
    prefixes = "policy|areas|issuer|key|signature|clock|code|revocation|trust|holder|status"
    return set(re.findall(rf'"((?:{prefixes})\.[a-z_]+)"', text))


def test_every_detail_is_in_the_page() -> None:
    """Of what no reader uses, and of each outcome."""
    given = details("healthcode/policy", "healthcode/verification", "province_node/queries")
    assert len(given) > 25
    assert [word for word in sorted(given) if f"`{word}`" not in PAGE] == []


def test_every_warning_is_in_the_page() -> None:
    """Of the verdict, from where it is rendered, from its context and from the rules."""
    files = ("verification/render.py", "verification/context.py", "policy/decide.py", "policy/book_file.py")
    text = "".join((ROOT / "healthcode" / file).read_text("utf-8") for file in files)
    warnings = set(
        re.findall(r'"([A-Z]+(?:_[A-Z]+)+)"', re.sub(r"__all__ = \[.*?\]", "", text, flags=re.DOTALL))
    )
    assert len(warnings) >= 9
    assert [word for word in sorted(warnings) if word not in PAGE] == []


def test_the_numbers_are_those_of_the_code() -> None:
    """Sizes, facts and times that the page states."""
    from healthcode.policy.area import DECLARED_PAST_SECONDS, MAX_AREAS_BYTES
    from healthcode.policy.book import MIN_AGING_SECONDS, NOTICE_SECONDS
    from healthcode.policy.book_file import MAX_POLICY_BYTES
    from healthcode.policy.lint.table_lint import every_fact
    from healthcode.trust.clock_evidence import TOLERANCE_SECONDS

    for number in (MAX_POLICY_BYTES, MAX_AREAS_BYTES, DECLARED_PAST_SECONDS, sum(1 for _ in every_fact())):
        assert f"{number:,}" in PAGE
    assert f"`aging_seconds` of {MIN_AGING_SECONDS} or more" in PAGE
    assert f"within {NOTICE_SECONDS // 3600} hours of its proposal" in PAGE
    assert f"over {TOLERANCE_SECONDS} seconds before that arrival" in PAGE
