"""Members follow over places of their own: strangers who use up the public listener delay no revocation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from healthcode.clock import SystemClock
from healthcode.errors import NotFoundError
from healthcode.identity.peer import PeerKind
from healthcode.rpc.server import CallInfo, GrpcServer, ServerLimits
from healthcode.service.registry_source import GrpcSource
from healthcode.service.service_link import ServiceLink
from healthcode.service.trust_follower import TrustFollower
from healthcode.telemetry import Metrics
from healthcode.trust.client import TrustClient
from healthcode.trust.format.json_files import ServiceEntry
from healthcode.trust.store import init_trust
from healthcode.trust.view import TrustView
from healthcode.v1.trust_registry_pb2 import (
    FetchFileRequest,
    FetchFileResponse,
    WatchTrustRequest,
    WatchTrustResponse,
)
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub
from tests.contract.test_follow import Trust, ca_of, publish
from tests.contract.world import REALM, REGISTRY, World, province
from tests.simulator.realm import SimulatedRealm
from tests.world.background import run_all
from tests.world.waiting import until

PLACES = 4


@pytest.fixture
def realm() -> SimulatedRealm:
    return SimulatedRealm(now=int(time.time()))


@asynccontextmanager
async def following(
    world: World, realm: SimulatedRealm, folder: Path, *, public: int, members: int
) -> AsyncIterator[TrustFollower]:
    """A follower that knows both listeners, by port."""
    await asyncio.to_thread(init_trust, folder, realm, realm.fingerprint)

    def trust() -> TrustView:
        entry = ServiceEntry(ca_pem=ca_of(world), endpoint=f"127.0.0.1:{members}")
        return replace(follower.view, services=MappingProxyType({"registry": entry}))

    files, watch = (
        ServiceLink(
            "registry",
            PeerKind.REGISTRY,
            realm=REALM,
            trust=trust,
            tls=world.tls(province("31")),
            clock=SystemClock(),
        )
        for _ in range(2)
    )
    stub = TrustRegistryServiceStub(world.channel(public, REGISTRY, None, retries=False))
    source = GrpcSource(stub, asyncio.get_running_loop(), member=files)
    await asyncio.to_thread(TrustClient(folder, realm).refresh, int(time.time()))
    follower = TrustFollower(
        folder,
        TrustClient(folder, source),
        stub,
        clock=SystemClock(),
        metrics=Metrics("places"),
        poll_seconds=3600,
        member=watch,
    )
    follower.on_refresh_failed = source.rest_member
    follower.open()
    running = asyncio.create_task(run_all(follower.tasks()))
    try:
        yield follower
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        follower.close()
        await files.close()
        await watch.close()


async def serve_both(world: World, trust: Trust, **public: int) -> tuple[GrpcServer, GrpcServer]:
    """The public listener, with these limits, and the members'."""
    limits = ServerLimits(**public)
    strangers = await world.start(world.server(REGISTRY, anonymous=True, limits=limits), trust)
    world.publish("31")
    return strangers, await world.start(world.server(REGISTRY), trust)


async def hears_twice(follower: TrustFollower, realm: SimulatedRealm, trust: Trust) -> None:
    """The first publication may come by the first refresh, the second comes only by the watch."""
    for code in ("44", "50"):
        publish(realm, code)
        trust.tell()
        await until(lambda code=code: code in follower.view.issuers)


@pytest.mark.parametrize("public_first", [False, True])
async def test_strangers_on_all_public_places_delay_no_news(
    world: World, realm: SimulatedRealm, tmp_path: Path, public_first: bool
) -> None:
    """All watches and fetches of the public listener are taken; a publication is in a member's view at once.

    Also where the public listener is asked first, as now and then.
    """
    trust = Trust(realm)
    public, members = await serve_both(world, trust, streams_per_address=PLACES, fetches_per_address=0)
    stranger = TrustRegistryServiceStub(world.channel(public.port, REGISTRY, None))
    held = [stranger.WatchTrust(WatchTrustRequest()) for _ in range(PLACES)]
    for each in held:
        await each.read()
    async with following(world, realm, tmp_path / "t", public=public.port, members=members.port) as follower:
        if public_first:
            follower.on_refresh_failed()
        await hears_twice(follower, realm, trust)
    for each in held:
        each.cancel()


async def test_a_member_that_is_refused_follows_as_anybody(
    world: World, realm: SimulatedRealm, tmp_path: Path
) -> None:
    """Nobody listens at the members' address; files and news come over the public listener."""
    trust = Trust(realm)
    public, members = await serve_both(world, trust)
    await members.stop(0)
    async with following(world, realm, tmp_path / "t", public=public.port, members=members.port) as follower:
        await hears_twice(follower, realm, trust)


class Wrong(Trust):
    """A listener that has no file, and whose watch ends at once, with OK."""

    async def FetchFile(  # noqa: N802  proto
        self, request: FetchFileRequest, call: CallInfo
    ) -> AsyncIterator[FetchFileResponse]:
        raise NotFoundError("there is no such file")
        yield FetchFileResponse()

    async def WatchTrust(  # noqa: N802  proto
        self, request: WatchTrustRequest, call: CallInfo
    ) -> AsyncIterator[WatchTrustResponse]:
        self.version += 1
        yield WatchTrustResponse(timestamp_version=1)


async def test_a_members_listener_that_is_wrong_holds_nobody_back(
    world: World, realm: SimulatedRealm, tmp_path: Path
) -> None:
    """Without files, and with a watch that ends at once: the public listener is asked, and nothing spins."""
    trust, wrong = Trust(realm), Wrong(realm)
    public = await world.start(world.server(REGISTRY, anonymous=True), trust)
    world.publish("31")
    members = await world.start(world.server(REGISTRY), wrong)
    async with following(world, realm, tmp_path / "t", public=public.port, members=members.port) as follower:
        await hears_twice(follower, realm, trust)
        begun = wrong.version
        await asyncio.sleep(1)
        assert wrong.version - begun <= 2
