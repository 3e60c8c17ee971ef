"""Three provinces watch each other's audit logs: real processes, real sockets, mTLS."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from contextlib import closing

import pytest

from healthcode.audit.entry import AuditEntry
from healthcode.v1 import verdict_pb2
from province_node.store.opening import open_store
from province_node.witness.witness_file import WitnessFile
from tests.integration.province_node.world import Federation, open_federation
from tests.world.command import run_command_here
from tests.world.waiting import until

# three nodes, each of which is started again
pytestmark = pytest.mark.long

CODES = ("31", "44", "11")
OTHERS = ("44", "11")
SETTINGS = "\n[publish]\nresign_seconds = 1.0\n[witness]\nask_seconds = 0.5\n"


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    with open_federation(
        tmp_path_factory.mktemp("witnesses"), CODES, settings=SETTINGS, report_seconds=1
    ) as made:
        yield made


def kept(federation: Federation, at: str, of: str = "31"):
    return WitnessFile(federation.node(at) / "trust").read().get(of)


def record(federation: Federation, code: str = "31") -> None:
    """An entry in the log of a node, which runs or not."""
    store = open_store(federation.settings(code).database)
    try:
        store.audit.record([AuditEntry("TESTED", "a test")], int(time.time()))
    finally:
        store.close()


async def until_kept(federation: Federation, size: int) -> None:
    """Until both others keep so many entries of 31."""
    await until(lambda: all((each := kept(federation, at)) and each.kept.size >= size for at in OTHERS))


def rewrite(federation: Federation) -> None:
    """An administrator of 31 changes what an old row says, and makes leaves and tree fit."""
    with closing(sqlite3.connect(federation.settings("31").database)) as db, db:
        changed = db.execute("UPDATE audit SET actor = 'somebody else', leaf = zeroblob(32) WHERE seq = 3")
        assert changed.rowcount == 1
        db.execute("DELETE FROM audit_node")


async def test_an_edited_row_is_found_by_every_other_province(federation):
    """Growth is proved and raises nothing; a rewritten row is AUDIT_FORK everywhere, and codes pass as before.

    The operators see who found it. A new log after that is AUDIT_RESTARTED, until a person accepts it.
    """
    issued = await federation.issue()
    record(federation)
    await until_kept(federation, 256)
    for size in (512, 768):
        record(federation)
        await until_kept(federation, size)
    assert all(not (each := kept(federation, at)).fork and not each.restart for at in OTHERS)

    federation.stop("31")
    rewrite(federation)
    record(federation)
    federation.start("31")
    await until(lambda: all(kept(federation, at).fork for at in OTHERS), why="no fork was found")
    for at in OTHERS:
        why = kept(federation, at).fork.why
        before, after = map(int, re.findall(r"version (\d+)", why))
        assert "its own signed proof" in why
        assert after - before <= 10
        status = federation.command(at, "status")
        assert [each["alarms"] for each in status["audit_logs"] if each["participant"] == "31"] == [
            ["AUDIT_FORK"]
        ]
        assert any("AUDIT_FORK: the audit log of 31 was rewritten" in each["what"] for each in status["act"])
        assert (await federation.verify(issued.code, at)).outcome == verdict_pb2.OUTCOME_VALID
    checked = run_command_here("province_node", "check", "--dir", federation.node("44"), "--json")
    assert "AUDIT_FORK" in checked.stdout
    await until(lambda: reported(federation) == {"44 AUDIT_FORK 31", "11 AUDIT_FORK 31"})
    assert kept(federation, "31", "44") is None or not kept(federation, "31", "44").fork

    federation.stop("31")
    store = open_store(federation.settings("31").database)
    log = store.audit.begin_log(int(time.time()))
    store.close()
    federation.start("31")
    await until(lambda: all(kept(federation, at).restart for at in OTHERS), why="no restart was found")
    federation.command("44", "audit", "accept-restart", "31", "--log", log.hex())
    assert "restart" not in str(kept(federation, "44").restart)
    record(federation)
    await until(lambda: kept(federation, "44").kept.size >= 512, why="the new log is not followed")
    assert kept(federation, "44").kept.log == log
    assert not kept(federation, "44").fork
    await until(lambda: reported(federation) == {"11 AUDIT_FORK 31", "11 AUDIT_RESTARTED 31"})


def reported(federation: Federation) -> set[str]:
    """What operators see: who has what against whom."""
    done = run_command_here("trust_registry", "nodes", "--dir", federation.root / "registry", "--json")
    return {
        f"{line['node']} {alarm['alarm']} {alarm['participant']}"
        for line in json.loads(done.stdout)["nodes"]
        for alarm in line.get("audit_alarms", ())
    }
