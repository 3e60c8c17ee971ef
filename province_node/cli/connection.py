"""Connects to the running node over mTLS, with the certificates in DIR/tls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from healthcode.clock import SystemClock
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.tls_files import load_tls
from healthcode.settings import local_address
from province_node.settings import NodeFolder, NodeSettings

if TYPE_CHECKING:
    import grpc.aio

__all__ = ["back_end", "integrator", "name_of"]


@asynccontextmanager
async def integrator(root: Path, settings: NodeSettings) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to ProvinceNodeService, with tls/integrator.pem."""
    async with _open(root, settings, settings.listen, "integrator") as channel:
        yield channel


@asynccontextmanager
async def back_end(root: Path, settings: NodeSettings) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to ProvinceIssuerService, with tls/issuer.pem."""
    async with _open(root, settings, settings.issuer_listen, "issuer") as channel:
        yield channel


def name_of(listen: str) -> str:
    """The node's name in error messages."""
    return f"the node at {local_address(listen)} (is it running? `province-node serve`)"


@asynccontextmanager
async def _open(
    root: Path, settings: NodeSettings, listen: str, client: str
) -> AsyncIterator[grpc.aio.Channel]:
    tls = NodeFolder(root).tls
    identity = load_tls(
        tls / f"{client}.pem",
        tls / f"{client}.key",
        settings.tls.ca,
        now=SystemClock().now(),
        realm=settings.realm,
    )
    channel = open_channel(
        local_address(listen),
        ca_pem=identity.ca_pem.decode(),
        server=PeerId(settings.realm, PeerKind.PROVINCE, settings.participant),
        identity=identity,
    )
    try:
        yield channel
    finally:
        await channel.close()
