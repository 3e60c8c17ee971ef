"""After kill -9 a registry has everything that it acknowledged, complete."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from pathlib import Path

from healthcode.clock import SystemClock
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.revocation.day import day_of
from healthcode.rpc.channel import open_channel
from healthcode.trust.client import TrustClient
from healthcode.trust.format.layout import live_role, metadata_file
from healthcode.trust.sources.trust_source import FolderSource
from healthcode.trust.store import init_trust
from healthcode.trust.verify.roots import root_fingerprint
from healthcode.v1.trust_registry_pb2 import PublishProvinceRequest
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub
from tests.simulator.fork_server import run_forked, start_forked
from tests.simulator.process import free_ports, start_service
from tests.simulator.realm import NOW
from tests.simulator.registry import Province, admit, found_registry, operator, plan
from tests.world.waiting import PATIENCE_SECONDS
from trust_registry.participants.join import receive_join
from trust_registry.proposals.drafts import draft_admission
from trust_registry.proposals.sign import sign_proposal
from trust_registry.registry import Registry

ROUNDS = 6
BUDGET_SECONDS = 60

# a registry's writer in a process of its own: publishes as fast as it can, and says what it acknowledged
WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from healthcode.revocation.day import day_of
from tests.simulator.realm import NOW
from trust_registry.registry import open_registry
from tests.simulator.registry import Province
from tests.world.clock import ManualClock
from trust_registry.layout import RegistryFolder
from trust_registry.participants.submission import Publisher

folder, spool = Path(sys.argv[1]), Path(sys.argv[2])
registry = open_registry(RegistryFolder(folder), ManualClock(), {})
publisher = Publisher(registry.repository)
shanghai = Province("31", "test-registry")
version = registry.repository.published().version_of("province-31-live")
while True:
    version += 1
    shanghai.lists.clear()
    shanghai.head = replace(shanghai.head, version=version)
    shanghai.revoke(day_of(NOW), range(version + 1), version=version)
    metadata, head = shanghai.live_publication(version)
    receipt = publisher.publish_revocations("31", metadata, head, shanghai.spool(spool))
    registry.repository.renew()
    print(receipt.version, receipt.snapshot_version, flush=True)
"""


def test_an_acknowledged_publication_survives_kill_9(tmp_path: Path) -> None:
    """Killed at random moments while it publishes and renews, it loses nothing that it acknowledged.

    A client verifies the whole tree after each kill, and never goes back.
    """
    registry = found_registry(tmp_path / "registry")
    admit(registry, Province("31", "test-registry"))
    source = FolderSource(registry.folder.repository)
    init_trust(
        tmp_path / "trust", source, root_fingerprint(registry.repository.tree.read(metadata_file("root", 1)))
    )
    client = TrustClient(tmp_path / "trust", source)
    chance = random.Random(31)
    started, rounds, acknowledged = time.monotonic(), 0, 0
    while rounds < ROUNDS and time.monotonic() - started < BUDGET_SECONDS:
        rounds += 1
        acknowledged = max(acknowledged, _publish_and_kill(registry, tmp_path / "spool", chance))
        published = registry.repository.published()
        assert published.version_of(live_role("31")) >= acknowledged
        result = client.refresh(NOW)
        assert not result.rejected
        revocations = result.view.issuers["31"].revocations
        assert revocations is not None
        assert len(revocations.lists[day_of(NOW)]) >= acknowledged
    assert rounds >= 3
    assert acknowledged > rounds, "the writer must have published between the kills"


def _publish_and_kill(registry: Registry, spool: Path, chance: random.Random) -> int:
    """Lets a writer publish for a moment and kills it; the last version that it acknowledged."""
    read, write = os.pipe()
    with os.fdopen(read) as told:
        with os.fdopen(write, "w") as stream:
            process = start_forked(
                registry.folder.root, spool, script=WRITER, stdout=stream, stderr=sys.stderr
            )
        lines = [told.readline() for _ in range(chance.randint(1, 4))]
        time.sleep(chance.uniform(0.0, 0.03))
        process.kill()
        lines += told.read().splitlines(keepends=True)
    process.wait()
    complete = [line for line in lines if line.endswith("\n")]
    assert complete, "the writer ended before it published"
    return int(complete[-1].split()[0])


def test_every_point_of_a_publication_is_a_good_place_to_die(tmp_path: Path) -> None:
    """Killed before each write of a publication in turn, the tree is unchanged.

    After the last write it has the new state, and the next publication always succeeds.
    """
    registry = found_registry(tmp_path / "registry")
    admit(registry, Province("31", "test-registry"))
    reached = []
    for step in range(12):
        version = registry.repository.published().version_of("province-31") + 1
        done = run_forked(DYING, registry.folder.root, str(version), str(step))
        now = registry.repository.published().version_of("province-31")
        if done.returncode == 0:
            assert now == version
            break
        assert done.returncode == -9, done.stderr
        assert now == version - 1
        reached.append(json.loads(done.stdout)["before"])
    else:
        raise AssertionError("a publication never ended")
    assert [name.rpartition(".")[2] for name in reached] == ["json"] * len(reached)
    assert reached[-1] == "timestamp.json"


async def _publish(folder: Path, port: int, province: Province, version: int) -> int:
    """Publishes over mTLS; the version that the server acknowledged."""
    metadata, data = province.publication(version, name=f"version {version}")
    channel = open_channel(
        f"127.0.0.1:{port}",
        ca_pem=(folder / "tls" / "ca.pem").read_text(),
        server=PeerId("test-registry", PeerKind.REGISTRY),
        identity=province.leaf(),
    )
    async with channel:
        request = PublishProvinceRequest(request_id=f"{version}", metadata=metadata, province_json=data)
        answer = await TrustRegistryServiceStub(channel).PublishProvince(request, timeout=PATIENCE_SECONDS)
    return int(answer.version)


def test_a_server_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """Killed right after an answer, the server comes back with what it answered, and takes the next version."""
    port, public_port = free_ports(2)
    ceremony = plan(listen=f"127.0.0.1:{port}", public=f"127.0.0.1:{public_port}")
    registry = found_registry(tmp_path / "registry", clock=SystemClock(), ceremony=ceremony)
    now = int(time.time())
    province = Province("31", "test-registry", now=now)
    received = receive_join(registry.joins, province.join_request(), registry.repository.published(), now)
    proposal = draft_admission(registry.repository, registry.proposals, [received.join])
    for name in ("operator-1", "operator-2"):
        sign_proposal(registry.repository, registry.proposals, proposal.id, operator(registry, name))
    for version in (2, 3):
        arguments = ("serve", "--dir", tmp_path / "registry")
        with start_service("trust_registry", *arguments, log=tmp_path / f"log-{version}") as service:
            assert asyncio.run(_publish(tmp_path / "registry", port, province, version)) == version
            service.kill()
        assert registry.repository.published().version_of("province-31") == version


DYING = """
import json, os, signal, sys
from pathlib import Path
import healthcode.storage.files as durable
from trust_registry.registry import open_registry
from tests.simulator.registry import Province
from tests.world.clock import ManualClock
from trust_registry.layout import RegistryFolder
from trust_registry.participants.submission import Publisher

folder, version, step = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
rename, renamed = durable.rename, []

def dying(source, path):
    if len(renamed) == step:
        print(json.dumps({"before": path.name}), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    renamed.append(path)
    rename(source, path)

durable.rename = dying
registry = open_registry(RegistryFolder(folder), ManualClock(), {})
shanghai = Province("31", "test-registry")
Publisher(registry.repository).publish_province("31", *shanghai.publication(version, name=f"step {step}"))
"""
