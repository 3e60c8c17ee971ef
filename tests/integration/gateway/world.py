"""A realm around a gateway: homes that answer or misbehave, askers, a registry; all over mTLS on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import grpc.aio

from gateway.app import Gateway, wire_gateway
from gateway.settings import GatewaySettings
from healthcode.clock import SystemClock
from healthcode.errors import HealthcodeError, NotFoundError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.call import CallInfo
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.development_ca import issue_leaf, make_ca
from healthcode.rpc.mtls.peer_verifier import PeerVerifier
from healthcode.rpc.mtls.tls_files import CertifiedKey
from healthcode.rpc.server import GrpcServer, ServerTls
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.settings import TlsSettings
from healthcode.signing.purpose import KeyPurpose
from healthcode.telemetry import Metrics
from healthcode.trust.format.json_files import ServiceEntry
from healthcode.trust.store import TrustStore
from healthcode.trust.view import TrustView
from healthcode.v1 import federation_pb2, gateway_pb2, province_node_pb2, trust_registry_pb2
from healthcode.v1.gateway_pb2_grpc import GatewayServiceStub
from healthcode.wire.answer import Answer, CodeStatus, sign_answer
from healthcode.wire.claims import Level
from healthcode.wire.question import QueryMode, QueryPurpose, Question, decode_question, sign_question
from tests.simulator.realm import SimulatedRealm

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

    async def Answer(  # noqa: N802  named by the proto
        self, request: federation_pb2.AnswerRequest, call: CallInfo
    ) -> federation_pb2.AnswerResponse:
        self.asked.append(request.question)
        self.callers.append(call.caller())
        return federation_pb2.AnswerResponse(answer=await self.behaviour(request.question))


class FakeRegistry:
    """The public listener of a registry over the files of a simulated realm."""

    service = trust_registry_pb2.DESCRIPTOR.services_by_name["TrustRegistryService"]

    def __init__(self, realm: SimulatedRealm) -> None:
        self.realm = realm

    async def FetchFile(  # noqa: N802  named by the proto
        self, request: trust_registry_pb2.FetchFileRequest, call: CallInfo
    ) -> AsyncIterator[trust_registry_pb2.FetchFileResponse]:
        data = self.realm.fetch(request.path, request.max_bytes or 1 << 30)
        for start in range(0, max(1, len(data)), 65_536):
            yield trust_registry_pb2.FetchFileResponse(
                chunk=data[start : start + 65_536], total_bytes=len(data)
            )

    async def WatchTrust(  # noqa: N802  named by the proto
        self, request: trust_registry_pb2.WatchTrustRequest, call: CallInfo
    ) -> AsyncIterator[trust_registry_pb2.WatchTrustResponse]:
        seen = request.known_timestamp_version
        while True:
            if self.realm.timestamp_version != seen:
                seen = self.realm.timestamp_version
                yield trust_registry_pb2.WatchTrustResponse(timestamp_version=seen)
            await asyncio.sleep(0.02)

    async def _none(self, request: object, call: CallInfo) -> object:
        raise NotFoundError("this registry is a fake")

    SubmitJoin = PublishProvince = PublishRevocations = ReportNodeState = _none


class World:
    """CAs, homes and askers; what is started here is stopped with `stack`."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder = folder
        self.now = int(time.time())
        self.realm = SimulatedRealm(("11", "31", "44"), realm=REALM, now=self.now)
        self.homes: dict[str, FakeHome] = {}
        self._stack = stack
        self._cas: dict[str, CertifiedKey] = {}
        self._view: TrustView | None = None
        self.gateway_port = 0

    # certificates

    def take_ca(self, owner: str, folder: Path) -> None:
        """Uses the CA that a command has made in `folder`, in place of one of ours."""
        self._cas[owner] = CertifiedKey((folder / "ca.pem").read_bytes(), (folder / "ca.key").read_bytes())

    def ca(self, owner: str) -> CertifiedKey:
        if owner not in self._cas:
            self._cas[owner] = make_ca(f"{owner} CA", days=30, now=self.now)
        return self._cas[owner]

    def leaf(self, peer: PeerId, *, ca: str | None = None) -> CertifiedKey:
        return issue_leaf(self.ca(ca or _owner(peer)), peer, days=7, now=self.now)

    def tls(self, peer: PeerId, *, ca: str | None = None) -> TlsSettings:
        """Certificate, key and CA of a server, on disk."""
        folder = self.folder / f"tls-{_owner(peer)}-{ca}"
        folder.mkdir(exist_ok=True)
        tls = TlsSettings(
            certificate=folder / "leaf.pem", private_key=folder / "leaf.key", ca=folder / "ca.pem"
        )
        if not tls.private_key.exists():
            self.leaf(peer, ca=ca).write(tls.certificate, tls.private_key)
            tls.ca.write_bytes(self.ca(ca or _owner(peer)).certificate_pem)
        return tls

    # trust

    def publish(self, ports: dict[str, int]) -> None:
        """Each province publishes its CA and where its home listens; the gateway's CA is published, too."""
        for code, home in self.realm.provinces.items():
            endpoint = {"federation": f"127.0.0.1:{ports[code]}"} if code in ports else {}
            pem = self.ca(code).certificate_pem.decode()
            home.document = home.document.model_copy(update={"tls_ca": (pem,), "endpoints": endpoint})
            self.realm.publish_province(code)
        entry = ServiceEntry(ca_pem=self.ca("gateway").certificate_pem.decode(), endpoint="127.0.0.1:1")
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
        self.homes[code] = FakeHome(behaviour or self.answer)
        gateway_ca = self.ca("gateway").certificate_pem.decode()
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
        )
        server.add(FakeHome.service, self.homes[code])
        await server.start()
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
        asked = decode_question(question).question
        now = int(time.time())
        fields: dict[str, object] = {
            "home": asked.home,
            "code_sha256": hashlib.sha256(asked.code).digest(),
            "mode": asked.mode,
            "level": Level.GREEN,
            "rule": "R1",
            "status": CodeStatus.ACTIVE,
            "sequence": 1,
            "produced_at": now,
            "expires_at": now + 60,
            "nonce": asked.nonce,
        }
        key = self.realm.provinces[asked.home].keys[KeyPurpose.ANSWER]
        return sign_answer(Answer(**(fields | changes)), key, REALM)

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
            ca_pem=self.ca("gateway").certificate_pem.decode(),
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
        now = int(time.time())
        asker = asker or str(self._peer.participant)
        asked = Question(
            asker=asker,
            home=home,
            mode=mode,
            code=code,
            purpose=QueryPurpose.ENTRY_CHECK,
            question_id=number.to_bytes(16),
            issued_at=now,
            expires_at=now + 30,
            nonce=number.to_bytes(16) if mode is QueryMode.LIVE else None,
        )
        return sign_question(asked, self._world.realm.provinces[asker].keys[KeyPurpose.QUESTION], REALM)

    async def ask(
        self,
        question: bytes,
        *,
        home: str = "31",
        mode: QueryMode = QueryMode.CACHED,
        timeout: float = 5.0,  # noqa: ASYNC109  it is the deadline of the call
    ) -> gateway_pb2.AskResponse:
        """The gateway's response. Raises the HealthcodeError that came instead."""
        return await self.ask_raw(question, home=home, mode=MODES[mode], timeout=timeout)

    async def ask_raw(
        self,
        question: bytes,
        *,
        mode: int,
        home: str = "31",
        timeout: float = 5.0,  # noqa: ASYNC109  it is the deadline of the call
    ) -> gateway_pb2.AskResponse:
        """The same, with any number for a mode."""
        request = gateway_pb2.AskRequest(issuer=home, question=question, mode=mode)  # type: ignore[arg-type]  # any
        with rpc_errors("the gateway"):
            response: gateway_pb2.AskResponse = await self._stub.Ask(request, timeout=timeout)
        return response


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def failing(error: HealthcodeError | Exception) -> Behaviour:
    """A home that raises."""

    async def fail(_: bytes) -> bytes:
        raise error

    return fail


def _owner(peer: PeerId) -> str:
    return peer.participant or peer.kind.lower()
