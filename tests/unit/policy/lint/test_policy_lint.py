"""`healthcode policy lint`: what it refuses, and where it says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from healthcode.errors import InvalidInputError
from healthcode.policy.book_file import default_policy_bytes
from healthcode.policy.levels_policy import levels_policy_bytes
from healthcode.policy.lint.policy_lint import check_policy, lint_policy
from healthcode.policy.lint.problem import Severity
from tests.unit.policy.policies import document
from tests.world.level_rules import format_2

Written = dict[str, Any]


def national() -> Written:
    """The first national policy of format 2."""
    loaded: Written = json.loads(levels_policy_bytes())
    return loaded


def errors(written: Any) -> dict[str, str]:
    """The errors of a file by path, below its first policy."""
    found: dict[str, str] = {}
    for each in lint_policy(json.dumps(written).encode()):
        if each.severity is Severity.ERROR:
            path = each.path.split("].", 1)[-1]
            found[path] = f"{found.get(path, '')}{each.text}; "
    return found


def changed(change: Callable[[Written], object]) -> Written:
    """The national policy with a change in its first policy."""
    written = national()
    change(written["policies"][0])
    return written


def rule(policy: Written, name: str, table: str = "levels") -> Written:
    found: Written = next(each for each in policy[table] if each["id"] == name)
    return found


def test_what_is_in_the_package_has_no_error() -> None:
    """The policy of format 2 has not even a warning; that of format 1 refuses at hospitals, which is known."""
    assert lint_policy(levels_policy_bytes()) == []
    found = lint_policy(default_policy_bytes())
    assert {each.severity for each in found} == {Severity.WARNING}
    assert all("HOSPITAL" in each.text for each in found)
    assert errors(format_2()) == {}


LEVELS: list[tuple[str, Callable[[Written], object], str, str]] = [
    ("version", lambda p: p.update(version="2027.10"), "version", "1 to 6"),
    ("lower case", lambda p: p.update(version="a1"), "version", "1 to 6"),
    ("no rule", lambda p: p["levels"].remove(rule(p, "L-B5-1")), "levels", "B5 has no rule"),
    ("letter", lambda p: rule(p, "L-A2-1").update(level="YELLOW"), "levels[L-A2-1].level", "A2 means RED"),
    (
        "kind",
        lambda p: rule(p, "L-B1-1").update(reason="B3"),
        "levels[L-B1-1].when.kind",
        "B3 rests on CONTACT",
    ),
    (
        "finding",
        lambda p: rule(p, "L-A3-1")["when"].update(finding=["CLOSE"]),
        "levels[L-A3-1].when.finding",
        "no finding",
    ),
    (
        "overlap",
        lambda p: rule(p, "L-A4-2")["when"].update(finding=["CLOSE"]),
        "levels[L-A4-2]",
        "overlaps with L-A4-1",
    ),
    (
        "any finding",
        lambda p: rule(p, "L-A4-1")["when"].pop("finding"),
        "levels[L-A4-2]",
        "CONTACT SECOND would match both",
    ),
    (
        "risks",
        lambda p: rule(p, "L-B4-1")["when"].update(risk=["HIGH"]),
        "levels[L-B4-1]",
        "AREA_STAY HIGH would",
    ),
    ("no end", lambda p: rule(p, "L-A1-1").pop("lasts_days"), "levels[L-A1-1].lasts_days", "is missing"),
    (
        "one person",
        lambda p: rule(p, "L-A8-1").pop("two_persons"),
        "levels[L-A8-1].two_persons",
        "must be true",
    ),
    (
        "no instrument",
        lambda p: rule(p, "L-B6-1").update(needs=["until"]),
        "levels[L-B6-1].needs",
        "lacks instrument",
    ),
    (
        "no until",
        lambda p: rule(p, "L-A8-1").update(needs=["instrument"]),
        "levels[L-A8-1].needs",
        "lacks until",
    ),
    ("unkept", lambda p: p["retention_days"].pop("CONTACT"), "retention_days.CONTACT", "is missing"),
    (
        "kept briefly",
        lambda p: p["retention_days"].update(PUSH=29),
        "retention_days.PUSH",
        "looked at for 30",
    ),
    ("look-back", lambda p: p.update(lookback_days=27), "levels[L-A2-1].lasts_days", "28"),
    ("stay", lambda p: rule(p, "L-A7-1")["when"].pop("risk"), "levels[L-A7-1].when.risk", "is missing"),
    (
        "minutes",
        lambda p: rule(p, "L-A1-1")["when"].update(stay_minutes_at_least=1),
        "levels[L-A1-1].when.stay_minutes_at_least",
        "AREA_STAY alone",
    ),
    (
        "method",
        lambda p: rule(p, "L-A1-1")["when"].update(method=["NUCLEIC"]),
        "levels[L-A1-1].when.method",
        "tests alone",
    ),
    (
        "nothing",
        lambda p: rule(p, "L-A1-1")["when"].update(finding=[]),
        "levels[L-A1-1].when.finding",
        "never be reached",
    ),
    ("everybody", lambda p: p["no_evidence"].pop("*"), "no_evidence", 'no "*"'),
    ("00", lambda p: p["no_evidence"].update({"00": "GREEN"}), "no_evidence", "00 must be PENDING"),
    ("guilty", lambda p: p["no_evidence"].update({"44": "RED"}), "no_evidence.44", "only GREEN or PENDING"),
    ("no Chinese", lambda p: rule(p, "L-A1-1").pop("text_zh"), "levels[L-A1-1].text_zh", "is missing"),
]


@pytest.mark.parametrize(
    ("change", "path", "told"), [each[1:] for each in LEVELS], ids=[each[0] for each in LEVELS]
)
def test_level_rules(change: Callable[[Written], object], path: str, told: str) -> None:
    """Each rule of lint finds its fault, and names the place."""
    assert told in errors(changed(change))[path]


TABLES: list[tuple[str, Callable[[Written], object], str, str]] = [
    (
        "unreachable",
        lambda p: p["places"].insert(
            4,
            {
                "id": "N-LATE-1",
                "when": {"outcome": ["VALID"], "level": ["GREEN"], "place": ["PARK"]},
                "decision": "PASS",
            },
        ),
        "places[N-LATE-1]",
        "never reached",
    ),
    (
        "R4",
        lambda p: rule(p, "N-PASS-1", "places")["when"].update(level=["GREEN"]),
        "places[N-PASS-1]",
        "differently",
    ),
    (
        "hospital",
        lambda p: p["places"].remove(rule(p, "N-HOSPITAL-1", "places")),
        "places[N-RED-1]",
        "refuses a person at HOSPITAL",
    ),
    (
        "red passes",
        lambda p: rule(p, "N-PASS-1", "places")["when"]["level"].append("RED"),
        "places[N-PASS-1]",
        "lets RED pass",
    ),
    (
        "forged passes",
        lambda p: rule(p, "N-PASS-1", "places")["when"]["outcome"].append("BAD_SIGNATURE"),
        "places[N-PASS-1]",
        "lets pass what is not VALID",
    ),
    (
        "outage refused",
        lambda p: rule(p, "N-STALE-1", "places").update(decision="REFUSE"),
        "places[N-STALE-1]",
        "refuses",
    ),
    (
        "no remedy",
        lambda p: rule(p, "N-RED-1", "places").pop("remedy_zh"),
        "places[N-RED-1].remedy_zh",
        "is missing",
    ),
    (
        "check",
        lambda p: p["checks"].insert(
            1,
            {
                "id": "C-2",
                "when": {"area": ["LOW"], "category": ["GENERAL"], "place": ["PARK"]},
                "requirement": "CHECK",
            },
        ),
        "checks[C-2]",
        "never reached",
    ),
    (
        "last check",
        lambda p: rule(p, "C-1", "checks").update(when={"place": ["PARK"]}),
        "checks[C-1].when",
        "no conditions",
    ),
]


@pytest.mark.parametrize(
    ("change", "path", "told"), [each[1:] for each in TABLES], ids=[each[0] for each in TABLES]
)
def test_tables(change: Callable[[Written], object], path: str, told: str) -> None:
    """`places` and `checks` are judged by all facts, not by how they are written."""
    assert told in errors(changed(change))[path]


def test_the_last_row_of_places_has_no_conditions() -> None:
    """Else some facts would have no decision: no reader takes such a file."""
    written = changed(lambda policy: policy["places"].pop())
    assert "the last rule must have no conditions" in errors(written)["policies"]


def test_a_policy_of_format_1_is_linted_as_strictly() -> None:
    """GREEN and NO_ABNORMALITY may not differ there either, and a field of format 2 is unknown."""
    written = document()
    written["policies"][0]["places"][0]["when"]["level"] = ["GREEN"]
    assert "differently" in errors(written)["places[N-PASS-1]"]
    written = document()
    written["policies"][0]["lookback_days"] = 30
    assert "unknown field" in errors(written)["lookback_days"]


def test_a_file_of_format_2_may_have_policies_of_format_1() -> None:
    """The policy in force stays in the file until the next one begins."""
    written = national()
    written["policies"][0]["effective_from"] = "2027-01-01T00:00:00Z"
    written["policies"].insert(0, document()["policies"][0])
    assert errors(written) == {}
    written["policies"][0]["levles"] = []
    assert "did you mean levels?" in errors(written)["levles"]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"{", "not JSON"),
        (b"[]", "document has no such text"),
        (b'{"format":"healthcode/policy/9999","policies":[{}]}', "policy.format"),
        (b'{"format":"healthcode/policy/2","policies":[{}]}', "version: is missing"),
        (b'{"format":"healthcode/policy/2","policies":[{"version":5}]}', "version: 5"),
        (b'{"format":"healthcode/policy/2","policies":[{"version":"\\u0000","x":1}]}', "unknown field 'x'"),
    ],
)
def test_what_is_no_policy_is_refused_by_name(data: bytes, told: str) -> None:
    """Whatever the file is, lint answers; signing refuses it."""
    assert any(told in str(each) for each in lint_policy(data))
    with pytest.raises(InvalidInputError):
        check_policy(data)
