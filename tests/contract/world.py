"""Servers and clients over mTLS on loopback, with small servicers that can misbehave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc.aio

from healthcode.clock import SystemClock
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.peer_verifier import PeerVerifier
from healthcode.rpc.mtls.tls_files import CertifiedKey
from healthcode.rpc.server import CallInfo, GrpcServer, ServerTls
from healthcode.telemetry import Metrics
from healthcode.v1 import gateway_pb2, province_node_pb2, trust_registry_pb2
from tests.world.certificates import Certificates, owner_of

REALM = "test-contract"
GATEWAY = PeerId(REALM, PeerKind.GATEWAY)
REGISTRY = PeerId(REALM, PeerKind.REGISTRY)
INTEGRATOR = PeerId(REALM, PeerKind.INTEGRATOR, "31", "turnstile")


def province(code: str) -> PeerId:
    return PeerId(REALM, PeerKind.PROVINCE, code)


class World(Certificates):
    """Certificates, published CAs by owner, servers and channels, which are closed at the end."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        super().__init__(folder, now=int(time.time()))
        self.metrics = Metrics("contract")
        self.published: dict[str, str] = {}
        self._stack = stack

    def publish(self, *owners: str) -> None:
        self.published |= {owner: self.ca_pem(owner) for owner in owners}

    def server(self, peer: PeerId, *, anonymous: bool = False, **options: Any) -> GrpcServer:
        verifier = PeerVerifier(
            realm=REALM,
            ca_for=self._published_for,
            clock=SystemClock(),
            proxies=options.pop("proxies", None),
        )
        return GrpcServer(
            options.pop("listen", "127.0.0.1:0"),
            ServerTls(self.tls(peer), client_cas=None if anonymous else self._pool),
            metrics=self.metrics,
            verifier=None if anonymous else verifier,
            participant=peer.participant,
            **options,
        )

    async def start(self, server: GrpcServer, *servicers: Any) -> GrpcServer:
        for servicer in servicers:
            server.add(servicer.service, servicer)
        await server.start()
        self._stack.push_async_callback(server.stop, 0)
        return server

    def channel(
        self, port: int, server: PeerId, identity: CertifiedKey | None, **options: Any
    ) -> grpc.aio.Channel:
        ca = options.pop("ca_pem", self.ca_pem(owner_of(server)))
        channel = open_channel(f"127.0.0.1:{port}", ca_pem=ca, server=server, identity=identity, **options)
        self._stack.push_async_callback(channel.close)
        return channel

    def _pool(self) -> Sequence[str]:
        return list(self.published.values())

    def _published_for(self, peer: PeerId) -> Sequence[str]:
        found = self.published.get(owner_of(peer))
        return [found] if found else []


class Gateway:
    """Ask answers with the caller's URI; the issuers "raise" and "wait" make it misbehave."""

    service = gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"]
    secret = "the passphrase is correct horse"

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.calls = 0

    async def Ask(self, request: gateway_pb2.AskRequest, call: CallInfo) -> gateway_pb2.AskResponse:  # noqa: N802  proto
        self.calls += 1
        if request.issuer == "raise":
            raise RuntimeError(self.secret)
        if request.issuer == "wait":
            self.started.set()
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return gateway_pb2.AskResponse(answer=call.caller().uri.encode())


class Registry:
    """FetchFile gives ten chunks, WatchTrust does not end, PublishRevocations counts its messages."""

    service = trust_registry_pb2.DESCRIPTOR.services_by_name["TrustRegistryService"]

    async def FetchFile(  # noqa: N802  proto
        self, request: trust_registry_pb2.FetchFileRequest, call: CallInfo
    ) -> AsyncIterator[trust_registry_pb2.FetchFileResponse]:
        for _ in range(10):
            yield trust_registry_pb2.FetchFileResponse(chunk=b"chunk")
            await asyncio.sleep(0.02)

    async def WatchTrust(  # noqa: N802  proto
        self, request: trust_registry_pb2.WatchTrustRequest, call: CallInfo
    ) -> AsyncIterator[trust_registry_pb2.WatchTrustResponse]:
        yield trust_registry_pb2.WatchTrustResponse(timestamp_version=1)
        await asyncio.Event().wait()

    async def SubmitJoin(  # noqa: N802  proto
        self, request: trust_registry_pb2.SubmitJoinRequest, call: CallInfo
    ) -> trust_registry_pb2.SubmitJoinResponse:
        return trust_registry_pb2.SubmitJoinResponse(
            request_digest="anonymous" if call.peer is None else "known"
        )

    async def PublishProvince(  # noqa: N802  proto
        self, request: trust_registry_pb2.PublishProvinceRequest, call: CallInfo
    ) -> trust_registry_pb2.PublishProvinceResponse:
        return trust_registry_pb2.PublishProvinceResponse(version=1)

    async def PublishRevocations(  # noqa: N802  proto
        self, request: AsyncIterator[trust_registry_pb2.PublishRevocationsRequest], call: CallInfo
    ) -> trust_registry_pb2.PublishRevocationsResponse:
        count = 0
        async for _ in request:
            count += 1
        return trust_registry_pb2.PublishRevocationsResponse(version=count)

    async def ReportNodeState(  # noqa: N802  proto
        self, request: trust_registry_pb2.ReportNodeStateRequest, call: CallInfo
    ) -> trust_registry_pb2.ReportNodeStateResponse:
        return trust_registry_pb2.ReportNodeStateResponse()


class Node:
    """Every verdict carries the item's id and nothing else."""

    service = province_node_pb2.DESCRIPTOR.services_by_name["ProvinceNodeService"]

    async def Verify(  # noqa: N802  proto
        self, request: province_node_pb2.VerifyRequest, call: CallInfo
    ) -> province_node_pb2.VerifyResponse:
        return province_node_pb2.VerifyResponse(verdict={"item_id": request.item.item_id})

    async def VerifyBatch(  # noqa: N802  proto
        self, request: province_node_pb2.VerifyBatchRequest, call: CallInfo
    ) -> province_node_pb2.VerifyBatchResponse:
        return province_node_pb2.VerifyBatchResponse(
            results=[{"item_id": item.item_id} for item in request.items]
        )

    async def VerifyStream(  # noqa: N802  proto
        self, request: AsyncIterator[province_node_pb2.VerifyStreamRequest], call: CallInfo
    ) -> AsyncIterator[province_node_pb2.VerifyStreamResponse]:
        async for one in request:
            yield province_node_pb2.VerifyStreamResponse(verdict={"item_id": one.item.item_id})

    async def QueryStatus(  # noqa: N802  proto
        self, request: province_node_pb2.QueryStatusRequest, call: CallInfo
    ) -> province_node_pb2.QueryStatusResponse:
        return province_node_pb2.QueryStatusResponse()
