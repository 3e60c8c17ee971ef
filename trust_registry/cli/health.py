"""Asks whether the registry of a folder is being served now."""

from __future__ import annotations

from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc

from healthcode.errors import HealthcodeError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.tls_files import load_ca
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.settings import split_address
from trust_registry.settings import RegistrySettings

__all__ = ["is_serving"]

_TIMEOUT_SECONDS = 2.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  addresses to call, not to listen on


async def is_serving(settings: RegistrySettings) -> bool:
    """Whether the health service of the public listener answers SERVING; False on any error."""
    host, port = split_address(settings.server.public_listen)
    near = f"{_ANYWHERE.get(host, f'[{host}]' if ':' in host else host)}:{port}"
    try:
        channel = open_channel(
            near,
            ca_pem=load_ca(settings.tls.ca),
            server=PeerId(settings.realm, PeerKind.REGISTRY),
            retries=False,
        )
        try:
            with rpc_errors(f"the registry at {near}"):
                stub: Any = health_pb2_grpc.HealthStub(channel)  # its stubs give it no methods
                response = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_SECONDS)
        finally:
            await channel.close()
    except HealthcodeError:
        return False
    return bool(response.status == health_pb2.HealthCheckResponse.SERVING)
