"""`audit verify` reads the log of a node's folder and names the first entry that was changed."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

from tests.simulator.realm import NOW
from tests.unit.province_node.cli.command import command
from tests.unit.province_node.operations.backed_up import Node
from tests.unit.province_node.world import World


def test_an_edited_entry_is_named(world: World, tmp_path: Path) -> None:
    """Status 0 for a log as it was written; 1 and the number for an edited one, 2 without a database."""
    node = Node(world, tmp_path / "node")
    node.revoke(1)
    node.revoke(2)
    checkpoint = node.store.audit.checkpoint(NOW)
    assert checkpoint is not None
    status, out, _ = command("audit", "verify", "--dir", node.root, "--json")
    log = checkpoint.log.hex()
    assert (status, json.loads(out)) == (0, {"intact": True, "log": log, "entries": 256, "purged": 0})
    with contextlib.closing(sqlite3.connect(node.root / "node.db", isolation_level=None)) as raw:
        raw.execute("UPDATE audit SET actor = 'somebody else' WHERE seq = 1")
    status, out, _ = command("audit", "verify", "--dir", node.root, "--json")
    assert (status, json.loads(out)["intact"], json.loads(out)["seq"]) == (1, False, 1)
    assert "entry 1 is not what was recorded" in command("audit", "verify", "--dir", node.root)[1]
    node.store.close()
    for path in node.root.glob("node.db*"):
        path.unlink()
    assert command("audit", "verify", "--dir", node.root)[0] == 2
