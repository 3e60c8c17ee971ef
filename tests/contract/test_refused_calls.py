"""Calls that a server or its transport refuses, as the SDK reads them and as it repeats them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc.aio
import pytest

from healthcode.errors import HealthcodeError, OverloadedError, Reason, UnavailableError
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.v1 import gateway_pb2
from healthcode.v1.gateway_pb2_grpc import GatewayServiceStub
from healthcode.v1.province_node_pb2 import VerifyRequest, VerifyStreamRequest
from healthcode.v1.province_node_pb2_grpc import ProvinceNodeServiceStub
from province_node.listeners import PUBLIC_LIMITS
from tests.contract.world import GATEWAY, INTEGRATOR, Node, World, province
from tests.simulator.refusing_server import ErrorCode, RefusingServer
from tests.world.waiting import PATIENCE_SECONDS, until


async def connect(
    world: World, refuse: Callable[[int], ErrorCode | None], *, retries: bool = True
) -> tuple[RefusingServer, GatewayServiceStub]:
    server = await RefusingServer.start(world.tls(GATEWAY), refuse)
    channel = world.channel(server.port, GATEWAY, world.leaf(province("31")), retries=retries)
    return server, GatewayServiceStub(channel)


async def ask(stub: GatewayServiceStub) -> gateway_pb2.AskResponse:
    with rpc_errors("the gateway"):
        return await stub.Ask(gateway_pb2.AskRequest(), timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (ErrorCode.CANCEL, UnavailableError, Reason.SERVICE_UNAVAILABLE),
        (ErrorCode.REFUSED_STREAM, OverloadedError, Reason.OVERLOADED),
        (ErrorCode.ENHANCE_YOUR_CALM, OverloadedError, Reason.OVERLOADED),
    ],
)
async def test_a_call_that_the_transport_resets_may_be_tried_again(
    world: World, code: ErrorCode, kind: type[HealthcodeError], reason: Reason
) -> None:
    """A full or draining server resets calls without ErrorInfo: none is called TOO_LARGE or SHUTTING_DOWN."""
    server, stub = await connect(world, lambda _: code, retries=False)
    try:
        with pytest.raises(kind) as caught:
            await ask(stub)
        assert caught.value.reason is reason
    finally:
        await server.close()


async def test_a_call_that_the_caller_cancels_is_not_the_servers_failure(world: World) -> None:
    """The caller's own cancel stays a cancel."""
    server, stub = await connect(world, lambda _: None)
    try:
        call = stub.Ask(gateway_pb2.AskRequest(), timeout=PATIENCE_SECONDS)
        call.cancel()
        with pytest.raises(asyncio.CancelledError), rpc_errors("the gateway"):
            await call
    finally:
        await server.close()


async def test_calls_refused_in_the_first_burst_are_repeated(world: World) -> None:
    """Of 300 calls at once a server takes eight and refuses the others by REFUSED_STREAM: no caller sees it."""
    server, stub = await connect(
        world, lambda number: ErrorCode.REFUSED_STREAM if 8 <= number < 300 else None
    )
    try:
        await asyncio.gather(*(ask(stub) for _ in range(300)))
        assert server.calls == 592
    finally:
        await server.close()


async def test_a_call_that_is_begun_again_and_again_can_be_cancelled(world: World) -> None:
    """The caller's cancel ends the repetition, too."""
    server, stub = await connect(world, lambda _: ErrorCode.REFUSED_STREAM, retries=False)
    try:
        call = stub.Ask(gateway_pb2.AskRequest(), timeout=PATIENCE_SECONDS)
        waiting = asyncio.ensure_future(call)
        await until(lambda: server.calls >= 3)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    finally:
        await server.close()


async def test_a_burst_over_a_small_limit_of_streams_is_served_whole(world: World) -> None:
    """Over one connection of a node's listener 300 calls at once wait for their turn, and none is refused."""
    node = await world.start(world.server(province("31"), limits=PUBLIC_LIMITS), Node())
    stub = ProvinceNodeServiceStub(world.channel(node.port, province("31"), world.leaf(INTEGRATOR)))
    request = VerifyRequest(item={"item_id": "x"})
    answers = await asyncio.gather(*(stub.Verify(request, timeout=PATIENCE_SECONDS) for _ in range(300)))
    assert [answer.verdict.item_id for answer in answers] == ["x"] * 300


async def test_long_streams_leave_a_connection_a_place_for_calls(world: World) -> None:
    """The channel's own watch and six open streams take seven of the eight: calls pass beside them."""
    node = await world.start(world.server(province("31"), limits=PUBLIC_LIMITS), Node())
    stub = ProvinceNodeServiceStub(world.channel(node.port, province("31"), world.leaf(INTEGRATOR)))
    streams = [stub.VerifyStream() for _ in range(PUBLIC_LIMITS.streams_per_connection - 2)]
    for stream in streams:
        await stream.write(VerifyStreamRequest(item={"item_id": "s"}))
        assert (await stream.read()).verdict.item_id == "s"
    request = VerifyRequest(item={"item_id": "x"})
    for _ in range(20):
        assert (await stub.Verify(request, timeout=PATIENCE_SECONDS)).verdict.item_id == "x"
    for stream in streams:
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
