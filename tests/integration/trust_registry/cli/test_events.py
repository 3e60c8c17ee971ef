"""`events`: what the registry's event log says after real ceremonies."""

from __future__ import annotations

import json

from tests.integration.trust_registry.cli.at_keyboard import run
from tests.simulator.registry import Province, admit
from trust_registry.registry import Registry


def test_the_log_says_who_admitted_a_province(registry: Registry, shanghai: Province) -> None:
    """Founding, proposal, each signature, admission and publication, in their order, with the names of the keys."""
    admit(registry, shanghai)
    result = run(registry, "events", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["events"]
    assert [each["event"] for each in found if each["subject"].startswith(("root", "proposal"))] == [
        "FOUNDED",
        "PROPOSED",
        "SIGNED",
        "SIGNED",
        "ADMITTED",
    ]
    admitted = next(each for each in found if each["event"] == "ADMITTED")
    assert "31" in admitted["detail"]
    assert sorted(name.split(" ")[0] for name in admitted["signed_by"]) == ["operator-1", "operator-2"]
    published = [each["subject"] for each in found if each["event"] == "PUBLISHED"]
    assert "targets version 2" in published
    assert "province-31 version 1" in published
    assert not any("live" in each for each in published)
    table = run(registry, "events", "--event", "ADMITTED").output
    assert "ADMITTED" in table
    assert "PUBLISHED" not in table
