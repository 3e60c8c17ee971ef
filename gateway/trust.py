"""Opens the gateway's trust folder and follows the registry that gateway.toml names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from gateway.settings import GatewaySettings, RegistrySettings, require_registry
from healthcode.clock import Clock
from healthcode.errors import ConfigurationError, Reason
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.service.public_channel import PublicChannel, RegistryCas
from healthcode.service.registry_source import GrpcSource, open_mirrors
from healthcode.service.service_link import ServiceLink
from healthcode.service.trust_follower import TrustFollower
from healthcode.telemetry import Metrics
from healthcode.trust.client import TrustClient
from healthcode.trust.sources.trust_source import TrustSource
from healthcode.trust.store import init_trust, read_bootstrap
from healthcode.trust.view import TrustView
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub

__all__ = ["follow_registry"]


@asynccontextmanager
async def follow_registry(
    settings: GatewaySettings, *, metrics: Metrics, clock: Clock
) -> AsyncIterator[TrustFollower]:
    """The opened trust folder; the follower's `tasks` keep it current.

    Raises ConfigurationError, or UnavailableError or TrustError if the folder is empty and no
    source can fill it. With a folder that was filled once, it starts without the registry.
    """
    registry = require_registry(settings)
    server = PeerId(settings.realm, PeerKind.REGISTRY)
    opened: list[TrustFollower] = []  # the follower needs the channel, and the channel its view
    cas = RegistryCas(registry.ca, lambda: opened[0].view if opened and opened[0].has_view else None)
    channel = PublicChannel(registry.endpoint, cas.pem, server)
    stub, loop = TrustRegistryServiceStub(channel), asyncio.get_running_loop()
    name = f"the registry {registry.endpoint}"
    mirrors = open_mirrors(settings.trust.mirrors, settings.trust.mirror_ca)

    def trust() -> TrustView:
        return follower.view

    # a link each: that for files changes its channel while the watch is under way
    files_link, watch_link = (
        ServiceLink(
            "registry", PeerKind.REGISTRY, realm=settings.realm, trust=trust, tls=settings.tls, clock=clock
        )
        for _ in range(2)
    )
    try:
        await _open_folder(settings, registry, (GrpcSource(stub, loop, name=name), *mirrors))
        source = GrpcSource(stub, loop, name=name, member=files_link)
        sources = (source, *mirrors)
        follower = TrustFollower(
            settings.trust.folder,
            TrustClient(settings.trust.folder, sources),
            stub,
            clock=clock,
            metrics=metrics,
            poll_seconds=settings.trust.poll_seconds,
            member=watch_link,
        )
        opened.append(follower)
        follower.on_refresh_failed = source.rest_member
        try:
            if not await asyncio.to_thread(follower.open):
                await follower.refresh_now()
            yield follower
        finally:
            follower.close()
    finally:
        await files_link.close()
        await watch_link.close()
        await channel.close()


async def _open_folder(
    settings: GatewaySettings, registry: RegistrySettings, sources: Sequence[TrustSource]
) -> None:
    """Makes the trust folder if there is none. Raises ConfigurationError if realm or fingerprint differ."""
    folder = settings.trust.folder
    if (folder / "trust.json").exists():
        bootstrap = await asyncio.to_thread(read_bootstrap, folder)
        if not bootstrap.knows(registry.root_fingerprint):
            raise ConfigurationError(
                f"{folder} was begun with root {bootstrap.fingerprint}, and gateway.toml names another: "
                "correct the wrong one; after a new bootstrap of root, run `healthcode-gateway rebootstrap`"
            )
    else:
        bootstrap = await asyncio.to_thread(
            init_trust, folder, sources, registry.root_fingerprint, realm=settings.realm
        )
    if bootstrap.realm != settings.realm:
        raise ConfigurationError(
            f"gateway.toml says realm {settings.realm}, but {folder} belongs to realm {bootstrap.realm}: correct gateway.toml, or use another folder",
            reason=Reason.REALM_MISMATCH,
        )
