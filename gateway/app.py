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

from gateway.deadline import own_deadlines
from gateway.forwarding.ask import Asking
from gateway.forwarding.cache import AnswerCache
from gateway.forwarding.homes import GrpcHomes
from gateway.metric import GatewayMetrics
from gateway.service import GatewayServicer
from gateway.settings import GatewaySettings, RegistrySettings
from healthcode.clock import Clock, SystemClock
from healthcode.errors import ConfigurationError, HealthcodeError, Reason
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.peer_verifier import PeerVerifier
from healthcode.rpc.mtls.tls_files import TlsFiles, load_ca, load_tls
from healthcode.rpc.server import GrpcServer, ServerLimits, ServerTls
from healthcode.service.deadline import DeadlineMetrics
from healthcode.service.lifecycle import run_until_stopped
from healthcode.service.registry_source import GrpcSource, open_mirrors
from healthcode.service.reporter import NodeReporter
from healthcode.service.trust_follower import TrustFollower
from healthcode.signing.ed25519 import self_test
from healthcode.telemetry import Metrics, configure_logging, get_logger, start_metrics_server
from healthcode.trust.client import TrustClient
from healthcode.trust.sources.trust_source import TrustSource
from healthcode.trust.store import init_trust, read_bootstrap
from healthcode.trust.view import TrustView
from healthcode.v1 import gateway_pb2
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub

__all__ = ["Gateway", "follow_registry", "load_identity", "registry_settings", "serve", "wire_gateway"]

SERVICE = "healthcode-gateway"
_MEASURE_SECONDS = 60
CERTIFICATE_CHECK_SECONDS = 10.0

# Callers are provinces alone. There is room for every home's bulkhead to be full at the
# same time, and one node's connection has room for several homes that are slow together.
LIMITS = ServerLimits(concurrent_calls=4096, streams_per_connection=512)


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
                log.warning("own_certificate_refused", why=error.message)
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


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that is wired and does not listen yet."""

    server: GrpcServer
    certificate: OwnCertificate


@asynccontextmanager
async def wire_gateway(
    settings: GatewaySettings, *, trust: Callable[[], TrustView], metrics: Metrics, clock: Clock
) -> AsyncIterator[Gateway]:
    """A gateway over the trust that `trust` gives at each question; in the running event loop.

    Raises ConfigurationError for a certificate that is unusable or somebody else's.
    """
    certificate = OwnCertificate(settings, clock)
    observer = GatewayMetrics(metrics)
    async with AsyncExitStack() as stack:
        homes = GrpcHomes(realm=settings.realm, identity=lambda: certificate.files)
        stack.push_async_callback(homes.close)
        asking = Asking(
            trust=trust,
            homes=homes,
            settings=settings.homes,
            cache=AnswerCache(max_entries=settings.cache.max_answers, ttl_seconds=settings.cache.ttl_seconds),
            clock=clock,
            observer=observer,
        )
        stack.push_async_callback(asking.close)
        observer.watch_homes(asking.states)
        server = GrpcServer(
            settings.listen,
            ServerTls(settings.tls, client_cas=lambda: _all_cas(trust()), realm=settings.realm, clock=clock),
            metrics=metrics,
            verifier=PeerVerifier(
                realm=settings.realm, ca_for=lambda peer: _province_cas(trust(), peer), clock=clock
            ),
            limits=LIMITS,
        )
        server.add(gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"], GatewayServicer(asking))
        yield Gateway(server, certificate)


@asynccontextmanager
async def follow_registry(
    settings: GatewaySettings, *, metrics: Metrics, clock: Clock
) -> AsyncIterator[TrustFollower]:
    """The trust of the registry that gateway.toml names, opened; its `run` keeps it current.

    Raises ConfigurationError for what is wrong here, and UnavailableError or TrustError
    when there is no trust yet and none can be had.
    """
    registry = registry_settings(settings)
    server = PeerId(settings.realm, PeerKind.REGISTRY)
    channel = open_channel(registry.endpoint, ca_pem=load_ca(registry.ca), server=server)
    try:
        stub = TrustRegistryServiceStub(channel)
        sources = (
            GrpcSource(stub, asyncio.get_running_loop(), name=f"the registry {registry.endpoint}"),
            *open_mirrors(settings.trust.mirrors, settings.trust.mirror_ca),
        )
        await _begin_trust(settings, registry, sources)
        follower = TrustFollower(
            settings.trust.folder,
            TrustClient(settings.trust.folder, sources),
            stub,
            clock=clock,
            metrics=metrics,
            poll_seconds=settings.trust.poll_seconds,
        )
        if not await asyncio.to_thread(follower.open):
            await follower.refresh_now()
        yield follower
    finally:
        await channel.close()


async def serve(settings: GatewaySettings, *, on_ready: Callable[[], None] | None = None) -> None:
    """Serves until SIGTERM. Raises HealthcodeError before anything listens when something is wrong."""
    self_test()
    registry_settings(settings)
    load_identity(settings, SystemClock())
    configure_logging(SERVICE, level=settings.log.level, style=settings.log.format)
    metrics, clock = Metrics(SERVICE), SystemClock()
    async with (
        follow_registry(settings, metrics=metrics, clock=clock) as follower,
        wire_gateway(settings, trust=lambda: follower.view, metrics=metrics, clock=clock) as gateway,
    ):
        reporter = NodeReporter(
            SERVICE,
            realm=settings.realm,
            trust=lambda: follower.view if follower.has_view else None,
            directory=settings.trust.folder,
            tls=settings.tls,
            clock=clock,
            metrics=metrics,
        )
        follower.on_setback = reporter.report_soon
        with start_metrics_server(metrics, settings.metrics.listen):
            await run_until_stopped(
                [gateway.server],
                follower.run(),
                gateway.certificate.follow(),
                reporter.run(),
                _measure_deadlines(settings, follower, DeadlineMetrics.of_service(metrics)),
                on_ready=on_ready,
                grace_seconds=settings.drain_seconds,
            )


async def _measure_deadlines(
    settings: GatewaySettings, follower: TrustFollower, shown: DeadlineMetrics
) -> None:
    """Each minute: certificates change under a running gateway."""
    while True:
        view = follower.view if follower.has_view else None
        shown.set(await asyncio.to_thread(own_deadlines, settings, view))
        await asyncio.sleep(_MEASURE_SECONDS)


async def _begin_trust(
    settings: GatewaySettings, registry: RegistrySettings, sources: Sequence[TrustSource]
) -> None:
    """Begins the trust folder where there is none; holds an old one to realm and fingerprint."""
    folder = settings.trust.folder
    if (folder / "trust.json").exists():
        begun = await asyncio.to_thread(read_bootstrap, folder)
        if not begun.knows(registry.root_fingerprint):
            raise ConfigurationError(
                f"{folder} was begun with root {begun.fingerprint}, and gateway.toml names another: "
                "one of them is wrong; or, after a new bootstrap, `healthcode-gateway rebootstrap` is still to be run"
            )
    else:
        begun = await asyncio.to_thread(
            init_trust, folder, sources, registry.root_fingerprint, realm=settings.realm
        )
    if begun.realm != settings.realm:
        raise ConfigurationError(
            f"gateway.toml says realm {settings.realm}, and {folder} is of {begun.realm}",
            reason=Reason.REALM_MISMATCH,
        )


def _all_cas(view: TrustView) -> Sequence[str]:
    """The CAs that TLS takes a client of; whose each may be is checked call by call."""
    return [pem for issuer in view.issuers.values() for pem in issuer.tls_ca]


def _province_cas(view: TrustView, peer: PeerId) -> Sequence[str]:
    """The CAs that a province published; nobody but provinces has a place on the gateway."""
    issuer = view.issuers.get(peer.participant or "")
    return () if peer.kind is not PeerKind.PROVINCE or issuer is None else issuer.tls_ca
