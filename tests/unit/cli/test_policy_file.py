"""`healthcode policy lint, test, diff, explain`: their results and exit statuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from healthcode.policy.book_file import default_policy_bytes
from healthcode.policy.levels_policy import levels_policy_bytes
from tests.simulator.realm import SimulatedRealm
from tests.unit.cli.command import healthcode


@pytest.fixture
def national(tmp_path: Path) -> Path:
    file = tmp_path / "national.json"
    file.write_bytes(levels_policy_bytes())
    return file


def changed(file: Path, change: Any) -> Path:
    written = json.loads(file.read_bytes())
    change(written["policies"][0])
    target = file.with_name("changed.json")
    target.write_text(json.dumps(written))
    return target


def test_lint_refuses_with_1_and_names_each_fault(national: Path) -> None:
    """0 without an error, 1 with one, 2 for a file that is not there."""
    done = healthcode("policy", "lint", national, "--json")
    assert (done.status, done.json()["problems"]) == (0, [])
    slip = changed(national, lambda policy: policy["places"][3]["when"].update(level=["GREN"]))
    done = healthcode("policy", "lint", slip, "--json")
    assert (done.status, done.json()["errors"]) == (1, 1)
    (problem,) = done.json()["problems"]
    assert problem["path"] == "policies[27.1].places[N-PASS-1].when.level[0]"
    assert "did you mean GREEN?" in healthcode("policy", "lint", slip).out
    assert healthcode("policy", "lint", national.with_name("none.json")).status == 2


def test_lint_warns_of_the_policy_of_format_1(tmp_path: Path) -> None:
    """It is in force, and refuses at hospitals: a warning, status 0."""
    file = tmp_path / "old.json"
    file.write_bytes(default_policy_bytes())
    done = healthcode("policy", "lint", file, "--json")
    assert (done.status, done.json()["errors"], done.json()["warnings"]) == (0, 0, 9)


def test_lint_takes_areas_too(tmp_path: Path) -> None:
    """By the file's own format."""
    file = tmp_path / "risk.json"
    file.write_text(
        '{"format":"healthcode/areas/1","as_of":"2026-11-21T00:00:00Z","areas":{"990115":"HIGH"}}'
    )
    done = healthcode("policy", "lint", file)
    assert done.status == 1
    assert "no province has the code 99" in done.out


def test_test_derives_every_example(national: Path) -> None:
    """0 if all are met, 1 if one is not, or if the file has an error."""
    done = healthcode("policy", "test", national, "--json")
    assert (done.status, done.json()["failed"], done.json()["examples"]) == (0, 0, 27)
    wrong = changed(national, lambda policy: policy["levels"][0]["examples"][0].update(level="YELLOW"))
    done = healthcode("policy", "test", wrong, "--json")
    assert (done.status, done.json()["failed"]) == (1, 1)
    failed = [each for each in done.json()["results"] if not each["met"]]
    assert (failed[0]["expected"], failed[0]["derived"]) == ("YELLOW L-A1-1", "RED L-A1-1")
    broken = changed(national, lambda policy: policy.pop("levels"))
    assert healthcode("policy", "test", broken).status == 1


def test_diff_compares_two_files_or_one_with_the_trust_folder(
    national: Path, tmp_path: Path, trust: Path
) -> None:
    """The sentence first; JSON has every group."""
    old = tmp_path / "old.json"
    old.write_bytes(default_policy_bytes())
    done = healthcode("policy", "diff", old, national)
    assert done.status == 0
    assert done.out.startswith("Policy 27.1 begins 2020-01-01T00:00:00Z and replaces 2026.1: ")
    assert "place HOSPITAL" in done.out
    assert healthcode("policy", "diff", national, "--dir", trust).out == done.out
    assert healthcode("policy", "diff", national, national).out == "Nothing changes.\n"
    (change, gone) = healthcode("policy", "diff", old, national, "--json").json()["changes"]
    assert sum(each["facts"] for each in change["decisions"]) == 1704
    assert gone["sentence"] == "Policy 2026.1 is taken out of the file."
    assert healthcode("policy", "diff", old, national, national).status == 2


def test_explain_shows_every_ground_and_why_the_others_have_none(national: Path, tmp_path: Path) -> None:
    """From evidence in a file, at a time, under a policy."""
    evidence = tmp_path / "evidence.json"
    contact = {"source": "cdc", "record": "1", "kind": "CONTACT", "finding": "OVERLAP"}
    evidence.write_text(json.dumps([{**contact, "observed_at": "2027-01-02T00:00:00Z"}]))
    given = (
        "policy",
        "explain",
        "--evidence",
        evidence,
        "--at",
        "2027-01-03T00:00:00Z",
        "--policy",
        national,
    )
    found = healthcode(*given, "--json").json()
    assert (found["level"], found["decided_by"], found["next_change"]) == (
        "YELLOW",
        "L-B3-1",
        "2027-01-16T00:00:00Z",
    )
    assert [each["state"] for each in found["grounds"]] == ["active"]
    assert found["grounds"][0]["text_zh"].startswith("与病例时空伴随")
    assert len(found["other_rules"]) == 14
    assert "No active ground" in healthcode(*given).out


def test_explain_refuses_what_it_cannot_judge(
    realm: SimulatedRealm, trust: Path, national: Path, tmp_path: Path
) -> None:
    """Evidence with a slip, a time that is none, and a policy under which levels are stated: status 2."""
    evidence = tmp_path / "evidence.json"
    evidence.write_text(
        '[{"source":"cdc","record":"1","kind":"CONTACTS","observed_at":"2027-01-02T00:00:00Z"}]'
    )
    done = healthcode("policy", "explain", "--evidence", evidence, "--policy", national)
    assert done.status == 2
    assert "did you mean CONTACT?" in done.err
    assert "policy lint" not in done.err, "which is for policies"
    evidence.write_text("{}\n{}\n")
    done = healthcode("policy", "explain", "--evidence", evidence, "--policy", national)
    assert "evidence.json is no JSON list" in done.err
    evidence.write_text("[]")
    done = healthcode(
        "policy", "explain", "--evidence", evidence, "--policy", national, "--participant", "07"
    )
    assert "07" in done.err
    assert done.status != 0
    given = ("policy", "explain", "--evidence", evidence)
    assert healthcode(*given, "--policy", national, "--at", "yesterday").status == 2
    done = healthcode(*given, "--dir", trust)
    assert done.status == 2
    assert "levels are stated" in done.err
