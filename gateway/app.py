"""Wires a gateway: settings, certificate, trust, homes, server, metrics.

Configuration errors are found before anything listens.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from gateway.api import GatewayServicer
from gateway.forwarding.ask import Asking
from gateway.forwarding.cache import AnswerCache
from gateway.forwarding.home_call import HomeCalls
from gateway.forwarding.home_guard import HomeGuards
from gateway.forwarding.homes import GrpcHomes
from gateway.forwarding.prove import Proving
from gateway.metrics import GatewayMetrics
from gateway.operations.deadlines import own_deadlines
from gateway.own_certificate import OwnCertificate, load_certificate
from gateway.settings import GatewaySettings, require_registry
from gateway.trust import follow_registry
from healthcode.clock import Clock, SystemClock
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.metrics_server import start_metrics_server
from healthcode.rpc.mtls.peer_verifier import PeerVerifier, published_cas
from healthcode.rpc.server import GrpcServer, ServerLimits, ServerTls
from healthcode.service.background import BackgroundTask
from healthcode.service.deadline import DeadlineMetrics
from healthcode.service.lifecycle import run_until_stopped
from healthcode.service.reporter import NodeReporter
from healthcode.service.trust_follower import TrustFollower
from healthcode.signing.ed25519 import self_test
from healthcode.telemetry import Metrics, configure_logging
from healthcode.trust.view import TrustView
from healthcode.v1 import gateway_pb2

__all__ = ["Gateway", "serve", "wire_gateway"]

SERVICE = "healthcode-gateway"
_MEASURE_SECONDS = 60

# lets one node wait for several slow homes at once
LIMITS = ServerLimits(streams_per_connection=512)


@dataclass(frozen=True, slots=True)
class Gateway:
    """A wired gateway that does not listen yet."""

    server: GrpcServer
    certificate: OwnCertificate


@asynccontextmanager
async def wire_gateway(
    settings: GatewaySettings, *, trust: Callable[[], TrustView], metrics: Metrics, clock: Clock
) -> AsyncIterator[Gateway]:
    """Wires a gateway in the running event loop. `trust` returns the current view at each question.

    Raises ConfigurationError if the certificate is unusable or not the gateway's.
    """
    certificate = OwnCertificate(settings, clock, own_cas=lambda: _own_cas(trust(), settings.realm))
    observer = GatewayMetrics(metrics)
    async with AsyncExitStack() as stack:
        homes = GrpcHomes(realm=settings.realm, identity=lambda: certificate.files)
        stack.push_async_callback(homes.close)
        guards = HomeGuards(settings.homes)
        asking = Asking(
            HomeCalls(homes, guards, observer),
            guards,
            trust=trust,
            cache=AnswerCache(
                clock=clock, max_entries=settings.cache.max_answers, ttl_seconds=settings.cache.ttl_seconds
            ),
            clock=clock,
            observer=observer,
            timeout_seconds=settings.homes.timeout_seconds,
            margin_seconds=settings.homes.margin_seconds,
        )
        stack.push_async_callback(asking.close)
        proving = Proving(
            homes,
            guards,
            trust=trust,
            observer=observer,
            timeout_seconds=settings.homes.timeout_seconds,
            margin_seconds=settings.homes.margin_seconds,
        )
        observer.watch_homes(guards.states)
        server = GrpcServer(
            settings.listen,
            ServerTls(
                settings.tls,
                client_cas=lambda: _all_cas(trust()),
                realm=settings.realm,
                own_cas=lambda: _own_cas(trust(), settings.realm),
                clock=clock,
            ),
            metrics=metrics,
            verifier=PeerVerifier(
                realm=settings.realm, ca_for=lambda peer: _province_cas(trust(), peer), clock=clock
            ),
            limits=LIMITS,
        )
        server.add(
            gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"], GatewayServicer(asking, proving)
        )
        yield Gateway(server, certificate)


async def serve(
    settings: GatewaySettings,
    *,
    on_ready: Callable[[], None] | None = None,
    read_log_level: Callable[[], str] | None = None,
) -> None:
    """Serves until SIGTERM; on SIGHUP takes the level of `read_log_level`.

    Raises HealthcodeError before anything listens if the configuration is wrong.
    """
    self_test()
    require_registry(settings)
    load_certificate(settings, SystemClock())
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
        deadlines = DeadlineMetrics.of_service(metrics)
        with start_metrics_server(metrics, settings.metrics.listen):
            await run_until_stopped(
                [gateway.server],
                [
                    *follower.tasks(),
                    BackgroundTask("own_certificate", gateway.certificate.follow),
                    BackgroundTask("report", reporter.run),
                    BackgroundTask("deadlines", partial(_measure_deadlines, settings, follower, deadlines)),
                ],
                metrics=metrics,
                on_ready=on_ready,
                read_log_level=read_log_level,
                grace_seconds=settings.drain_seconds,
            )


async def _measure_deadlines(
    settings: GatewaySettings, follower: TrustFollower, metrics: DeadlineMetrics
) -> None:
    """Measures every minute, because certificates change while the gateway runs."""
    while True:
        view = follower.view if follower.has_view else None
        metrics.set(await asyncio.to_thread(own_deadlines, settings, view))
        await asyncio.sleep(_MEASURE_SECONDS)


def _all_cas(view: TrustView) -> Sequence[str]:
    """The CAs whose clients TLS accepts. `_province_cas` then checks the identity for each call."""
    return [pem for issuer in view.issuers.values() for pem in issuer.tls_ca]


def _own_cas(view: TrustView, realm: str) -> Sequence[str]:
    """The CAs that the registry publishes for this gateway; none before it does."""
    return published_cas(view, PeerId(realm, PeerKind.GATEWAY))


def _province_cas(view: TrustView, peer: PeerId) -> Sequence[str]:
    """The CAs that the peer's province published; none for a peer that is not a province."""
    issuer = view.issuers.get(peer.participant or "")
    return () if peer.kind is not PeerKind.PROVINCE or issuer is None else issuer.tls_ca
