"""The one place that wires a registry's server: stores, servicer, listeners, metrics, background tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from healthcode.errors import UnavailableError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.metrics_server import start_metrics_server
from healthcode.rpc.mtls.peer_verifier import PeerVerifier
from healthcode.rpc.server import GrpcServer, ServerTls, check_free
from healthcode.service.background import BackgroundTask
from healthcode.service.lifecycle import run_until_stopped
from healthcode.signing.ed25519 import self_test
from healthcode.storage.lock import lock
from healthcode.telemetry import Metrics, configure_logging, get_logger
from healthcode.v1 import trust_registry_pb2
from trust_registry.api import TrustRegistry
from trust_registry.metrics import RegistryMetrics
from trust_registry.participants.batch import BatchQueue
from trust_registry.participants.ca_directory import CaDirectory
from trust_registry.participants.node_reports import NodeReportStore
from trust_registry.participants.service_cas import check_own_certificate
from trust_registry.participants.submission import Publisher
from trust_registry.participants.upload import remove_spools
from trust_registry.registry import Registry, check_offline_keys
from trust_registry.settings import load_registry_settings
from trust_registry.tree.lost_versions import lost_versions
from trust_registry.tree.watch import TreeWatch
from trust_registry.upkeep import Upkeep

__all__ = ["serve"]

_SERVICE = trust_registry_pb2.DESCRIPTOR.services_by_name["TrustRegistryService"]


async def serve(registry: Registry, *, on_ready: Callable[[Mapping[str, int]], None] | None = None) -> None:
    """Serves until SIGTERM.

    Raises ConfigurationError, or UnavailableError if another process serves this folder or an address
    is taken. Both come before anything listens or is written.
    """
    self_test()
    settings = registry.settings
    _refuse_unpublished_ca(registry)
    configure_logging("trust-registry", level=settings.log.level, style=settings.log.format)
    for warning in check_offline_keys(registry):
        get_logger("registry").warning("offline_keys_here", why=warning)
    served = f"another process serves {registry.folder.root} already: stop that one first"
    with lock(registry.folder.serving, busy=UnavailableError(served)):
        await _serve(registry, on_ready)


def _refuse_unpublished_ca(registry: Registry) -> None:
    """Raises ConfigurationError if the certificate is of a CA that is not published, unless that may be lost here."""
    published = registry.repository.published()
    if registry.repository.awaits_reports or lost_versions(published):
        return
    check_own_certificate(registry.settings, published, registry.clock.now())


async def _serve(registry: Registry, on_ready: Callable[[Mapping[str, int]], None] | None) -> None:
    settings, log = registry.settings, get_logger("registry")
    metrics = RegistryMetrics(Metrics("trust-registry"))
    watch = TreeWatch(registry.repository.tree)
    directory = CaDirectory(registry.repository.tree)
    directory.renew()
    reports = NodeReportStore(registry.folder.nodes)

    def on_published(count: int) -> None:
        metrics.batch_size.observe(count)
        watch.look_now()

    batches = BatchQueue(
        Publisher(registry.repository),
        window_seconds=settings.repository.group_seconds,
        on_published=on_published,
    )
    servicer = TrustRegistry(registry, batches, reports, watch, metrics)
    closed, public = _servers(registry, directory, metrics)
    for server in (closed, public):
        server.add(_SERVICE, servicer)
    for address in (settings.server.listen, settings.server.public_listen):
        check_free(address)
    with start_metrics_server(metrics.base, settings.metrics.listen) as metrics_port:
        # the first writes: a start that fails before this point has changed nothing
        remove_spools(registry.folder.repository)
        if not registry.repository.awaits_reports:
            await asyncio.to_thread(registry.repository.renew)

        def ready() -> None:
            ports = {"listen": closed.port, "public_listen": public.port, "metrics": metrics_port or 0}
            log.info("serving", realm=settings.realm, **ports)
            if on_ready is not None:
                on_ready(ports)

        upkeep = Upkeep(registry, watch, directory, reports, metrics)
        await run_until_stopped(
            [closed, public],
            [
                BackgroundTask("watch", watch.run),
                BackgroundTask("batches", batches.run),
                *upkeep.tasks(),
            ],
            metrics=metrics.base,
            on_ready=ready,
            read_log_level=lambda: load_registry_settings(registry.folder.configuration).log.level,
        )


def _servers(
    registry: Registry, directory: CaDirectory, metrics: RegistryMetrics
) -> tuple[GrpcServer, GrpcServer]:
    """The listener that asks for client certificates, and the one that does not."""
    settings, clock = registry.settings, registry.clock
    peer = PeerId(settings.realm, PeerKind.REGISTRY)

    def tls(client_cas: Callable[[], Sequence[str]] | None) -> ServerTls:
        return ServerTls(
            settings.tls, client_cas, realm=settings.realm, peer=peer, own_cas=directory.own, clock=clock
        )

    closed = GrpcServer(
        settings.server.listen,
        tls(directory.all),
        metrics=metrics.base,
        verifier=PeerVerifier(realm=settings.realm, ca_for=directory.cas_for, clock=clock),
    )
    public = GrpcServer(
        settings.server.public_listen,
        tls(None),
        metrics=metrics.base,
        verifier=None,
    )
    return closed, public
