"""One slow partner, or one caller, never takes the places of others."""

from __future__ import annotations

import asyncio
from collections import Counter

import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.access import ACCESS
from healthcode.rpc.server import CallInfo, ServerLimits
from healthcode.v1 import province_node_pb2
from healthcode.v1.province_node_pb2_grpc import ProvinceNodeServiceStub
from tests.contract.world import INTEGRATOR, REALM, Node, World, province
from tests.world.waiting import PATIENCE_SECONDS, until

QUERY = "/healthcode.v1.ProvinceNodeService/QueryStatus"
OTHER = PeerId(REALM, PeerKind.INTEGRATOR, "31", "hospital")


class SlowNode(Node):
    """Its gateway hangs: a status query waits until the test ends."""

    def __init__(self) -> None:
        self.asking = 0
        self.release = asyncio.Event()

    async def QueryStatus(  # noqa: N802  proto
        self, request: province_node_pb2.QueryStatusRequest, call: CallInfo
    ) -> province_node_pb2.QueryStatusResponse:
        self.asking += 1
        await self.release.wait()
        return province_node_pb2.QueryStatusResponse()


async def query(stub: ProvinceNodeServiceStub) -> grpc.StatusCode:
    """A status query's code; a refusal must say when to try again."""
    call = stub.QueryStatus(province_node_pb2.QueryStatusRequest(), timeout=PATIENCE_SECONDS)
    code = await call.code()
    if code is not grpc.StatusCode.OK:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        details, retry = rpc_status.from_call(refused.value).details, error_details_pb2.RetryInfo()
        assert any(detail.Unpack(retry) for detail in details)
    return code


async def verify(stub: ProvinceNodeServiceStub) -> str:
    request = province_node_pb2.VerifyRequest(item={"item_id": "x"})
    return (await stub.Verify(request, timeout=PATIENCE_SECONDS)).verdict.item_id


async def test_a_gateway_that_hangs_takes_no_place_of_verify(world: World) -> None:
    """400 queries of one integrator fill its share and no more: its own and others' Verify, and others' queries, pass."""
    world.publish("31")
    node = SlowNode()
    server = await world.start(
        world.server(province("31"), limits=ServerLimits(streams_per_connection=500)), node
    )
    noisy, other = (
        ProvinceNodeServiceStub(world.channel(server.port, province("31"), world.leaf(peer)))
        for peer in (INTEGRATOR, OTHER)
    )
    room = ACCESS[QUERY].room
    assert room is not None
    assert room.per_caller is not None
    queries = [asyncio.ensure_future(query(noisy)) for _ in range(400)]
    await until(lambda: sum(each.done() for each in queries) == 400 - room.per_caller)
    assert node.asking == room.per_caller
    innocent = asyncio.ensure_future(query(other))
    await until(lambda: node.asking == room.per_caller + 1)
    for stub in (noisy, other):
        assert [await verify(stub) for _ in range(40)] == ["x"] * 40
    node.release.set()
    counts = Counter(await asyncio.gather(*queries))
    assert counts == {
        grpc.StatusCode.OK: room.per_caller,
        grpc.StatusCode.RESOURCE_EXHAUSTED: 400 - room.per_caller,
    }
    assert await innocent is grpc.StatusCode.OK


@pytest.mark.parametrize("path", [path for path, rule in ACCESS.items() if rule.room is not None])
def test_no_caller_fills_a_room(path: str) -> None:
    """Each room has a share a caller, but where there is one caller only."""
    rule = ACCESS[path]
    assert rule.room is not None
    if rule.callers == {PeerKind.GATEWAY}:
        assert rule.room.per_caller is None
    else:
        assert rule.room.per_caller is not None
        assert rule.room.per_caller < rule.room.capacity
