"""A registry that serves is backed up, and restored after the nodes have gone on: real processes over mTLS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from healthcode.rpc.convert import duration
from healthcode.v1 import province_issuer_pb2, verdict_pb2
from tests.integration.province_node.world import Federation, open_federation
from tests.simulator.process import run_to_end
from tests.world.command import run_command_here
from tests.world.waiting import eventually, wait_until

VALID, REVOKED = verdict_pb2.OUTCOME_VALID, verdict_pb2.OUTCOME_REVOKED

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("province_node_restored_registry")]


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    """Its registry asks for reports each second."""
    with open_federation(tmp_path / "restored", report_seconds=1) as made:
        yield made


def until(federation: Federation, code: province_issuer_pb2.IssuedCode, outcome: int) -> None:
    """Waits until Guangdong's verdict on Shanghai's code is `outcome`."""

    async def reached() -> bool:
        return (await federation.verify(code.code)).outcome == outcome

    asyncio.run(eventually(reached, why=verdict_pb2.Outcome.Name(outcome)))


def issue(federation: Federation) -> province_issuer_pb2.IssuedCode:
    found: list[province_issuer_pb2.IssuedCode] = []

    async def issued() -> bool:
        found[:] = [await federation.issue(validity=duration(3600))]
        return True

    asyncio.run(eventually(issued))
    until(federation, found[0], VALID)
    return found[0]


def revoke(federation: Federation, code: province_issuer_pb2.IssuedCode) -> None:
    federation.command("31", "revoke", code.code, "--reason", "FRAUD", "--yes")


def snapshots(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("repository/metadata/*.snapshot.json")}


def test_the_nodes_go_on_with_a_restored_registry(federation: Federation) -> None:
    """A backup beside the publishing registry; revocations since then stay, later ones reach everybody."""
    registry, backup = federation.root / "registry", federation.root / "registry.tar"
    first, second, third = issue(federation), issue(federation), issue(federation)
    revoke(federation, first)
    run_to_end("trust_registry", "backup", "--dir", registry, backup)
    until(federation, first, REVOKED)
    revoke(federation, second)
    until(federation, second, REVOKED)
    told = run_command_here("trust_registry", "restore", "--dir", registry, "--replace", backup)
    assert told.returncode == 4
    assert "stop it first" in told.stderr
    federation.stop("registry")
    restored = json.loads(
        run_to_end("trust_registry", "restore", "--dir", registry, "--replace", backup, "--json")
    )
    lost = snapshots(Path(restored["replaced"]))
    federation.start("registry")
    wait_until(lambda: not (registry / "restored.json").exists(), why="a node has reported")
    revoke(federation, third)
    for code in (first, second, third):
        until(federation, code, REVOKED)
    newest = max(int(name.partition(".")[0]) for name in lost)
    found = snapshots(registry)
    assert {name: data for name, data in found.items() if name in lost} == {
        name: data for name, data in lost.items() if name in found
    }
    assert max(int(name.partition(".")[0]) for name in found) > newest
