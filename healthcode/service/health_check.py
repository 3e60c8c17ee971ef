"""Asks the health service of a listener on this machine."""

from __future__ import annotations

from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc

from healthcode.identity.peer import PeerId
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.tls_files import TlsFiles
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.settings import local_address

__all__ = ["SERVING", "ask_health"]

SERVING = "SERVING"
_TIMEOUT_SECONDS = 3.0


async def ask_health(listen: str, *, ca_pem: str, server: PeerId, identity: TlsFiles | None = None) -> str:
    """SERVING or NOT_SERVING, as the service at `listen` says; `identity` is for a listener that demands one.

    Raises what `rpc_errors` raises if no server answers there, or a server other than `server`.
    """
    channel = open_channel(
        local_address(listen),
        ca_pem=ca_pem,
        server=server,
        identity=identity,
        retries=False,
        watches_health=False,  # else NOT_SERVING would read as out of reach
    )
    try:
        with rpc_errors(f"{server.uri} at {listen}"):
            stub: Any = health_pb2_grpc.HealthStub(channel)  # its stubs give it no methods
            response = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_SECONDS)
    finally:
        await channel.close()
    return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)
