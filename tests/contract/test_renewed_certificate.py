"""A certificate is renewed, or an address changes, while calls are under way: every call is answered."""

from __future__ import annotations

import asyncio
import time
from io import StringIO
from pathlib import Path
from types import MappingProxyType

import grpc
import pytest

from gateway.forwarding.homes import GrpcHomes
from gateway.forwarding.route import Route
from healthcode.clock import SystemClock
from healthcode.errors import Reason, RefusedServerError, UnavailableError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.tls_files import load_tls
from healthcode.rpc.server import CallInfo, GrpcServer, ServerLimits, ServerTls
from healthcode.rpc.status_mapping import error_from_rpc, rpc_errors
from healthcode.service.public_channel import PublicChannel, RegistryCas
from healthcode.service.service_link import ServiceLink
from healthcode.settings import TlsSettings
from healthcode.telemetry import Metrics
from healthcode.trust.format.json_files import ServiceEntry
from healthcode.trust.view import TrustView
from healthcode.v1 import federation_pb2, gateway_pb2, trust_registry_pb2
from healthcode.v1.gateway_pb2_grpc import GatewayServiceStub
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub
from tests.contract.world import GATEWAY, REALM, REGISTRY, Gateway, Registry, World, province
from tests.world.views import trust_view
from tests.world.waiting import PATIENCE_SECONDS, until

IN_FLIGHT = 40
NODE = province("44")


def renew(world: World, peer: PeerId, *, key: bool = True) -> TlsSettings:
    """Puts a new certificate, and its key, in the place of the peer's old ones."""
    tls, leaf = world.tls(peer), world.leaf(peer)
    if key:
        tls.private_key.write_bytes(leaf.key_pem)
    tls.certificate.write_bytes(leaf.certificate_pem)
    return tls


class Link:
    """A node's link to a gateway, and the questions that it asks."""

    def __init__(self, world: World, port: int) -> None:
        self.entry = ServiceEntry(ca_pem=world.ca_pem("gateway"), endpoint=f"127.0.0.1:{port}")
        self.link = ServiceLink(
            "gateway",
            PeerKind.GATEWAY,
            realm=REALM,
            trust=self._trust,
            tls=world.tls(NODE),
            clock=SystemClock(),
        )

    def _trust(self) -> TrustView:
        services = MappingProxyType({"gateway": self.entry})
        return trust_view(REALM, (), now=int(time.time()), services=services)

    async def ask(self, issuer: str) -> str:
        stub = GatewayServiceStub(await self.link.channel())
        with rpc_errors("the gateway"):
            response = await stub.Ask(gateway_pb2.AskRequest(issuer=issuer), timeout=PATIENCE_SECONDS)
        return str(response.answer.decode())


async def start_gateway(world: World) -> tuple[Gateway, GrpcServer]:
    gateway = Gateway()
    limits = ServerLimits(streams_per_connection=512)
    return gateway, await world.start(world.server(GATEWAY, limits=limits), gateway)


async def test_calls_in_flight_are_answered_while_the_certificate_is_renewed(world: World) -> None:
    """Forty questions wait at the gateway; the next one takes the new certificate, and none of the forty is lost."""
    gateway, server = await start_gateway(world)
    node = Link(world, server.port)
    waiting = [asyncio.create_task(node.ask("wait")) for _ in range(IN_FLIGHT)]
    await until(lambda: gateway.calls == IN_FLIGHT)
    before = await node.link.channel()
    renew(world, NODE)
    assert await node.ask("11") == NODE.uri
    assert await node.link.channel() is not before
    gateway.release.set()
    assert await asyncio.gather(*waiting) == [NODE.uri] * IN_FLIGHT
    await node.link.close()


async def test_askers_that_see_the_new_certificate_at_once_share_one_channel(world: World) -> None:
    """Forty questions begin in the moment of the renewal: one new channel is opened, and all are answered."""
    _, server = await start_gateway(world)
    node = Link(world, server.port)
    assert await node.ask("11") == NODE.uri
    renew(world, NODE)
    asked = await asyncio.gather(*(node.ask("11") for _ in range(IN_FLIGHT)))
    assert asked == [NODE.uri] * IN_FLIGHT
    channels = await asyncio.gather(*(node.link.channel() for _ in range(IN_FLIGHT)))
    assert len({id(each) for each in channels}) == 1
    await node.link.close()


async def test_a_half_renewed_certificate_leaves_the_old_one_in_use(world: World, log: StringIO) -> None:
    """While key and certificate do not fit, calls go on with the old ones, the log says why, and the rest heals it."""
    _, server = await start_gateway(world)
    node = Link(world, server.port)
    assert await node.ask("11") == NODE.uri
    before = await node.link.channel()
    tls = world.tls(NODE)
    key = tls.private_key.read_bytes()
    renew(world, NODE, key=False)
    assert await node.ask("11") == NODE.uri
    assert await node.link.channel() is before
    assert "tls_reload_refused" in log.getvalue()
    assert key == tls.private_key.read_bytes()
    renew(world, NODE)
    assert await node.ask("11") == NODE.uri
    assert await node.link.channel() is not before
    await node.link.close()


async def test_closing_a_link_ends_its_calls_and_leaves_no_task(world: World) -> None:
    """Old and new channels are closed; whoever still waits is told to try again."""
    gateway, server = await start_gateway(world)
    node = Link(world, server.port)
    tasks = asyncio.all_tasks()
    waiting = asyncio.create_task(node.ask("wait"))
    await gateway.started.wait()
    renew(world, NODE)
    assert await node.ask("11") == NODE.uri
    await node.link.close()
    with pytest.raises(UnavailableError):
        await waiting
    await until(lambda: not [task for task in asyncio.all_tasks() - tasks if "close" in repr(task)])


class CancelledInside:
    """Its answer depends on a call that somebody else cancels."""

    service = gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"]

    async def Ask(self, request: gateway_pb2.AskRequest, call: CallInfo) -> gateway_pb2.AskResponse:  # noqa: N802  proto
        inner = asyncio.create_task(asyncio.sleep(PATIENCE_SECONDS))
        asyncio.get_running_loop().call_later(0.05, inner.cancel)
        await inner
        return gateway_pb2.AskResponse()


async def test_a_handler_whose_call_was_cancelled_answers(world: World) -> None:
    """The caller hears UNAVAILABLE with a time to try again, instead of nothing until its deadline."""
    server = await world.start(world.server(GATEWAY), CancelledInside())
    stub = GatewayServiceStub(world.channel(server.port, GATEWAY, world.leaf(NODE), retries=False))
    began = time.monotonic()
    with pytest.raises(grpc.RpcError) as caught:
        await stub.Ask(gateway_pb2.AskRequest(), timeout=PATIENCE_SECONDS)
    assert time.monotonic() - began < PATIENCE_SECONDS / 2
    error = error_from_rpc(caught.value)
    assert error.reason is Reason.SERVICE_UNAVAILABLE
    assert error.retry_after_seconds


class Home:
    """Answers when it is told to; the first question of `refused` is refused once, so that it is asked again."""

    service = federation_pb2.DESCRIPTOR.services_by_name["FederationService"]

    def __init__(self) -> None:
        self.calls = 0
        self.release = asyncio.Event()

    async def Answer(  # noqa: N802  proto
        self, request: federation_pb2.AnswerRequest, call: CallInfo
    ) -> federation_pb2.AnswerResponse:
        self.calls += 1
        if request.question == b"again" and self.calls == 1:
            raise UnavailableError("not yet")
        if request.question == b"wait":
            await self.release.wait()
        return federation_pb2.AnswerResponse(answer=b"done")


async def test_questions_at_a_home_are_answered_while_the_gateway_renews_its_certificate(
    world: World,
) -> None:
    """Old channels end after their questions, and a question that is repeated goes over a new one."""
    home, peer = Home(), province("31")
    server = await world.start(world.server(peer, limits=ServerLimits(streams_per_connection=8)), home)
    tls = world.tls(GATEWAY)

    def load() -> object:
        return load_tls(tls.certificate, tls.private_key, tls.ca, now=int(time.time()), realm=REALM)

    identity = load()
    homes = GrpcHomes(realm=REALM, identity=lambda: identity)  # type: ignore[arg-type,return-value]
    route = Route("31", f"127.0.0.1:{server.port}", (world.ca_pem("31"),))
    again = asyncio.create_task(homes.answer(route, b"again", PATIENCE_SECONDS))
    await until(lambda: home.calls == 1)
    waiting = [asyncio.create_task(homes.answer(route, b"wait", PATIENCE_SECONDS)) for _ in range(IN_FLIGHT)]
    await until(lambda: home.calls >= IN_FLIGHT + 1)
    renew(world, GATEWAY)
    identity = load()
    assert await homes.answer(route, b"now", PATIENCE_SECONDS) == b"done"
    assert await again == b"done"
    home.release.set()
    assert await asyncio.gather(*waiting) == [b"done"] * IN_FLIGHT
    await homes.close()


async def _fetches(channel: grpc.aio.Channel) -> bool:
    with rpc_errors("the registry"):
        async for _ in TrustRegistryServiceStub(channel).FetchFile(
            trust_registry_pb2.FetchFileRequest(path="x"), timeout=PATIENCE_SECONDS
        ):
            return True
    return False


async def test_the_registry_is_known_by_the_published_ca_and_by_the_file(
    world: World, tmp_path: Path
) -> None:
    """A file of another CA is no hindrance once the trust names the right one; without that, the new file heals it."""
    server = await world.start(world.server(REGISTRY, anonymous=True), Registry())
    file = tmp_path / "registry-ca.pem"
    file.write_text(world.ca_pem("44"))
    published: list[str] = []

    def trust() -> TrustView:
        services = (
            {"registry": ServiceEntry(ca_pem=published[0], endpoint="127.0.0.1:1")} if published else {}
        )
        return trust_view(REALM, (), now=int(time.time()), services=services)

    async with PublicChannel(f"127.0.0.1:{server.port}", RegistryCas(file, trust).pem, REGISTRY) as channel:
        with pytest.raises(RefusedServerError):
            await _fetches(channel)
        published.append(world.ca_pem("44") + world.ca_pem("registry"))
        assert await _fetches(channel)
        published[0] = world.ca_pem("31")
        with pytest.raises(RefusedServerError):
            await _fetches(channel)
        file.write_text(world.ca_pem("registry"))
        assert await _fetches(channel)
        file.write_text("no certificate")
        assert await _fetches(channel)


async def test_a_listener_takes_a_certificate_of_another_ca_once_that_is_published(world: World) -> None:
    """Until then it shows the old one to new connections, and says why."""
    published = [world.ca_pem("registry")]
    tls, other = world.tls(REGISTRY), world.ca("44")
    server = GrpcServer(
        "127.0.0.1:0",
        ServerTls(tls, client_cas=None, own_cas=lambda: published),
        metrics=Metrics("other"),
        verifier=None,
    )
    await world.start(server, Registry())

    async def is_known_by(owner: str) -> bool:
        channel = world.channel(server.port, REGISTRY, None, ca_pem=world.ca_pem(owner), retries=False)
        try:
            return await _fetches(channel)
        except RefusedServerError:
            return False

    assert await is_known_by("registry")
    leaf = world.leaf(REGISTRY, ca="44")
    tls.private_key.write_bytes(leaf.key_pem)
    tls.certificate.write_bytes(leaf.certificate_pem)
    tls.ca.write_bytes(other.certificate_pem)
    assert await is_known_by("registry")
    assert not await is_known_by("44")
    published.append(world.ca_pem("44"))
    assert await is_known_by("44")


async def test_files_that_cannot_be_used_do_not_keep_a_new_client_out(world: World) -> None:
    """While a listener's new certificate is refused, a province whose CA is published meanwhile is let in."""
    server = await world.start(world.server(GATEWAY), Gateway())
    renew(world, GATEWAY, key=False)
    world.publish("50")
    stub = GatewayServiceStub(world.channel(server.port, GATEWAY, world.leaf(province("50"))))
    response = await stub.Ask(gateway_pb2.AskRequest(), timeout=PATIENCE_SECONDS)
    assert response.answer.decode() == province("50").uri
