"""A gateway, homes that answer or misbehave, and askers, over mTLS on loopback."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import grpc.aio

from gateway.app import Gateway, wire_gateway
from gateway.settings import GatewaySettings
from healthcode.audit.consistency import GrowthQuestion
from healthcode.clock import SystemClock
from healthcode.errors import HealthcodeError, PermissionDeniedError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.call import CallInfo
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.peer_verifier import PeerVerifier
from healthcode.rpc.server import GrpcServer, ServerTls
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.signing.purpose import KeyPurpose
from healthcode.telemetry import Metrics
from healthcode.trust.format.json_files import ServiceEntry
from healthcode.trust.store import TrustStore
from healthcode.trust.view import TrustView
from healthcode.v1 import federation_pb2, gateway_pb2, province_node_pb2
from healthcode.v1.gateway_pb2_grpc import GatewayServiceStub
from healthcode.wire.question import QueryMode, decode_question
from province_node.listeners import PUBLIC_LIMITS
from tests.simulator.process import free_ports
from tests.simulator.realm import SimulatedRealm
from tests.world.certificates import Certificates
from tests.world.exchange import signed_answer, signed_question
from tests.world.waiting import PATIENCE_SECONDS

REALM = "test-gateway"
GATEWAY = PeerId(REALM, PeerKind.GATEWAY)
REGISTRY = PeerId(REALM, PeerKind.REGISTRY)
MODES = {
    QueryMode.CACHED: province_node_pb2.QUERY_MODE_CACHED,
    QueryMode.LIVE: province_node_pb2.QUERY_MODE_LIVE,
}

Behaviour = Callable[[bytes], Awaitable[bytes]]


def province(code: str) -> PeerId:
    return PeerId(REALM, PeerKind.PROVINCE, code)


class FakeHome:
    """A FederationService that does as it is told, and counts."""

    service = federation_pb2.DESCRIPTOR.services_by_name["FederationService"]

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.asked: list[bytes] = []
        self.callers: list[PeerId] = []
        self.prove: Callable[[GrowthQuestion], bytes] | None = None

    async def Answer(  # noqa: N802  named by the proto
        self, request: federation_pb2.AnswerRequest, call: CallInfo
    ) -> federation_pb2.AnswerResponse:
        self.asked.append(request.question)
        self.callers.append(call.caller())
        return federation_pb2.AnswerResponse(answer=await self.behaviour(request.question))

    async def ProveAudit(  # noqa: N802  named by the proto
        self, request: federation_pb2.ProveAuditRequest, call: CallInfo
    ) -> federation_pb2.ProveAuditResponse:
        self.callers.append(call.caller())
        if self.prove is None:
            raise PermissionDeniedError("older software does not know this method")
        question = GrowthQuestion(request.log, request.first_size, request.second_size)
        return federation_pb2.ProveAuditResponse(proof=self.prove(question))


class World(Certificates):
    """Certificates, homes and askers; what is started here is stopped with `stack`."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        super().__init__(folder, now=int(time.time()))
        self.realm = SimulatedRealm(("11", "31", "44"), realm=REALM, now=self.now)
        self.homes: dict[str, FakeHome] = {}
        self._stack = stack
        self._view: TrustView | None = None
        self.gateway_port = 0

    # trust

    def publish(self, ports: dict[str, int]) -> None:
        """Each province publishes its CA and where its home listens; the gateway's CA is published, too."""
        for code, home in self.realm.provinces.items():
            endpoint = {"federation": f"127.0.0.1:{ports[code]}"} if code in ports else {}
            changes = {"tls_ca": (self.ca_pem(code),), "endpoints": endpoint}
            home.document = home.document.model_copy(update=changes)
            self.realm.publish_province(code)
        entry = ServiceEntry(ca_pem=self.ca_pem("gateway"), endpoint="127.0.0.1:1")
        self.realm.services["gateway"] = entry
        self.realm.publish_targets()
        self.realm.publish()
        self._view = None

    def publish_home(self, code: str, port: int) -> None:
        """One province publishes where its home listens."""
        home = self.realm.provinces[code]
        home.document = home.document.model_copy(update={"endpoints": {"federation": f"127.0.0.1:{port}"}})
        self.realm.publish_province(code)
        self.realm.publish()
        self._view = None

    @property
    def view(self) -> TrustView:
        """The trust as a client of the realm holds it."""
        if self._view is None:
            folder = self.folder / "trust"
            self.realm.client(folder).refresh(self.now)
            self._view = TrustStore.open(folder).view
        return self._view

    # homes

    async def start_home(
        self, code: str, behaviour: Behaviour | None = None, *, port: int = 0, ca: str | None = None
    ) -> GrpcServer:
        """A home that answers rightly, or as `behaviour` says; `ca`: whose CA made its certificate."""
        server = self.make_home(code, behaviour, port=port, ca=ca)
        await server.start()
        return server

    def make_home(
        self, code: str, behaviour: Behaviour | None = None, *, port: int = 0, ca: str | None = None
    ) -> GrpcServer:
        """The same, not started yet."""
        self.homes[code] = FakeHome(behaviour or self.answer)
        gateway_ca = self.ca_pem("gateway")
        server = GrpcServer(
            f"127.0.0.1:{port}",
            ServerTls(self.tls(province(code), ca=ca), client_cas=lambda: [gateway_ca]),
            metrics=Metrics("home-test"),
            verifier=PeerVerifier(
                realm=REALM,
                ca_for=lambda peer: [gateway_ca] if peer.kind is PeerKind.GATEWAY else [],
                clock=SystemClock(),
            ),
            participant=code,
            limits=PUBLIC_LIMITS,
        )
        server.add(FakeHome.service, self.homes[code])
        self._stack.push_async_callback(server.stop, 0)
        return server

    async def start_raw(self, handle: Callable[..., Awaitable[None]], *, tls_of: str | None = None) -> int:
        """A server below gRPC: plain TCP, or TLS under a province's certificate. Gives its port."""
        context = None
        if tls_of is not None:
            files = self.tls(province(tls_of))
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(files.certificate, files.private_key)
            context.set_alpn_protocols(["h2"])
        server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
        self._stack.callback(server.close)
        return int(server.sockets[0].getsockname()[1])

    async def answer(self, question: bytes) -> bytes:
        """What an honest home says."""
        return self.sign(question)

    def sign(self, question: bytes, **changes: object) -> bytes:
        """An answer under the home's ANSWER key; `changes` make it dishonest."""
        home = decode_question(question).question.home
        key = self.realm.provinces[home].keys[KeyPurpose.ANSWER]
        return signed_answer(REALM, key, question, now=int(time.time()), **changes)

    # the gateway and its callers

    async def start_gateway(self, **homes: object) -> None:
        """A gateway over `view`, with these settings of [homes]."""
        settings = GatewaySettings.model_validate(
            {
                "realm": REALM,
                "listen": "127.0.0.1:0",
                "tls": self.tls(GATEWAY),
                "trust": {"folder": self.folder / "gateway-trust"},
                "homes": {"timeout_seconds": 1.5, "margin_seconds": 0.3} | homes,
            }
        )
        wired: Gateway = await self._stack.enter_async_context(
            wire_gateway(
                settings, trust=lambda: self.view, metrics=Metrics("gateway-test"), clock=SystemClock()
            )
        )
        await wired.server.start()
        self._stack.push_async_callback(wired.server.stop, 0)
        self.gateway_port = wired.server.port

    def caller(self, peer: PeerId, *, ca: str | None = None) -> Caller:
        """Somebody who calls the gateway; `ca`: whose CA made the certificate."""
        channel = open_channel(
            f"127.0.0.1:{self.gateway_port}",
            ca_pem=self.ca_pem("gateway"),
            server=GATEWAY,
            identity=self.leaf(peer, ca=ca),
            retries=False,
        )
        self._stack.push_async_callback(channel.close)
        return Caller(self, channel, peer)


class Caller:
    """A node's side of the gateway."""

    def __init__(self, world: World, channel: grpc.aio.Channel, peer: PeerId) -> None:
        self._world = world
        self._stub = GatewayServiceStub(channel)
        self._peer = peer

    def question(
        self,
        home: str = "31",
        *,
        mode: QueryMode = QueryMode.CACHED,
        number: int = 0,
        code: bytes = b"a code",
        asker: str | None = None,
    ) -> bytes:
        """A question under the asker's QUESTION key."""
        asker = asker or str(self._peer.participant)
        key = self._world.realm.provinces[asker].keys[KeyPurpose.QUESTION]
        return signed_question(
            REALM,
            key,
            asker=asker,
            home=home,
            now=int(time.time()),
            mode=mode,
            code=code,
            number=number,
        )

    async def ask(
        self,
        question: bytes,
        *,
        home: str = "31",
        mode: QueryMode = QueryMode.CACHED,
        timeout: float = PATIENCE_SECONDS,  # noqa: ASYNC109  it is the deadline of the call
    ) -> gateway_pb2.AskResponse:
        """The gateway's response. Raises the HealthcodeError that came instead."""
        return await self.ask_raw(question, home=home, mode=MODES[mode], timeout=timeout)

    async def prove(
        self,
        question: GrowthQuestion,
        *,
        home: str = "31",
        timeout: float = PATIENCE_SECONDS,  # noqa: ASYNC109  as above
    ) -> gateway_pb2.AuditProofResponse:
        """A proof of a home's audit log, or why there is none. Raises the HealthcodeError that came instead."""
        request = gateway_pb2.AuditProofRequest(
            home=home, log=question.log, first_size=question.first, second_size=question.second
        )
        with rpc_errors("the gateway"):
            response: gateway_pb2.AuditProofResponse = await self._stub.AuditProof(request, timeout=timeout)
        return response

    async def ask_raw(
        self,
        question: bytes,
        *,
        mode: int,
        home: str = "31",
        timeout: float = PATIENCE_SECONDS,  # noqa: ASYNC109  it is the deadline of the call
    ) -> gateway_pb2.AskResponse:
        """The same, with any number for a mode."""
        request = gateway_pb2.AskRequest(issuer=home, question=question, mode=mode)  # type: ignore[arg-type]  # any
        with rpc_errors("the gateway"):
            response: gateway_pb2.AskResponse = await self._stub.Ask(request, timeout=timeout)
        return response


def free_port() -> int:
    """A port on which nobody listens, until the test does."""
    return free_ports(1)[0]


def failing(error: HealthcodeError | Exception) -> Behaviour:
    """A home that raises."""

    async def fail(_: bytes) -> bytes:
        raise error

    return fail
