"""A small realm over real sockets: CAs, certificates, servers and clients with mTLS on loopback.

Servicers here are small and can misbehave on purpose (`Gateway`, `Registry`).
"""

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
from healthcode.rpc.mtls.development_ca import issue_leaf, make_ca
from healthcode.rpc.mtls.peer_verifier import PeerVerifier
from healthcode.rpc.mtls.tls_files import CertifiedKey
from healthcode.rpc.server import CallInfo, GrpcServer, ServerTls
from healthcode.settings import TlsSettings
from healthcode.telemetry import Metrics
from healthcode.v1 import gateway_pb2, province_node_pb2, trust_registry_pb2

REALM = "test-contract"
GATEWAY = PeerId(REALM, PeerKind.GATEWAY)
REGISTRY = PeerId(REALM, PeerKind.REGISTRY)
INTEGRATOR = PeerId(REALM, PeerKind.INTEGRATOR, "31", "turnstile")


def province(code: str) -> PeerId:
    return PeerId(REALM, PeerKind.PROVINCE, code)


class World:
    """CAs by owner ("31", "gateway", …); what is published for each; servers and channels, closed at the end."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder = folder
        self.now = int(time.time())
        self.metrics = Metrics("contract")
        self.published: dict[str, str] = {}
        self._cas: dict[str, CertifiedKey] = {}
        self._stack = stack

    def ca(self, owner: str) -> CertifiedKey:
        if owner not in self._cas:
            self._cas[owner] = make_ca(f"{owner} CA", days=30, now=self.now)
        return self._cas[owner]

    def publish(self, *owners: str) -> None:
        for owner in owners:
            self.published[owner] = self.ca(owner).certificate_pem.decode()

    def leaf(self, peer: PeerId, *, ca: str | None = None, **options: Any) -> CertifiedKey:
        return issue_leaf(self.ca(ca or owner_of(peer)), peer, **{"days": 7, "now": self.now, **options})

    def tls_settings(self, peer: PeerId) -> TlsSettings:
        folder = self.folder / f"tls-{peer.dns_name}"
        settings = TlsSettings(
            certificate=folder / "leaf.pem", private_key=folder / "leaf.key", ca=folder / "ca.pem"
        )
        if not folder.exists():
            folder.mkdir()
            self.leaf(peer).write(settings.certificate, settings.private_key)
            settings.ca.write_bytes(self.ca(owner_of(peer)).certificate_pem)
        return settings

    def server(self, peer: PeerId, *, anonymous: bool = False, **options: Any) -> GrpcServer:
        verifier = PeerVerifier(realm=REALM, ca_for=self._published_for, clock=SystemClock())
        return GrpcServer(
            options.pop("listen", "127.0.0.1:0"),
            ServerTls(self.tls_settings(peer), client_cas=None if anonymous else self._pool),
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
        ca = options.pop("ca_pem", self.ca(owner_of(server)).certificate_pem.decode())
        channel = open_channel(f"127.0.0.1:{port}", ca_pem=ca, server=server, identity=identity, **options)
        self._stack.push_async_callback(channel.close)
        return channel

    def _pool(self) -> Sequence[str]:
        return list(self.published.values())

    def _published_for(self, peer: PeerId) -> Sequence[str]:
        found = self.published.get(owner_of(peer))
        return [found] if found else []


def owner_of(peer: PeerId) -> str:
    return peer.participant or peer.kind.lower()


class Gateway:
    """Ask answers with the caller's URI; some issuers make it misbehave."""

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
    """FetchFile gives ten chunks, WatchTrust never ends by itself, PublishRevocations counts its messages."""

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
    """Every verdict only carries the item's id back."""

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
