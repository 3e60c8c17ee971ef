"""deploy/nginx: a real nginx runs the shipped configuration in front of a real listener, over mTLS."""

from __future__ import annotations

import asyncio
import base64
import re
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc.aio
import pytest
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from healthcode.errors import (
    HealthcodeError,
    OverloadedError,
    PermissionDeniedError,
    Reason,
    UnauthenticatedError,
    UnavailableError,
)
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.certificate import public_key_of
from healthcode.rpc.mtls.forwarded import HEADER, Proxies
from healthcode.rpc.mtls.tls_files import CertifiedKey
from healthcode.rpc.server import CallInfo, GrpcServer
from healthcode.rpc.status_mapping import decode_status, rpc_errors
from healthcode.v1 import province_issuer_pb2, province_node_pb2
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from healthcode.v1.province_node_pb2_grpc import ProvinceNodeServiceStub
from province_node.listeners import THROUGH_PROXIES
from tests.contract.world import INTEGRATOR, REALM, Node, World, province
from tests.deploy import refusals
from tests.simulator.continuation import send_endless_headers
from tests.simulator.nginx import SHIPPED, run_nginx, write_shipped
from tests.simulator.process import free_ports
from tests.world.certificates import issue_plain_leaf
from tests.world.waiting import PATIENCE_SECONDS, eventually, until

NODE = province("31")
OTHER = PeerId(REALM, PeerKind.INTEGRATOR, "31", "hospital")
SHARE = 8
MIB = 1024 * 1024


class BusyNode(Node):
    """Verify answers with its caller's URI; the item "wait" is answered when the test says so."""

    def __init__(self) -> None:
        self.waiting = 0
        self.release = asyncio.Event()

    async def Verify(  # noqa: N802  proto
        self, request: province_node_pb2.VerifyRequest, call: CallInfo
    ) -> province_node_pb2.VerifyResponse:
        if request.item.item_id == "wait":
            self.waiting += 1
            await self.release.wait()
        return province_node_pb2.VerifyResponse(verdict={"item_id": call.caller().uri})


class Front:
    """The proxy and the node behind it."""

    def __init__(
        self, world: World, port: int, node: BusyNode, server: GrpcServer, nginx: subprocess.Popen[bytes]
    ) -> None:
        self.world = world
        self._nginx = nginx
        self.port = port
        self.node = node
        self.server = server

    def memory(self) -> int:
        """Bytes of the proxy's processes."""
        processes = Path(f"/proc/{self._nginx.pid}/task/{self._nginx.pid}/children").read_text().split()
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 for pid in processes)

    def channel(self, shown: CertifiedKey | None) -> grpc.aio.Channel:
        return self.world.channel(self.port, NODE, shown)

    def stub(self, peer: PeerId) -> ProvinceNodeServiceStub:
        return ProvinceNodeServiceStub(self.channel(self.world.leaf(peer)))


async def verify(stub: ProvinceNodeServiceStub, item_id: str = "", *headers: tuple[str, str]) -> str:
    request = province_node_pb2.VerifyRequest(item={"item_id": item_id})
    with rpc_errors("the node"):
        response = await stub.Verify(request, timeout=PATIENCE_SECONDS, metadata=headers)
    return response.verdict.item_id


async def refusal(channel: grpc.aio.Channel) -> HealthcodeError:
    with pytest.raises(HealthcodeError) as caught:
        await verify(ProvinceNodeServiceStub(channel))
    return caught.value


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    async with AsyncExitStack() as stack:
        world = World(tmp_path, stack)
        world.publish("31", "gateway")
        proxy = issue_plain_leaf(world.ca("31"), dns_name=NODE.dns_name, start=world.now)
        proxies = Proxies([public_key_of(proxy.certificate_pem)], THROUGH_PROXIES)
        node = BusyNode()
        server = await world.start(world.server(NODE, proxies=proxies), node)
        (port,) = free_ports(1)
        written = write_shipped(
            tmp_path / "nginx", listen=port, node=server.port, proxy=proxy, ca=world.ca("31")
        )
        nginx = stack.enter_context(run_nginx(written, port=port))
        yield Front(world, port, node, server, nginx)


def test_the_refusals_are_our_own_errors() -> None:
    """What nginx answers by itself reads as the errors that the SDK knows, and was made from them."""
    text = refusals.FILE.read_text()
    assert text == refusals.render(), "run `python -m tests.deploy.refusals`"
    details = re.findall(r"grpc-status-details-bin (\S+)", text)
    for packed, error in zip(details, refusals.REFUSALS.values(), strict=True):
        back = decode_status(status_pb2.Status.FromString(base64.b64decode(packed + "==")))
        assert (type(back), back.reason, back.retry_after_seconds) == (
            type(error),
            error.reason,
            error.retry_after_seconds,
        )
    used = set(re.findall(r" @(\w+);", (SHIPPED / "nginx.conf").read_text()))
    assert used == {*refusals.REFUSALS, "health", "slow_down"}


async def test_each_client_is_itself_and_forges_nobody(front: Front) -> None:
    """The header that a client sends is overwritten by its own certificate."""
    forged = (HEADER, "-----BEGIN%20CERTIFICATE-----")
    for peer in (INTEGRATOR, OTHER):
        stub = front.stub(peer)
        assert await verify(stub) == peer.uri
        assert await verify(stub, "", forged, forged) == peer.uri


async def test_a_caller_over_its_share_is_told_when_to_try_again_and_takes_nobodys_place(
    front: Front,
) -> None:
    """Of a hundred calls at once one caller's share is served, the rest is refused by name; another caller passes."""
    noisy, other = front.stub(INTEGRATOR), front.stub(OTHER)
    calls = [asyncio.ensure_future(verify(noisy, "wait")) for _ in range(100)]
    await until(lambda: sum(call.done() for call in calls) == 100 - SHARE and front.node.waiting == SHARE)
    assert await verify(other) == OTHER.uri
    front.node.release.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    refused = [result for result in results if isinstance(result, BaseException)]
    assert len(refused) == 100 - SHARE
    for error in refused:
        assert isinstance(error, OverloadedError)
        assert (error.reason, error.retry_after_seconds) == (Reason.OVERLOADED, 0.2)
    assert await verify(noisy) == INTEGRATOR.uri


async def test_a_caller_that_asks_again_at_once_waits_for_its_refusals(front: Front) -> None:
    """Refusals come at 1,000 a second at most: thousands at once take the proxy no time from others."""
    leaf = front.world.leaf(INTEGRATOR)
    channels = [front.channel(leaf) for _ in range(12)]
    stubs = [ProvinceNodeServiceStub(channel) for channel in channels]
    held = [asyncio.ensure_future(verify(stubs[0], "wait")) for _ in range(SHARE)]
    await until(lambda: front.node.waiting == SHARE)
    started = asyncio.get_running_loop().time()
    refused = await asyncio.gather(
        *(verify(stub) for stub in stubs for _ in range(100)), return_exceptions=True
    )
    assert asyncio.get_running_loop().time() - started > 0.9 * len(refused) / 1000
    assert {type(error) for error in refused} == {OverloadedError}
    front.node.release.set()
    await asyncio.gather(*held)


async def test_streams_take_no_place_of_calls(front: Front) -> None:
    """A caller's open streams are counted apart from its calls."""
    stub = front.stub(INTEGRATOR)
    streams = [stub.VerifyStream() for _ in range(SHARE * 2)]
    for stream in streams:
        await stream.write(province_node_pb2.VerifyStreamRequest(item={"item_id": "x"}))
        assert (await stream.read()).verdict.item_id == "x"
    assert await verify(stub) == INTEGRATOR.uri
    for stream in streams:
        stream.cancel()


async def test_a_client_without_a_certificate_sees_health_alone(front: Front) -> None:
    """The proxy's own certificate gives nobody an identity."""
    channel = front.channel(None)
    health = health_pb2_grpc.HealthStub(channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_SECONDS)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert isinstance(await refusal(channel), UnauthenticatedError)


@pytest.mark.parametrize("kind", ["expired", "stranger", "foreign realm"])
async def test_a_bad_certificate_is_refused_by_name(front: Front, kind: str) -> None:
    """The proxy asks without judging, and the node judges; the caller reads UNAUTHENTICATED, never a bare HTTP status."""
    world = front.world
    leaf = {
        "expired": lambda: world.leaf(INTEGRATOR, days=1, now=world.now - 3 * 86_400),
        "stranger": lambda: world.leaf(INTEGRATOR, ca="stranger"),
        "foreign realm": lambda: world.leaf(PeerId("cn", PeerKind.INTEGRATOR, "31", "turnstile")),
    }[kind]()
    assert isinstance(await refusal(front.channel(leaf)), UnauthenticatedError)


async def test_the_issuers_api_is_not_served_through_the_proxy(front: Front) -> None:
    """Whoever calls it, and also where the node would serve it."""
    leaf = front.world.leaf(PeerId(REALM, PeerKind.ISSUER, "31", "desk"))
    stub = ProvinceIssuerServiceStub(front.channel(leaf))
    with pytest.raises(PermissionDeniedError) as caught, rpc_errors("the node"):
        await stub.KillKey(province_issuer_pb2.KillKeyRequest(), timeout=PATIENCE_SECONDS)
    assert caught.value.reason is Reason.METHOD_NOT_ALLOWED


async def test_a_request_that_is_too_large_is_told_so(front: Front) -> None:
    """Above what any method takes nginx refuses it, as the node does below: TOO_LARGE, which nobody tries again."""
    stub = front.stub(INTEGRATOR)
    for characters in (300_000, 2_000_000):
        with pytest.raises(OverloadedError) as caught:
            await verify(stub, "x" * characters)
        assert caught.value.reason is Reason.TOO_LARGE


async def test_a_long_stream_is_not_cut(front: Front) -> None:
    """A stream carries more than any single request may have."""
    stream = front.stub(INTEGRATOR).VerifyStream()
    for number in range(40):
        item = {"item_id": str(number), "code": "C" * 100_000}
        await stream.write(province_node_pb2.VerifyStreamRequest(item=item))
        assert (await stream.read()).verdict.item_id == str(number)
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF


async def test_headers_without_an_end_cost_the_proxy_no_memory(front: Front) -> None:
    """A stranger's flood of CONTINUATION frames is read and dropped: the node sees nothing of it, and others pass."""
    before = front.memory()
    sent = await asyncio.to_thread(
        send_endless_headers,
        front.port,
        NODE.dns_name,
        time.time() + PATIENCE_SECONDS,
        most_bytes=128 * MIB,
    )
    assert sent >= 128 * MIB
    assert front.memory() - before < 16 * MIB
    assert await verify(front.stub(INTEGRATOR)) == INTEGRATOR.uri


async def test_a_node_that_is_gone_and_comes_back(front: Front) -> None:
    """While it is gone callers read UNAVAILABLE with advice; calls pass again when it is there."""
    channel = front.world.channel(front.port, NODE, front.world.leaf(INTEGRATOR), retries=False)
    stub = ProvinceNodeServiceStub(channel)
    assert await verify(stub) == INTEGRATOR.uri
    listen = f"127.0.0.1:{front.server.port}"
    proxies = front.server._state.verifier._proxies
    await front.server.stop(0)
    # straight, without the channel's view of the node's health
    with pytest.raises(UnavailableError) as caught:
        await verify(ProvinceNodeServiceStub(front.channel(front.world.leaf(INTEGRATOR))))
    assert caught.value.reason is Reason.SERVICE_UNAVAILABLE
    await front.world.start(front.world.server(NODE, listen=listen, proxies=proxies), BusyNode())

    async def answers() -> bool:
        return await verify(stub) == INTEGRATOR.uri

    await eventually(answers)
