"""Eight nodes through partitions, kills and a registry restored from a backup; `make federation` has 34."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.federation.tale import Summary, open_tale, tell
from tests.federation.world import PROVINCES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("federation")


@pytest.mark.long
async def test_a_bad_week(folder: Path) -> None:
    """Through cuts, restarts, kills and a restore, no rule of history.py is broken and no revocation is lost."""
    async with open_tale(folder, PROVINCES[:8], processes=2) as federation:
        summary = await tell(federation)
        states = await federation.states()
    assert summary.anomalies == []
    assert summary.looks > 500
    assert summary.revocations > summary.acknowledged - 1 > 35
    assert any(state.get("TRUST_ROLLBACK") for state in states.values()), "what is older was refused"
    assert_all_happened(summary)
    # what was done to whom stands in the history too, each with its beginning and its end
    operations = [json.loads(line) for line in (folder / "operations.jsonl").read_text().splitlines()]
    faults = [each for each in operations if each["operation"] == "Fault"]
    assert len(faults) == sum(summary.counts.values())
    assert all(each["ended"] is not None and each["began"] <= each["ended"] for each in faults)
    assert len(operations) - len(faults) == summary.revocations


def assert_all_happened(summary: Summary) -> None:
    """Each kind of fault happened as often as the tale promises."""
    wanted = {
        "cuts": 4,
        "holds": 1,
        "nodes restarted": 2,
        "nodes killed": 2,
        "kills of the registry": 2,
        "restores of the registry": 1,
    }
    assert all(summary.counts[what] >= count for what, count in wanted.items()), summary.counts
