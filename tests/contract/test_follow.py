"""A trust folder that follows a registry over real sockets: at once, by poll, offline, and through restarts."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from healthcode.clock import SystemClock
from healthcode.errors import (
    ConfigurationError,
    HealthcodeError,
    NotFoundError,
    Reason,
    TrustError,
    UnavailableError,
)
from healthcode.rpc.server import CallInfo, GrpcServer, ServerLimits
from healthcode.service.registry_source import GrpcSource, connect_source
from healthcode.service.trust_follower import TrustFollower
from healthcode.telemetry import Metrics
from healthcode.trust.client import TrustClient
from healthcode.trust.store import init_trust
from healthcode.trust.view import TrustView
from healthcode.v1 import trust_registry_pb2
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub
from tests.contract.world import REGISTRY, Registry, World
from tests.simulator.process import free_ports
from tests.simulator.realm import SimulatedRealm
from tests.world.background import run_all
from tests.world.waiting import PATIENCE_SECONDS, eventually, until


class Trust(Registry):
    """Serves a simulated realm's files, and tells watchers when something was published."""

    def __init__(self, realm: SimulatedRealm) -> None:
        self.realm = realm
        self.version = 1
        self.changed = asyncio.Event()
        self.silent = False

    def tell(self) -> None:
        self.version += 1
        self.changed.set()
        self.changed = asyncio.Event()

    async def FetchFile(  # noqa: N802  proto
        self, request: trust_registry_pb2.FetchFileRequest, call: CallInfo
    ) -> AsyncIterator[trust_registry_pb2.FetchFileResponse]:
        data = self.realm.fetch(request.path, request.max_bytes)
        for start in range(0, max(1, len(data)), 1000):
            yield trust_registry_pb2.FetchFileResponse(
                chunk=data[start : start + 1000], total_bytes=len(data)
            )

    async def WatchTrust(  # noqa: N802  proto
        self, request: trust_registry_pb2.WatchTrustRequest, call: CallInfo
    ) -> AsyncIterator[trust_registry_pb2.WatchTrustResponse]:
        while True:
            changed = self.changed
            if not self.silent:
                yield trust_registry_pb2.WatchTrustResponse(timestamp_version=1000 + self.version)
            await changed.wait()


@pytest.fixture
def realm() -> SimulatedRealm:
    return SimulatedRealm(now=int(time.time()))


async def serve(world: World, trust: Trust, *, listen: str = "127.0.0.1:0", **limits: float) -> GrpcServer:
    server = world.server(REGISTRY, anonymous=True, listen=listen, limits=ServerLimits(**limits))
    return await world.start(server, trust)


def ca_of(world: World) -> str:
    return world.ca("registry").certificate_pem.decode()


@asynccontextmanager
async def follower_of(
    world: World,
    realm: SimulatedRealm,
    folder: Path,
    port: int,
    *,
    poll_seconds: float = 60,
    on_view: Callable[[TrustView], None] | None = None,
) -> AsyncIterator[TrustFollower]:
    """A follower that runs, over a folder begun with the realm's root."""
    stub = TrustRegistryServiceStub(world.channel(port, REGISTRY, None))
    source = GrpcSource(stub, asyncio.get_running_loop())
    if not (folder / "trust.json").exists():
        await asyncio.to_thread(init_trust, folder, source, realm.fingerprint)
    follower = TrustFollower(
        folder,
        TrustClient(folder, source),
        stub,
        clock=SystemClock(),
        metrics=Metrics("follow"),
        poll_seconds=poll_seconds,
        on_view=on_view,
    )
    follower.open()
    running = asyncio.create_task(run_all(follower.tasks()))
    try:
        yield follower
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def publish(realm: SimulatedRealm, code: str) -> None:
    """A new province, complete, and current in the realm's files."""
    realm.add_province(code)
    realm.publish_province(code)
    realm.publish_live(code)
    realm.publish()


async def test_news_arrive_by_watch_long_before_the_poll(
    world: World, realm: SimulatedRealm, tmp_path: Path
) -> None:
    """With a poll of a minute, a publication is in the view within seconds, and `on_view` has heard of it."""
    trust = Trust(realm)
    server = await serve(world, trust)
    seen: list[int] = []
    async with follower_of(
        world, realm, tmp_path / "t", server.port, on_view=lambda view: seen.append(view.timestamp_version)
    ) as follower:
        await until(lambda: follower.has_view)
        assert set(follower.view.issuers) == {"00", "11", "31"}
        publish(realm, "44")
        trust.tell()
        await until(lambda: "44" in follower.view.issuers)
        assert seen[-1] == follower.view.timestamp_version


async def test_a_watch_that_was_ended_is_opened_again(
    world: World, realm: SimulatedRealm, tmp_path: Path
) -> None:
    """The server ends its streams now and then; nothing is missed."""
    trust = Trust(realm)
    server = await serve(world, trust, stream_age_seconds=0.2)
    async with follower_of(world, realm, tmp_path / "t", server.port) as follower:
        await until(lambda: follower.has_view)
        for code in ("44", "51", "65"):
            await asyncio.sleep(0.3)
            publish(realm, code)
            trust.tell()
            await until(lambda code=code: code in follower.view.issuers)  # type: ignore[misc]  # bound here


async def test_the_poll_stands_in_for_a_silent_watch(
    world: World, realm: SimulatedRealm, tmp_path: Path
) -> None:
    """A registry whose stream says nothing is polled."""
    trust = Trust(realm)
    trust.silent = True
    server = await serve(world, trust)
    async with follower_of(world, realm, tmp_path / "t", server.port, poll_seconds=0.3) as follower:
        await until(lambda: follower.has_view)
        publish(realm, "44")
        await until(lambda: "44" in follower.view.issuers)


async def test_a_restart_with_the_registry_gone_has_its_view_at_once(
    world: World, realm: SimulatedRealm, tmp_path: Path
) -> None:
    """`open` needs no network; when the registry is back, so are its news."""
    trust = Trust(realm)
    (port,) = free_ports(1)
    server = await serve(world, trust, listen=f"127.0.0.1:{port}")
    async with follower_of(world, realm, tmp_path / "t", port) as follower:
        await until(lambda: follower.has_view)
    await server.stop(0)
    async with follower_of(world, realm, tmp_path / "t", port) as follower:
        assert set(follower.view.issuers) == {"00", "11", "31"}
        await asyncio.sleep(0.5)
        assert follower.has_view
        publish(realm, "44")
        await serve(world, Trust(realm), listen=f"127.0.0.1:{port}")
        await until(lambda: "44" in follower.view.issuers)


async def test_a_folder_that_a_command_brought_up_to_date(
    world: World, realm: SimulatedRealm, tmp_path: Path
) -> None:
    """`healthcode trust sync` beside a running service: the service's next refresh takes that view, too."""
    server = await serve(world, Trust(realm))
    async with follower_of(world, realm, tmp_path / "t", server.port) as follower:
        await until(lambda: follower.has_view)
        publish(realm, "44")
        await asyncio.to_thread(TrustClient(tmp_path / "t", realm).refresh, int(time.time()))
        await follower.refresh_now()
        assert "44" in follower.view.issuers


def test_a_source_whose_loop_is_closed_gives_up_at_once() -> None:
    """A refresh under way never holds up the end of the process."""
    loop = asyncio.new_event_loop()
    source = GrpcSource(None, loop)  # type: ignore[arg-type]  # it is never reached
    threading.Timer(0.1, loop.close).start()
    started = time.monotonic()
    for _ in range(2):  # while it closes, and after
        with pytest.raises(UnavailableError):
            source.fetch("metadata/timestamp.json", 1000)
    assert time.monotonic() - started < 8, "a fetch has ten seconds"


async def test_a_registry_that_lies_changes_nothing(
    world: World, realm: SimulatedRealm, tmp_path: Path
) -> None:
    """A refresh that is refused leaves the view; the refusal is counted by its reason, and the next good one counts."""
    trust = Trust(realm)
    server = await serve(world, trust)
    async with follower_of(world, realm, tmp_path / "t", server.port) as follower:
        await until(lambda: follower.has_view)
        before = follower.view
        realm.tampered["metadata/timestamp.json"] = b"{}"
        with pytest.raises(HealthcodeError):
            await follower.refresh_now()
        assert follower.view is before
        realm.tampered.clear()
        publish(realm, "44")
        await follower.refresh_now()
        assert "44" in follower.view.issuers


async def test_without_any_trust_the_view_is_an_error(
    world: World, realm: SimulatedRealm, tmp_path: Path
) -> None:
    """TRUST_UNAVAILABLE, never an empty view that would know no issuer; a folder never begun stops the start."""
    server = await serve(world, Trust(realm))
    stub = TrustRegistryServiceStub(world.channel(server.port, REGISTRY, None))
    source = GrpcSource(stub, asyncio.get_running_loop())
    follower = TrustFollower(
        tmp_path, TrustClient(tmp_path, source), stub, clock=SystemClock(), metrics=Metrics("follow")
    )
    with pytest.raises(ConfigurationError, match="trust init"):
        follower.open()
    await asyncio.to_thread(init_trust, tmp_path, source, realm.fingerprint)
    assert not follower.open()
    assert not follower.has_view
    with pytest.raises(TrustError) as caught:
        _ = follower.view
    assert caught.value.reason is Reason.TRUST_UNAVAILABLE


async def test_a_source_for_commands(world: World, realm: SimulatedRealm, tmp_path: Path) -> None:
    """`connect_source` fetches without an event loop of the caller's, and its errors are those of any source."""
    server = await serve(world, Trust(realm))

    def fetch() -> bytes:
        with connect_source(f"127.0.0.1:{server.port}", ca_pem=ca_of(world)) as source:
            with pytest.raises(NotFoundError) as unknown:
                source.fetch("metadata/nothing.json", 1000)
            assert unknown.value.reason is Reason.FILE_UNKNOWN
            with pytest.raises(TrustError) as large:
                source.fetch("metadata/timestamp.json", 10)
            assert large.value.reason is Reason.TOO_LARGE
            return source.fetch("metadata/timestamp.json", 100_000)

    assert await asyncio.to_thread(fetch) == realm.files["metadata/timestamp.json"]


async def test_a_source_that_sends_without_end_is_cut(world: World) -> None:
    """More than was asked for is refused as it arrives, whatever the server says of the size."""

    class Endless(Registry):
        sent = 0

        async def FetchFile(  # noqa: N802  proto
            self, request: trust_registry_pb2.FetchFileRequest, call: CallInfo
        ) -> AsyncIterator[trust_registry_pb2.FetchFileResponse]:
            while True:
                self.sent += 1
                yield trust_registry_pb2.FetchFileResponse(chunk=b"x" * 1000, total_bytes=5)

    endless = Endless()
    server = await world.start(world.server(REGISTRY, anonymous=True), endless)

    def fetch() -> None:
        with connect_source(f"127.0.0.1:{server.port}", ca_pem=ca_of(world)) as source:
            source.fetch("metadata/timestamp.json", 10_000)

    with pytest.raises(TrustError) as caught:
        await asyncio.to_thread(fetch)
    assert caught.value.reason is Reason.TOO_LARGE

    async def it_sends_no_more() -> bool:
        sent = endless.sent
        await asyncio.sleep(0.2)
        return endless.sent == sent

    await eventually(it_sends_no_more)


async def test_a_source_out_of_reach(world: World) -> None:
    """UNAVAILABLE within the timeout: nobody there, or somebody else."""
    server = await world.start(world.server(REGISTRY, anonymous=True), Registry())

    def fetch(port: int, ca_pem: str) -> None:
        with connect_source(f"127.0.0.1:{port}", ca_pem=ca_pem, timeout_seconds=PATIENCE_SECONDS) as source:
            source.fetch("metadata/timestamp.json", 1000)

    with pytest.raises(UnavailableError, match="out of reach"):
        await asyncio.to_thread(fetch, 1, ca_of(world))
    with pytest.raises(UnavailableError, match="CA expected"):
        await asyncio.to_thread(fetch, server.port, world.ca("44").certificate_pem.decode())
