"""`propose` and `policy`: operators draft changes."""

from __future__ import annotations

import json
import time
from pathlib import Path

from healthcode.errors import InvalidInputError
from healthcode.policy.book_file import default_policy_bytes
from tests.integration.trust_registry.cli.at_keyboard import run
from trust_registry.registry import Registry


def test_a_policy_that_begins_tomorrow_is_refused(registry: Registry, tmp_path: Path) -> None:
    """48 hours' notice, unless it is an emergency."""
    document = json.loads(default_policy_bytes())
    later = {**document["policies"][0], "version": "soon"}
    later["effective_from"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86_400))
    document["policies"].append(later)
    path = tmp_path / "national.json"
    path.write_text(json.dumps(document))
    result = run(registry, "propose", "policy", str(path))
    assert isinstance(result.exception, InvalidInputError)
    assert "48 hours" in result.exception.message


def test_a_slip_in_an_address_is_a_usage_error(registry: Registry) -> None:
    """Nothing is proposed, and the option is named."""
    ca = str(registry.folder.tls / "ca.pem")
    result = run(registry, "propose", "service", "gateway", "--ca", ca, "--endpoint", "nonsense")
    assert result.exit_code == 2
    assert "--endpoint" in result.output
    assert registry.proposals.all() == []


def test_the_present_policy_is_written_out_and_proposed_again(registry: Registry, tmp_path: Path) -> None:
    """Whoever changes the policy begins with the one that is published; unchanged there is nothing to sign."""
    file = tmp_path / "national.json"
    shown = json.loads(run(registry, "policy", "--out", str(file), "--json").stdout)
    assert file.read_bytes() == default_policy_bytes()
    assert [each["note"] for each in shown["policies"]] == ["in force"]
    assert "nothing would change" in str(run(registry, "propose", "policy", str(file)).exception)
