"""The one place that wires a gateway: settings, certificates, trust, homes, server, metrics.

Everything that can be wrong is found before anything listens. With a trust folder that
was filled once, the gateway starts with the registry gone; without one it needs the
registry once, to begin it by the root's fingerprint.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from gateway.ask import Asking
from gateway.cache import AnswerCache
from gateway.homes import GrpcHomes
from gateway.metric import GatewayMetrics
from gateway.service import GatewayServicer
from gateway.settings import GatewaySettings, RegistrySettings
from healthcode.clock import Clock, SystemClock
from healthcode.errors import ConfigurationError, HealthcodeError, Reason
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.certificate import TlsFiles, load_ca, load_tls
from healthcode.rpc.client import open_channel
from healthcode.rpc.follow import TrustFollower
from healthcode.rpc.identity import PeerVerifier
from healthcode.rpc.lifecycle import run_until_stopped
from healthcode.rpc.server import GrpcServer, ServerLimits, ServerTls
from healthcode.rpc.source import GrpcSource
from healthcode.signing.ed25519 import self_test
from healthcode.telemetry import Metrics, configure_logging, get_logger, start_metrics_server
from healthcode.trust.client import TrustClient
from healthcode.trust.store import init_trust, read_bootstrap
from healthcode.trust.view import TrustView
from healthcode.v1 import gateway_pb2
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub

__all__ = ["Gateway", "load_identity", "open_gateway", "registry_settings", "serve"]

SERVICE = "healthcode-gateway"
CERTIFICATE_CHECK_SECONDS = 10.0

# Callers are provinces alone. There is room for every home's bulkhead to be full at the
# same time, and one node's connection has room for several homes that are slow together.
LIMITS = ServerLimits(concurrent_calls=4096, streams_per_connection=512)


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that is wired and not yet listening."""

    server: GrpcServer
    follower: TrustFollower
    asking: Asking
    certificate: OwnCertificate


class OwnCertificate:
    """Our certificate as it is on disk; a renewed one is taken, a broken one leaves the last good."""

    def __init__(self, settings: GatewaySettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self.files = load_identity(settings, clock)

    async def follow(self) -> None:
        """Looks every few seconds, for ever."""
        log = get_logger("tls")
        while True:
            await asyncio.sleep(CERTIFICATE_CHECK_SECONDS)
            try:
                found = await asyncio.to_thread(load_identity, self._settings, self._clock)
            except HealthcodeError as error:
                log.error("own_certificate_refused", why=error.message)
                continue
            if found != self.files:
                self.files = found


def load_identity(settings: GatewaySettings, clock: Clock) -> TlsFiles:
    """Our certificate and key. Raises ConfigurationError, also when they are somebody else's."""
    tls = settings.tls
    files = load_tls(tls.certificate, tls.private_key, tls.ca, now=clock.now(), realm=settings.realm)
    if files.identity.peer.kind is not PeerKind.GATEWAY:
        raise ConfigurationError(
            f"{tls.certificate} names {files.identity.peer.uri}; the gateway's names "
            f"{PeerId(settings.realm, PeerKind.GATEWAY).uri}"
        )
    return files


def registry_settings(settings: GatewaySettings) -> RegistrySettings:
    """The registry to follow. Raises ConfigurationError while `init` was not told of it."""
    if settings.registry is None:
        raise ConfigurationError(
            "gateway.toml has no [registry] yet: run `healthcode-gateway init` again with --registry, "
            "--registry-ca and --root-fingerprint"
        )
    return settings.registry


@asynccontextmanager
async def open_gateway(
    settings: GatewaySettings, metrics: Metrics, *, clock: Clock | None = None
) -> AsyncIterator[Gateway]:
    """A gateway with its trust open, for as long as the block runs; in the running event loop.

    Raises ConfigurationError for what is wrong here, and UnavailableError or TrustError
    when there is no trust yet and none can be had.
    """
    clock = clock or SystemClock()
    registry = registry_settings(settings)
    certificate = OwnCertificate(settings, clock)
    async with AsyncExitStack() as stack:
        channel = open_channel(
            registry.endpoint,
            ca_pem=load_ca(registry.ca),
            server=PeerId(settings.realm, PeerKind.REGISTRY),
        )
        stack.push_async_callback(channel.close)
        stub = TrustRegistryServiceStub(channel)
        source = GrpcSource(stub, asyncio.get_running_loop(), name=f"the registry {registry.endpoint}")
        await _begin_trust(settings, registry, source)
        follower = TrustFollower(
            settings.trust.folder,
            TrustClient(settings.trust.folder, source),
            stub,
            clock=clock,
            metrics=metrics,
            poll_seconds=settings.trust.poll_seconds,
        )
        if not await asyncio.to_thread(follower.open):
            await follower.refresh_now()
        observer = GatewayMetrics(metrics)
        homes = GrpcHomes(realm=settings.realm, identity=lambda: certificate.files)
        stack.push_async_callback(homes.close)
        asking = Asking(
            trust=lambda: follower.view,
            homes=homes,
            settings=settings.homes,
            cache=AnswerCache(max_entries=settings.cache.max_answers, ttl_seconds=settings.cache.ttl_seconds),
            clock=clock,
            observer=observer,
        )
        stack.push_async_callback(asking.close)
        observer.watch_homes(asking.states)
        yield Gateway(_server(settings, asking, follower, metrics, clock), follower, asking, certificate)


async def serve(settings: GatewaySettings, *, on_ready: Callable[[], None] | None = None) -> None:
    """Serves until SIGTERM. Raises HealthcodeError before anything listens when something is wrong."""
    self_test()
    configure_logging(SERVICE, level=settings.log.level, style=settings.log.format)
    metrics = Metrics(SERVICE)
    async with open_gateway(settings, metrics) as gateway:
        with start_metrics_server(metrics, settings.metrics.listen):
            await run_until_stopped(
                [gateway.server],
                gateway.follower.run(),
                gateway.certificate.follow(),
                on_ready=on_ready,
                grace_seconds=settings.drain_seconds,
            )


async def _begin_trust(settings: GatewaySettings, registry: RegistrySettings, source: GrpcSource) -> None:
    """Begins the trust folder where there is none; holds an old one to realm and fingerprint."""
    folder = settings.trust.folder
    if (folder / "trust.json").exists():
        begun = await asyncio.to_thread(read_bootstrap, folder)
        if begun.fingerprint != registry.root_fingerprint:
            raise ConfigurationError(
                f"{folder} was begun with root {begun.fingerprint}, and gateway.toml names another: "
                "one of them is wrong"
            )
    else:
        begun = await asyncio.to_thread(
            init_trust, folder, source, registry.root_fingerprint, realm=settings.realm
        )
    if begun.realm != settings.realm:
        raise ConfigurationError(
            f"gateway.toml says realm {settings.realm}, and {folder} is of {begun.realm}",
            reason=Reason.REALM_MISMATCH,
        )


def _server(
    settings: GatewaySettings, asking: Asking, follower: TrustFollower, metrics: Metrics, clock: Clock
) -> GrpcServer:
    def all_cas() -> Sequence[str]:
        return [pem for issuer in follower.view.issuers.values() for pem in issuer.tls_ca]

    def ca_for(peer: PeerId) -> Sequence[str]:
        return _province_cas(follower.view, peer)

    server = GrpcServer(
        settings.listen,
        ServerTls(settings.tls, client_cas=all_cas, realm=settings.realm, clock=clock),
        metrics=metrics,
        verifier=PeerVerifier(realm=settings.realm, ca_for=ca_for, clock=clock),
        limits=LIMITS,
    )
    server.add(gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"], GatewayServicer(asking))
    return server


def _province_cas(view: TrustView, peer: PeerId) -> Sequence[str]:
    """The CAs that a province published; nobody but provinces has a place on the gateway."""
    issuer = view.issuers.get(peer.participant or "")
    return () if peer.kind is not PeerKind.PROVINCE or issuer is None else issuer.tls_ca
