"""`status`, `joins` and `proposals` as people read them."""

from __future__ import annotations

import json

from tests.integration.trust_registry.cli.at_keyboard import run
from tests.simulator.realm import PEM
from tests.simulator.registry import Province, put_join
from trust_registry.registry import Registry


def test_status_calls_each_signer_by_name(registry: Registry) -> None:
    """Beside each key's id stands its holder, as the ceremony noted it; online keys are the registry's."""
    signers = json.loads(run(registry, "status", "--json").stdout)["signers"]
    called = {line["role"]: line["holders"] for line in signers}
    assert [name.partition(" ")[0] for name in called["targets"]] == [
        "operator-1",
        "operator-2",
        "operator-3",
    ]
    assert all(name.startswith("root-") for name in called["root"])
    for role in ("snapshot", "timestamp", "areas"):
        assert [name.partition(" (")[0] for name in called[role]] == ["this registry"]


def test_tables_are_for_people(registry: Registry, shanghai: Province) -> None:
    """Without --json every command prints something to read."""
    put_join(registry, shanghai)
    for command in (("joins",), ("status",), ("proposals",), ("fingerprint",), ("check",)):
        result = run(registry, *command)
        # nobody serves this one, and status says so
        assert result.exit_code == (4 if command == ("status",) else 0), result.output
        assert result.stdout.strip()
    assert "does not serve: start it" in run(registry, "status").stderr
    assert PEM not in run(registry, "status").output
