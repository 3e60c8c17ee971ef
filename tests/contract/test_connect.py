"""Opening a connection over a slow line."""

from __future__ import annotations

from healthcode.v1 import gateway_pb2
from healthcode.v1.gateway_pb2_grpc import GatewayServiceStub
from tests.contract.world import GATEWAY, Gateway, World, province
from tests.simulator.proxy import CuttingProxy
from tests.world.waiting import PATIENCE_SECONDS


async def test_a_slow_handshake_is_waited_for(world: World) -> None:
    """A line with a round trip of 300 ms carries the first call, also of a caller that does not retry."""
    server = await world.start(world.server(GATEWAY), Gateway())
    line = await CuttingProxy.start(f"127.0.0.1:{server.port}", delay_seconds=0.15)
    try:
        port = int(line.address.rpartition(":")[2])
        channel = world.channel(port, GATEWAY, world.leaf(province("31")), retries=False)
        answer = await GatewayServiceStub(channel).Ask(gateway_pb2.AskRequest(), timeout=PATIENCE_SECONDS)
        assert answer.answer == province("31").uri.encode()
    finally:
        await line.close()
