"""A kill -9 in the middle of a revocation in pieces: the same request id finishes it, and its answer is true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from province_node.store.records import RevocationReason, Revoked
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.contract.store.stores import DAY, NOW, issue, request, revoke
from tests.fault.killed_revoking import SELECTION
from tests.world.waiting import wait_until

ROOT = Path(__file__).parents[2]
CODES = 2200


@pytest.fixture
def store(tmp_path):
    """Codes are out, and one is revoked."""
    made = SqliteNodeStore(tmp_path / "node.db")
    issue(made, *range(CODES))
    revoke(made, 7)
    yield made
    made.close()


@pytest.mark.parametrize("pause", [1, 3, 0])
def test_what_a_kill_cuts_is_finished_by_the_same_request(store, tmp_path, pause):
    """Some codes are revoked and no answer is there; the repeat revokes the rest and counts all, once and again."""
    command = [sys.executable, "-m", "tests.fault.killed_revoking", str(tmp_path), str(pause)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        if not pause:
            wait_until(lambda: store.publishing.last_revocation() > 1, pause_seconds=0)
            process.kill()
        process.wait(30)
    revoked = store.publishing.count_revoked(DAY, DAY)
    assert revoked > 1
    if pause:
        assert process.returncode == -9
        assert revoked < CODES
        assert store.revoking.find_revoked(request("all"), NOW) is None
    args = (SELECTION, RevocationReason.FRAUD, request("all"), NOW + 60)
    for _ in range(2):
        answer = store.revoking.revoke_issued_under(*args)
        assert (answer.newly, answer.already) == (CODES - 1, 1)
    assert answer == Revoked(CODES - 1, 1, repeated=True)
    assert store.publishing.count_revoked(DAY, DAY) == CODES
