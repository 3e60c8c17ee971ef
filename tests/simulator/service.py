"""A registry over real gRPC and TLS that serves a simulated realm's files, and can misbehave."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from healthcode.errors import HealthcodeError, NotFoundError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.server import CallInfo, GrpcServer, ServerTls
from healthcode.service.registry_source import GrpcSource, connect_source
from healthcode.telemetry import Metrics
from healthcode.v1 import trust_registry_pb2
from healthcode.v1.trust_registry_pb2 import FetchFileRequest, FetchFileResponse, WatchTrustResponse
from tests.simulator.realm import SimulatedRealm
from tests.world.certificates import Certificates
from tests.world.waiting import PATIENCE_SECONDS

__all__ = ["Answer", "SimulatedRegistry", "drip", "empty", "endless", "refuse", "run_registry", "stall"]

Answer = Callable[[FetchFileRequest], AsyncIterator[FetchFileResponse]]

_CHUNK_BYTES = 65_536


class SimulatedRegistry:
    """The servicer: FetchFile and WatchTrust over `realm`, and no other method.

    `behave` gets the path of each requested file, and returns a way to answer, or None to serve the realm's
    bytes, however many: every bound is the client's.
    """

    service = trust_registry_pb2.DESCRIPTOR.services_by_name["TrustRegistryService"]

    def __init__(self, realm: SimulatedRealm) -> None:
        self.realm = realm
        self.behave: Callable[[str], Answer | None] = lambda _path: None
        self.watch: Callable[[], AsyncIterator[WatchTrustResponse]] = self._tell
        self.asked: list[str] = []
        self.address = ""
        self.ca_pem = ""

    @contextmanager
    def source(self, *, timeout_seconds: float = 5) -> Iterator[GrpcSource]:
        """The product's own client for it."""
        with connect_source(self.address, ca_pem=self.ca_pem, timeout_seconds=timeout_seconds) as source:
            yield source

    async def FetchFile(  # noqa: N802  proto
        self, request: FetchFileRequest, call: CallInfo
    ) -> AsyncIterator[FetchFileResponse]:
        self.asked.append(request.path)
        answer = self.behave(request.path)
        if answer is not None:
            async for response in answer(request):
                yield response
            return
        data = self.realm.serve(request.path)
        if data is None:
            raise NotFoundError(f"no file {request.path}")
        for start in range(0, max(1, len(data)), _CHUNK_BYTES):
            yield FetchFileResponse(chunk=data[start : start + _CHUNK_BYTES], total_bytes=len(data))

    async def WatchTrust(  # noqa: N802  proto
        self, request: trust_registry_pb2.WatchTrustRequest, call: CallInfo
    ) -> AsyncIterator[WatchTrustResponse]:
        async for news in self.watch():
            yield news

    async def _tell(self) -> AsyncIterator[WatchTrustResponse]:
        """Each new timestamp of the realm."""
        seen = 0
        while True:
            if self.realm.timestamp_version != seen:
                seen = self.realm.timestamp_version
                yield WatchTrustResponse(timestamp_version=seen)
            await asyncio.sleep(0.02)

    def __getattr__(self, method: str) -> object:
        """Makes every other method NOT_FOUND."""
        if method not in self.service.methods_by_name:
            raise AttributeError(method)

        async def absent(request: object, call: CallInfo) -> object:
            raise NotFoundError(f"{method} is not simulated")

        return absent


@contextmanager
def run_registry(realm: SimulatedRealm, folder: Path) -> Iterator[SimulatedRegistry]:
    """Runs a registry on 127.0.0.1, in a thread of its own; `folder` takes its certificate."""
    certificates = Certificates(folder, now=int(time.time()))
    tls = certificates.tls(PeerId("test-simulator", PeerKind.REGISTRY))
    registry = SimulatedRegistry(realm)
    registry.ca_pem = certificates.ca_pem("registry")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="registry", daemon=True)
    thread.start()

    async def start() -> GrpcServer:
        server = GrpcServer(
            "127.0.0.1:0", ServerTls(tls, client_cas=None), metrics=Metrics("simulator"), verifier=None
        )
        server.add(registry.service, registry)
        await server.start()
        return server

    try:
        server = asyncio.run_coroutine_threadsafe(start(), loop).result(PATIENCE_SECONDS)
        registry.address = f"127.0.0.1:{server.port}"
        try:
            yield registry
        finally:
            asyncio.run_coroutine_threadsafe(server.stop(0), loop).result(PATIENCE_SECONDS)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def endless(request: FetchFileRequest) -> AsyncIterator[FetchFileResponse]:
    """A file that never ends and claims to be small."""
    while True:
        yield FetchFileResponse(chunk=b"x" * _CHUNK_BYTES, total_bytes=5)


async def drip(request: FetchFileRequest) -> AsyncIterator[FetchFileResponse]:
    """A file that comes byte by byte."""
    while True:
        yield FetchFileResponse(chunk=b"x", total_bytes=1000)
        await asyncio.sleep(0.05)


async def empty(request: FetchFileRequest) -> AsyncIterator[FetchFileResponse]:
    """A stream of messages without bytes."""
    while True:
        yield FetchFileResponse(total_bytes=1000)
        await asyncio.sleep(0.001)


async def stall(request: FetchFileRequest) -> AsyncIterator[FetchFileResponse]:
    """A first byte, and then nothing."""
    yield FetchFileResponse(chunk=b"{", total_bytes=1000)
    await asyncio.Event().wait()


def refuse(error: HealthcodeError) -> Answer:
    """An error of the server's choice."""

    async def answer(request: FetchFileRequest) -> AsyncIterator[FetchFileResponse]:
        raise error
        yield  # a generator all the same

    return answer
