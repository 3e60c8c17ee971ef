"""A new policy, and new areas: what the people who sign them are shown."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from healthcode.errors import ConfigurationError, InvalidInputError
from healthcode.policy.book_file import decode_policy
from healthcode.policy.levels_policy import levels_policy_bytes
from tests.integration.trust_registry.cli.at_keyboard import run, signed
from trust_registry.registry import Registry


def in_days(days: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + days * 86_400))


@pytest.fixture
def national(registry: Registry, tmp_path: Path) -> Path:
    """The policy in force, and the one that derives levels in three days."""
    file = tmp_path / "national.json"
    assert run(registry, "policy", "--out", str(file), "--levels-from", in_days(3)).exit_code == 0
    return file


def test_the_policy_in_force_is_extended_by_one_that_derives_levels(
    registry: Registry, national: Path
) -> None:
    """The file has both, and is proposed, signed and published."""
    assert [policy.format for policy in decode_policy(national.read_bytes()).policies] == [1, 2]
    made = json.loads(run(registry, "propose", "policy", str(national), "--json").stdout)
    for holder in ("operator-1", "operator-2"):
        done = json.loads(signed(registry, "sign", made["proposal"], holder=holder).stdout)
    assert done["state"] == "PUBLISHED"
    again = run(registry, "policy", "--out", str(national), "--levels-from", in_days(3))
    assert isinstance(again.exception, InvalidInputError)
    assert run(registry, "policy", "--levels-from", in_days(3)).exit_code != 0
    assert run(registry, "policy", "--out", str(national), "--levels-from", "soon").exit_code != 0


def test_a_signer_is_shown_what_a_policy_changes_and_its_values_on_demand(
    registry: Registry, national: Path
) -> None:
    """One sentence, then what flips; every value with --full; always how many values there are."""
    proposed = run(registry, "propose", "policy", str(national))
    assert "The national policy would change:" in proposed.stderr
    (proposal,) = registry.proposals.all()
    shown = run(registry, "show", proposal.id)
    full = run(registry, "show", proposal.id, "--full")
    for output in (proposed.stderr, shown.stderr, full.stderr):
        assert "  Policy 27.1 begins" in output
        assert "and replaces 2026.1: 1,704 of 25,872 decisions flip (168 stricter, 1,256 milder)" in output
        assert (
            "REFUSE → FURTHER_CHECK (N-RED-1 → N-HOSPITAL-1): outcome VALID; level RED; place HOSPITAL"
            in output
        )
        assert "targets.json / version: 1 → 2" in output
    assert "national.json / policies" not in shown.stderr
    assert "in national.json: --full shows each; nothing else is signed" in shown.stderr
    assert "national.json / policies" in full.stderr
    assert "--full shows" not in full.stderr
    assert len(shown.stderr.splitlines()) < 50 < len(full.stderr.splitlines())
    found = json.loads(run(registry, "show", proposal.id, "--json").stdout)
    assert found["summary"][0].startswith("Policy 27.1 begins")
    assert any(line.startswith("+ national.json / policies") for line in found["changes"])


def test_a_signer_is_shown_the_summary_before_the_question(registry: Registry, national: Path) -> None:
    """Also on a carried file, without a registry; who says no signs nothing."""
    carried = national.with_name("carried.json")
    run(registry, "propose", "policy", str(national), "--out", str(carried), "--json")
    key = str(registry.folder.ceremony / "operator-1.key")
    (proposal,) = registry.proposals.all()
    for reference in (str(carried), proposal.id):
        done = run(registry, "sign", reference, "--key", key, keyboard="n\n")
        assert "and replaces 2026.1" in done.stderr
        assert "--full shows each" in done.stderr
        assert registry.proposals.all()[0].signers == frozenset()


def areas(file: Path, risks: dict[str, Any], seconds: int = 1) -> str:
    as_of = in_days(seconds / 86_400)
    file.write_text(json.dumps({"format": "healthcode/areas/2", "as_of": as_of, "areas": risks}))
    return str(file)


def test_areas_are_compared_shown_and_approved(registry: Registry, tmp_path: Path) -> None:
    """What rises, and what changes the past, is in one sentence; `show` has the published ones."""
    past = {"risk": "HIGH", "from": in_days(-5), "retroactive": True, "instrument": "No. 7"}
    file = areas(tmp_path / "risk.json", {"310115": [past]})
    told = "1 areas rise (310115), THE PAST CHANGES in 1 (310115)."
    assert told in run(registry, "areas", "diff", file).stdout
    assert json.loads(run(registry, "areas", "diff", file, "--json").stdout)["areas"][0]["after"] == "HIGH"
    passphrase = ("--passphrase-file", str(registry.folder.ceremony / "passphrase"))
    for name in ("operator-1", "operator-2"):
        done = run(registry, "areas", "set", file, "--key", name, *passphrase, "--yes")
        assert told in done.stderr
        assert "risk.json / areas" not in done.stderr
    shown = json.loads(run(registry, "areas", "show", "--out", str(tmp_path / "out.json"), "--json").stdout)
    assert [(each["area"], each["province"], each["risk"]) for each in shown["areas"]] == [
        ("310115", "Shanghai 上海", "HIGH")
    ]
    assert "RETROACTIVE" in run(registry, "areas", "show").stdout
    assert (tmp_path / "out.json").read_bytes() == Path(file).read_bytes()
    undeclared = areas(tmp_path / "next.json", {"440106": [{"risk": "HIGH", "from": in_days(-5)}]}, 2)
    assert isinstance(run(registry, "areas", "diff", undeclared).exception, InvalidInputError)


def test_a_realm_is_founded_with_levels_from_evidence(tmp_path: Path) -> None:
    """By itself; it starts with stated levels on demand, or with a policy of one's own."""
    from click.testing import CliRunner

    from trust_registry.__main__ import cli

    given = ["init", "--dir", str(tmp_path / "realm"), "--realm", "test-levels", "--development"]
    policy = tmp_path / "policy.json"
    policy.write_bytes(levels_policy_bytes())
    both = CliRunner().invoke(cli, [*given, "--derive-levels", "--policy", str(policy)])
    assert isinstance(both.exception, InvalidInputError)
    missing = CliRunner().invoke(cli, [*given, "--policy", str(tmp_path / "none.json")])
    assert isinstance(missing.exception, ConfigurationError)
    for folder, more, version in (("realm", [], "27.1"), ("stated", ["--stated-levels"], "2026.1")):
        given[2] = str(tmp_path / folder)
        assert CliRunner().invoke(cli, [*given, *more]).exit_code == 0
        listed = CliRunner().invoke(cli, ["policy", "--dir", given[2], "--json"])
        assert [each["policy"] for each in json.loads(listed.stdout)["policies"]] == [version]
