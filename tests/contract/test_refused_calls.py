"""Calls that a server or its transport refuses, as the SDK reads them and as it repeats them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from healthcode.errors import HealthcodeError, OverloadedError, Reason, UnavailableError
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.v1 import gateway_pb2
from healthcode.v1.gateway_pb2_grpc import GatewayServiceStub
from tests.contract.world import GATEWAY, World, province
from tests.simulator.refusing_server import ErrorCode, RefusingServer
from tests.world.waiting import PATIENCE_SECONDS


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
        (ErrorCode.REFUSED_STREAM, UnavailableError, Reason.SERVICE_UNAVAILABLE),
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
    """Of fifty calls at once a server takes eight and refuses the others by REFUSED_STREAM: no caller sees it."""
    server, stub = await connect(world, lambda number: ErrorCode.REFUSED_STREAM if 8 <= number < 50 else None)
    try:
        await asyncio.gather(*(ask(stub) for _ in range(50)))
        assert server.calls == 92
    finally:
        await server.close()
