"""Whether the running node says of itself that it serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc

from healthcode.errors import HealthcodeError
from healthcode.rpc.errors import rpc_errors
from province_node.cli.connection import integrator, name_of
from province_node.settings import NodeSettings

__all__ = ["is_serving"]

_TIMEOUT_SECONDS = 2.0


async def is_serving(root: Path, settings: NodeSettings) -> bool:
    """Asks the health service over the node's listener; False for whatever goes wrong."""
    try:
        async with integrator(root, settings) as channel:
            with rpc_errors(name_of(settings.listen)):
                stub: Any = health_pb2_grpc.HealthStub(channel)  # its stubs give it no methods
                response = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_SECONDS)
    except HealthcodeError:
        return False
    return bool(response.status == health_pb2.HealthCheckResponse.SERVING)
