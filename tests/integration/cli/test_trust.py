"""`healthcode trust` from a registry over TLS and from mirrors: begin, keep current, refuse others."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from healthcode.cli.remembered_sources import read_sources
from healthcode.rpc.server import GrpcServer, ServerTls
from healthcode.telemetry import Metrics
from healthcode.trust.store import TrustStore
from tests.integration.gateway.world import REGISTRY, World, free_port
from tests.simulator.mirror import run_mirror
from tests.simulator.realm import SimulatedRealm
from tests.simulator.service import SimulatedRegistry
from tests.unit.cli.command import Done, carry, healthcode, init
from tests.world.waiting import PATIENCE_SECONDS, wait_until


class Verifier:
    """Somebody with a trust folder, and a registry's public listener."""

    def __init__(self, world: World, registry: GrpcServer) -> None:
        self.world = world
        self.registry = registry
        self.folder = world.folder / "verifier"
        self.ca = world.folder / "registry-ca.pem"
        self.ca.write_bytes(world.ca("registry").certificate_pem)

    async def init(self, *, port: int | None = None, ca: Path | None = None) -> Done:
        source = f"grpcs://127.0.0.1:{port or self.registry.port}"
        return await asyncio.to_thread(
            healthcode, "trust", "init", "--source", source, "--ca", ca or self.ca,
            "--root-fingerprint", self.world.realm.fingerprint, "--dir", self.folder, "--json",
        )  # fmt: skip

    async def sync(self) -> Done:
        return await asyncio.to_thread(healthcode, "trust", "sync", "--dir", self.folder, "--json")


@pytest.fixture
async def verifier(tmp_path: Path) -> AsyncIterator[Verifier]:
    async with AsyncExitStack() as stack:
        world = World(tmp_path, stack)
        registry = GrpcServer(
            "127.0.0.1:0",
            ServerTls(world.tls(REGISTRY), client_cas=None),
            metrics=Metrics("registry-test"),
            verifier=None,
        )
        registry.add(SimulatedRegistry.service, SimulatedRegistry(world.realm))
        await registry.start()
        stack.push_async_callback(registry.stop, 0)
        yield Verifier(world, registry)


async def test_begins_and_keeps_current(verifier: Verifier) -> None:
    """The registry's address and CA are named once; what is published later comes with `sync`."""
    begun = await verifier.init()
    assert begun.status == 0, begun.err
    assert begun.json()["issuers"] == ["11", "31", "44"]
    verifier.world.realm.publish()
    synced = await verifier.sync()
    assert (synced.status, synced.json()["changed"]) == (0, True)
    assert synced.json()["trust_version"] == verifier.world.realm.snapshot_version


async def test_another_s_certificate_is_not_believed(verifier: Verifier) -> None:
    """A server under another CA is not asked for anything: refused (1), naming the certificate."""
    other = verifier.world.folder / "other-ca.pem"
    other.write_bytes(verifier.world.ca("11").certificate_pem)
    done = await verifier.init(ca=other)
    assert done.status == 1
    assert "certificate" in done.err
    assert json.loads(done.err)["error"]["reason"] == "SERVER_REFUSED"


async def test_out_of_reach_says_so(verifier: Verifier) -> None:
    """Status 4 and the address, at the beginning and later; the folder goes on serving."""
    port = free_port()
    done = await verifier.init(port=port)
    assert done.status == 4
    assert f"127.0.0.1:{port}" in done.err
    assert (await verifier.init()).status == 0
    await verifier.registry.stop(0)
    assert (await verifier.sync()).status == 4
    shown = await asyncio.to_thread(healthcode, "trust", "show", "--dir", verifier.folder)
    assert shown.status == 0


@pytest.fixture
def present() -> SimulatedRealm:
    """A realm of this very moment, since the commands know no other."""
    return SimulatedRealm(now=int(time.time()))


def test_several_sources_are_remembered_and_told(present: SimulatedRealm, tmp_path: Path) -> None:
    """A dead one is passed over by name, the newest that holds is taken, a mirror over HTTP like a folder."""
    folder, stale = tmp_path / "trust", carry(present, tmp_path / "stale")
    with run_mirror(present.files) as mirror:
        done = init(present, tmp_path / "gone", folder, "--source", stale, "--source", mirror.url)
        assert done.status == 0, done.err
        assert done.json()["source"] == str(stale)
        assert [each["source"] for each in done.json()["passed_over"]] == [str(tmp_path / "gone")]
        present.publish()
        synced = healthcode("trust", "sync", "--dir", folder, "--json").json()
        assert (synced["source"], synced["trust_version"]) == (mirror.url, present.snapshot_version)
        assert "passed over" in healthcode("trust", "sync", "--dir", folder).out
    assert len(read_sources(folder)) == 3


def test_follow_keeps_a_folder_current(present: SimulatedRealm, tmp_path: Path) -> None:
    """News of a mirror arrive by the poll alone, and SIGTERM ends it."""
    folder = tmp_path / "trust"
    with run_mirror(present.files) as mirror:
        init(present, mirror.url, folder)
        command = [sys.executable, "-m", "healthcode.cli", "trust", "follow", "--dir", str(folder)]
        with subprocess.Popen([*command, "--poll-seconds", "1"], stderr=subprocess.DEVNULL) as process:
            present.publish()
            wait_until(lambda: TrustStore.open(folder).view.snapshot_version == present.snapshot_version)
            process.terminate()
            process.wait(PATIENCE_SECONDS)
