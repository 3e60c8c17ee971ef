"""The client's side of VerifyStream: one verdict a request, in order, across streams that end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from healthcode.errors import UnavailableError
from healthcode.rpc.server import GrpcServer, ServerLimits
from healthcode.rpc.stream import verify_stream
from healthcode.v1.province_node_pb2 import VerifyStreamRequest
from healthcode.v1.province_node_pb2_grpc import ProvinceNodeServiceStub
from healthcode.verification.verdict import Verdict
from tests.contract.world import INTEGRATOR, Node, World, province
from tests.simulator.process import free_ports


async def items(count: int, pause_seconds: float = 0) -> AsyncIterator[VerifyStreamRequest]:
    for number in range(count):
        yield VerifyStreamRequest(item={"item_id": str(number)})
        await asyncio.sleep(pause_seconds)


async def node(world: World, **options: object) -> tuple[GrpcServer, ProvinceNodeServiceStub]:
    server = await world.start(world.server(province("31"), **options), Node())
    return server, ProvinceNodeServiceStub(world.channel(server.port, province("31"), world.leaf(INTEGRATOR)))


async def test_streams_that_end_are_not_noticed(world: World) -> None:
    """A server that ends each stream after 50 ms still gives 2,000 verdicts, in order, none twice."""
    _, stub = await node(world, limits=ServerLimits(stream_age_seconds=0.05))
    got = [verdict.item_id async for verdict in verify_stream(stub, items(2000))]
    assert got == [str(number) for number in range(2000)]


async def test_a_restart_of_the_node_loses_nothing(world: World) -> None:
    """The node stops and starts again under a slow stream: every item is answered once, in order."""
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    first, stub = await node(world, listen=listen)
    got: list[str] = []

    async def collect() -> None:
        got.extend([verdict.item_id async for verdict in verify_stream(stub, items(60, 0.01), attempts=8)])

    collecting = asyncio.create_task(collect())
    await asyncio.sleep(0.2)
    await first.stop(1)
    await world.start(world.server(province("31"), listen=listen), Node())
    await collecting
    assert got == [str(number) for number in range(60)]


async def test_a_node_without_a_place_is_tried_again(world: World) -> None:
    """A stream that is refused for want of a place is opened once there is one: the caller sees verdicts alone."""
    _, stub = await node(world, limits=ServerLimits(streams_per_caller=1))
    held = stub.VerifyStream()
    await held.write(VerifyStreamRequest(item={"item_id": "held"}))
    await held.read()
    collecting = asyncio.create_task(_collect(verify_stream(stub, items(3), attempts=8)))
    await asyncio.sleep(0.3)
    assert not collecting.done()
    await held.done_writing()
    assert await collecting == ["0", "1", "2"]


async def _collect(verdicts: AsyncIterator[Verdict]) -> list[str]:
    return [verdict.item_id async for verdict in verdicts]


async def test_a_node_that_is_gone_is_told(world: World) -> None:
    """With nobody there the caller gets UnavailableError after some attempts, and no hanging iterator."""
    server, stub = await node(world)
    await server.stop(0)
    with pytest.raises(UnavailableError):
        [verdict async for verdict in verify_stream(stub, items(3), attempts=2)]


async def test_a_fault_of_the_callers_iterator_is_the_callers(world: World) -> None:
    """What the caller's own iterator raises reaches the caller, after the answers to what it gave."""
    _, stub = await node(world)

    async def faulty() -> AsyncIterator[VerifyStreamRequest]:
        yield VerifyStreamRequest(item={"item_id": "0"})
        raise LookupError

    verdicts = verify_stream(stub, faulty())
    assert (await anext(verdicts)).item_id == "0"
    with pytest.raises(LookupError):
        await anext(verdicts)
