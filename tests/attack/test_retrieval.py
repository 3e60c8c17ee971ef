"""Endless, slow, silent and false sources are cut in time, and the last good trust serves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from io import StringIO
from pathlib import Path

import grpc.aio
import pytest

from healthcode.errors import Reason, TrustError, UnavailableError
from healthcode.rpc.channel import open_channel
from healthcode.service.registry_source import REGISTRY_NAME
from healthcode.v1.trust_registry_pb2 import FetchFileRequest, FetchFileResponse, WatchTrustResponse
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub
from tests.attack.client import AS_EVER, HEALED, Client
from tests.attack.conftest import Layers
from tests.simulator import mirror as http
from tests.simulator import service as rpc
from tests.simulator.attack import Scene, attack_named
from tests.simulator.mirror import Mirror
from tests.simulator.realm import SimulatedRealm
from tests.simulator.service import SimulatedRegistry
from tests.world.background import run_all
from tests.world.waiting import PATIENCE_SECONDS, until

TIMEOUT_SECONDS = 1.0


def misbehave(layers: Layers, layer: str, how: str, where: str) -> None:
    """Answers every request whose path contains `where` in this way."""
    if layer == "grpc":
        answers = {"endless": rpc.endless, "drip": rpc.drip, "empty": rpc.empty, "stall": rpc.stall}
        layers.registry.behave = lambda path: answers[how] if where in path else None
    else:
        stopped = layers.mirror.stopped
        replies = {"endless": http.endless, "drip": http.drip(stopped), "empty": http.drip_headers(stopped)}
        replies["stall"] = lambda _handler: (
            not stopped.wait(PATIENCE_SECONDS) or None
        )  # says nothing until the client goes
        layers.mirror.behave = lambda path: replies[how] if where in path else None


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("endless", Reason.TOO_LARGE),
        ("drip", Reason.SOURCE_SLOW),
        ("empty", Reason.SOURCE_SLOW),
        ("stall", Reason.SOURCE_SLOW),
    ],
)
@pytest.mark.parametrize(("where", "whom"), [("timestamp.json", None), ("province-31-live", "31")])
async def test_retrieval_that_does_not_end_is_cut(
    layers: Layers,
    layer: str,
    folder: Path,
    realm: SimulatedRealm,
    scene: Scene,
    log: StringIO,
    how: str,
    reason: Reason,
    where: str,
    whom: str | None,
) -> None:
    """An endless or slow file is cut by bytes or time; if it is one province's, only that province is refused."""
    registry: SimulatedRegistry = layers.registry
    mirror: Mirror = layers.mirror
    scene.recover(realm)
    misbehave(layers, layer, how, where)
    with registry.source(timeout_seconds=TIMEOUT_SECONDS) as grpc_source:
        mirror_source = mirror.source(timeout_seconds=TIMEOUT_SECONDS)
        client = Client(folder, realm, grpc_source if layer == "grpc" else mirror_source, log)
        began = time.monotonic()
        refused = await client.refresh()
        assert time.monotonic() - began < PATIENCE_SECONDS / 2
        assert refused is not None
        assert refused[:2] == (whom, reason), refused
        client.told(whom, reason)
        assert client.outcomes() == client.stored_outcomes() == AS_EVER
        if whom is not None:
            assert client.follower.view.issuers["11"].head_version == realm.provinces["11"].head.version
        mirror_source.close()
    layers.serve(realm)
    client = Client(folder, realm, layers.sources[layer], log)
    assert await client.refresh() is None
    assert client.outcomes() == HEALED


def test_a_large_file_may_take_longer_than_a_small_one(layers: Layers) -> None:
    """At the slowest allowed rate a long list arrives, and a small file that takes as long is cut."""

    async def steady(request: FetchFileRequest) -> AsyncIterator[FetchFileResponse]:
        for _ in range(10):
            yield FetchFileResponse(chunk=bytes(10), total_bytes=100)
            await asyncio.sleep(0.15)

    layers.registry.behave = lambda _path: steady
    with layers.registry.source(timeout_seconds=TIMEOUT_SECONDS) as source:
        assert source.fetch("lists/large", 10 * 65_536) == bytes(100)
        with pytest.raises(UnavailableError) as cut:
            source.fetch("lists/small", 100)
        assert cut.value.reason is Reason.SOURCE_SLOW


async def test_a_server_cannot_choose_the_reason(
    layers: Layers, folder: Path, realm: SimulatedRealm, scene: Scene, log: StringIO
) -> None:
    """A registry's own LIST_SHRANK counts as unavailable and raises no alarm about a list."""
    client = Client(folder, realm, layers.sources["grpc"], log)
    lie = rpc.refuse(TrustError("Shanghai shrank", reason=Reason.LIST_SHRANK))
    layers.registry.behave = lambda _path: lie
    refused = await client.refresh()
    assert refused is not None
    assert refused[:2] == (None, Reason.TRUST_UNAVAILABLE)
    client.told(None, Reason.TRUST_UNAVAILABLE)
    assert client.outcomes() == AS_EVER


@pytest.fixture
async def stub(layers: Layers) -> AsyncIterator[object]:
    channel: grpc.aio.Channel = open_channel(
        layers.registry.address, ca_pem=layers.registry.ca_pem, server=REGISTRY_NAME
    )
    yield TrustRegistryServiceStub(channel)
    await channel.close()


async def test_a_watch_that_cries_wolf_costs_little(
    layers: Layers, folder: Path, realm: SimulatedRealm, scene: Scene, log: StringIO, stub: object
) -> None:
    """An endless stream of false news causes few refreshes a second, and real news still arrive."""

    async def flood() -> AsyncIterator[WatchTrustResponse]:
        number = 1_000_000
        while True:
            number += 1
            yield WatchTrustResponse(timestamp_version=number)
            await asyncio.sleep(0.001)

    layers.registry.watch = flood
    client = Client(folder, realm, layers.sources["grpc"], log, stub=stub, poll_seconds=60)
    running = asyncio.create_task(run_all(client.follower.tasks()))
    try:
        await asyncio.sleep(2)
        assert client.count("trust_refresh", result="unchanged") <= 6
        scene.recover(realm)
        await until(lambda: client.outcomes() == HEALED)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        layers.registry.watch = layers.registry._tell


async def test_a_running_service_heals_by_itself(
    layers: Layers, layer: str, folder: Path, realm: SimulatedRealm, scene: Scene, log: StringIO
) -> None:
    """After the registry behaves again, the next poll brings what was missed."""
    attack_named("targets lists a province").harm(realm, scene.past)
    client = Client(folder, realm, layers.sources[layer], log, poll_seconds=0.1)
    running = asyncio.create_task(run_all(client.follower.tasks()))
    try:
        await until(lambda: client.count("trust_refresh", result=Reason.TARGETS_OVERREACH) >= 2)
        assert client.outcomes() == AS_EVER
        scene.recover(realm)
        await until(lambda: client.outcomes() == HEALED)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ("timestamp.json", Reason.MALFORMED_MESSAGE),
        (".snapshot.json", Reason.TRUST_MIXED),
        ("lists/", Reason.LIST_CORRUPT),
    ],
)
async def test_of_two_sources_the_honest_one_serves(
    layers: Layers,
    folder: Path,
    realm: SimulatedRealm,
    scene: Scene,
    log: StringIO,
    part: str,
    reason: Reason,
) -> None:
    """A preferred mirror that lies is passed over by name within the same refresh."""
    scene.recover(realm)
    layers.mirror.files = {
        path: b"x" * len(data) if part in path else data for path, data in realm.files.items()
    }
    client = Client(folder, realm, [layers.sources["mirror"], layers.sources["grpc"]], log)
    assert await client.refresh() is None
    assert client.outcomes() == HEALED
    (line,) = client.events("trust_source_passed_over")
    assert (line["source"], line["reason"]) == (layers.mirror.url, reason)
    assert client.count("trust_source_passed_over", source=layers.mirror.url, reason=reason) == 1
